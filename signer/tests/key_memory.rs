//! What root finds in the memory of a signer that made keys, opened them and signed with them: nothing of a key.

mod support;

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha512};
use support::{Signer, Site, generate, id};
use trstctl_formats::sealed_key::{Kek, SealedKey};
use trstctl_signer_protocol::v1::{Algorithm, ProbeRequest};

/// As much of a secret as is looked for, in bytes.
const PIECE: usize = 8;

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::P256,
    Algorithm::P384,
    Algorithm::Rsa3072,
    Algorithm::Rsa4096,
    Algorithm::Ed25519,
    Algorithm::MlDsa65,
];

/// Pieces of secrets, each with the name of its secret.
#[derive(Default)]
struct Pieces(HashMap<[u8; PIECE], String>);

impl Pieces {
    /// Every piece of a secret that is no part of what is public, as it is and as a library keeps numbers: the last byte first.
    fn add(&mut self, name: &str, secret: &[u8], public: &[u8]) {
        for piece in secret.chunks_exact(PIECE) {
            let is_public = public.windows(PIECE).any(|part| part == piece);
            if !is_public && piece.iter().collect::<std::collections::BTreeSet<_>>().len() > 4 {
                let mut piece: [u8; PIECE] = piece.try_into().unwrap();
                self.0.insert(piece, name.to_owned());
                piece.reverse();
                self.0.insert(piece, format!("{name}, reversed"));
            }
        }
    }
}

/// The integers and octet strings of a private key (DER), whatever they are nested in.
fn leaves(der: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut found) = (der, Vec::new());
    while let [tag, first, more @ ..] = rest {
        let (len, content) = match usize::from(*first) {
            short @ 0..0x80 => (short, more),
            long => {
                let (len, content) = more.split_at(long - 0x80);
                (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), content)
            }
        };
        let (content, behind) = content.split_at(len);
        match tag {
            // A sequence, a tagged field.
            0x30 | 0xa0..=0xbf => found.extend(leaves(content)),
            // An octet string that begins like DER holds DER.
            0x04 if matches!(content, [0x30 | 0x04, ..]) && leaves_fit(content) => {
                found.extend(leaves(content));
            }
            0x02 => found.push(content.strip_prefix(&[0]).unwrap_or(content)),
            0x04 | 0x80..=0x9f => found.push(content),
            _ => {}
        }
        rest = behind;
    }
    found
}

fn leaves_fit(der: &[u8]) -> bool {
    std::panic::catch_unwind(|| leaves(der)).is_ok()
}

/// What is secret of a key: its own numbers, and what Ed25519 makes of its seed.
fn pieces_of(pieces: &mut Pieces, site: &Site, kek: &Kek, number: u32, algorithm: Algorithm, public: &[u8]) {
    let file = fs::read(site.keystore().join(format!("{}.key", id(number)))).unwrap();
    let sealed = SealedKey::read(&file).unwrap();
    let mut pkcs8 = vec![0; sealed.plaintext_len()];
    sealed.open(kek, &mut pkcs8).unwrap();
    for secret in leaves(&pkcs8) {
        pieces.add(&format!("{algorithm:?}"), secret, public);
        if algorithm == Algorithm::Ed25519 {
            pieces.add("what Ed25519 signs with", &Sha512::digest(secret), public);
        }
    }
}

/// A mapping of a process: its line in `maps`, and what root reads of it.
fn mappings(pid: u32) -> Vec<(String, Option<Vec<u8>>)> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let read = |line: &str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        memory.read_exact_at(&mut bytes, from).is_ok().then_some(bytes)
    };
    let lines = maps.lines().filter(|line| line.contains(" r") && !line.contains("[v"));
    lines.map(|line| (line.to_owned(), read(line))).collect()
}

fn found(pieces: &Pieces, memory: &[(String, Option<Vec<u8>>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (line, bytes) in memory {
        for (at, window) in bytes.iter().flat_map(|bytes| bytes.windows(PIECE).enumerate()) {
            if let Some(name) = pieces.0.get(window) {
                found.push(format!("{name} at {at:#x} of {line}"));
            }
        }
    }
    found
}

async fn probe_all(signer: &Signer) {
    let mut client = signer.client().await;
    for round in 0..20 {
        for number in 1..=ALGORITHMS.len() as u32 {
            let request = ProbeRequest { key_id: id(number), nonce: vec![round; 16] };
            client.probe(request).await.unwrap();
        }
    }
}

#[tokio::test]
async fn root_finds_nothing_of_a_key_in_the_memory_of_a_signer() {
    if !rustix::process::geteuid().is_root() {
        return println!("only root may look");
    }
    let site = Site::new();
    let kek: [u8; 32] = Sha512::digest(b"a KEK")[..32].try_into().unwrap();
    site.put_kek(&kek, 0o400);
    let first = site.start("a").await;
    let mut public = Vec::new();
    for (number, algorithm) in (1..).zip(ALGORITHMS) {
        let key = generate(&mut first.client().await, &id(number), algorithm).await.unwrap();
        public.push(key.public_key);
    }
    probe_all(&first).await;
    // One has made the keys, the other has opened them.
    let second = site.start("b").await;
    probe_all(&second).await;
    let memories = [mappings(first.child.id()), mappings(second.child.id())];
    if memories[0].iter().all(|(line, _)| !line.contains("secretmem")) {
        return println!("this kernel has no memfd_secret");
    }

    let mut pieces = Pieces::default();
    pieces.add("the KEK", &kek, &[]);
    pieces.add("what opens the keys", &extracted(&kek), &[]);
    let kek = Kek::new(kek);
    for ((number, algorithm), public) in (1..).zip(ALGORITHMS).zip(&public) {
        pieces_of(&mut pieces, &site, &kek, number, algorithm, public);
    }
    assert!(pieces.0.len() > 2 * (4 + 6 + 24 * 5 + 4), "{}", pieces.0.len());
    for memory in &memories {
        let (secret, readable): (Vec<_>, Vec<_>) =
            memory.iter().partition(|(line, _)| line.contains("secretmem"));
        assert!(secret.len() == 1 && secret[0].1.is_none(), "root reads the memory for keys");
        // The test sees what is there.
        let mut known = Pieces::default();
        known.add("a public key", &public[2], &[]);
        let readable: Vec<_> = readable.into_iter().cloned().collect();
        assert!(found(&known, &readable).len() >= 32);
        assert_eq!(found(&pieces, &readable), Vec::<String>::new());
    }
}

/// HKDF-SHA256 extract (RFC 5869, 2.2).
fn extracted(kek: &[u8; 32]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"trstctl/sealed-key/v1").unwrap();
    mac.update(kek);
    mac.finalize().into_bytes().to_vec()
}
