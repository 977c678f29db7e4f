//! What a key was sealed and opened with does not stay in the memory of the process.
//!
//! A program of its own with one test, so that no other thread computes with secrets meanwhile. It reads all of its own
//! memory. Secrets stand here as the complement of their bits, or the test would find itself. What computes with them is far
//! down a stack of its own, which nothing uses again before it was read.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::sync_channel;
use std::thread;

use sha2::{Digest as _, Sha256};
use trstctl_formats::Digest;
use trstctl_formats::sealed_key::{Kek, KeyHeader, SealedKey, SealedKeyFault, seal};

const KEK: &str = "7375b3e36a9c4ec2ee30e1e0e4d8edda6a3e08e4787bfbcff0f4fc5cd626d494";
const PLAINTEXT: &str = "2c57d2773ab30760cfb8dafa20a42fef2f9a5ea45ab65a372b131d327c35ffea";
/// With what is derived from these, by a program that knows nothing of this crate.
const SECRETS: &[(&str, &str)] = &[
    ("the KEK", KEK),
    ("the key that is sealed", PLAINTEXT),
    ("what HKDF extracts", "83240fa658f4432619493cbaac0b1a4c79bb6ac22ef69b07ccf7c93370dfef42"),
    ("the key of the file", "8830aa3254eab956cccbc9135ffb05af8eaac5999e1d5052a088a307b2b5a9c4"),
    (
        "the key that HChaCha20 makes of it",
        "443285d4566f70e99a493de1e59bcec6b9b0e1f8b82c5b4e599b854838177d47",
    ),
    ("the key of Poly1305", "f9813bf21393327d84784b68574b19e70320ead8c3058488c55d074cc369ec4e"),
];

/// A secret in the clear, on the heap.
struct Secret(Box<[u8; 32]>);

impl Secret {
    fn of(complement: &str) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        for (byte, digits) in secret.0.iter_mut().zip(complement.as_bytes().chunks(2)) {
            *byte = !u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        secret
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0[..]);
    }
}

/// Which mappings of this process hold the secret, or half of it.
fn found(complement: &str) -> Vec<String> {
    let complement = hex::decode(complement).unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let readable = maps.lines().filter(|line| line.contains(" r") && !line.contains("[v"));
    let holds = |line: &&str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        (from..to).step_by(buffer.len() - 64).any(|at| {
            let len = (to - at).min(buffer.len() as u64) as usize;
            // A mapping may have gone since.
            let len = memory.read_at(&mut buffer[..len], at).unwrap_or(0);
            complement.chunks(16).any(|half| holds_complement(&buffer[..len], half))
        })
    };
    readable.filter(holds).map(str::to_owned).collect()
}

/// Searched without writing what is searched for.
fn holds_complement(memory: &[u8], complement: &[u8]) -> bool {
    let is_here = |memory: &[u8]| memory.iter().zip(complement).all(|(byte, other)| *byte == !*other);
    let mut firsts = memchr::memchr_iter(!complement[0], memory);
    firsts.any(|at| memory.len() - at >= complement.len() && is_here(&memory[at..]))
}

/// What is found of each secret once that was done, and before its thread goes on.
fn left_by(what: &str, compute: impl FnOnce() + Send) {
    let (done, is_done) = sync_channel(0);
    let (looked, has_looked) = sync_channel(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            far_down(compute);
            done.send(()).unwrap();
            has_looked.recv().unwrap();
        });
        is_done.recv().unwrap();
        let left: Vec<_> = SECRETS.iter().map(|(name, complement)| (name, found(complement))).collect();
        looked.send(()).unwrap();
        assert!(left.iter().all(|(_, found)| found.is_empty()), "left after {what}: {left:#?}");
    });
}

/// Far below what waiting for another thread uses.
#[inline(never)]
fn far_down(compute: impl FnOnce()) {
    black_box([0_u8; 64 << 10]);
    compute();
}

fn sealed() -> Vec<u8> {
    let header = KeyHeader {
        algorithm: 5,
        purposes: 4,
        generation: 1,
        deployment_id: [0; 16],
        key_id: [0; 16],
        public_key_sha256: Digest([0; 32]),
    };
    let nonce = std::array::from_fn(|index| 0x40 + index as u8);
    seal(&kek(), &header, &nonce, &Secret::of(PLAINTEXT).0[..]).unwrap()
}

fn kek() -> Kek {
    Kek::new(*Secret::of(KEK).0)
}

#[test]
fn nothing_secret_is_left_in_memory_by_sealing_or_opening_a_key() {
    let secret = Secret::of(KEK);
    assert!(!found(KEK).is_empty(), "the test does not see what is there");
    drop(secret);

    left_by("deriving", || drop(kek()));
    let mut file = Vec::new();
    left_by("sealing", || file = sealed());
    left_by("opening", || {
        let mut out = Secret(Box::new([0; 32]));
        SealedKey::read(&file).unwrap().open(&kek(), &mut out.0[..]).unwrap();
    });
    left_by("failing to open", || {
        let mut changed = file.clone();
        changed[160] ^= 1;
        let covered = changed.len() - 32;
        let checksum = Sha256::digest(&changed[..covered]);
        changed[covered..].copy_from_slice(&checksum);
        let mut out = Secret(Box::new([0; 32]));
        let opened = SealedKey::read(&changed).unwrap().open(&kek(), &mut out.0[..]);
        assert_eq!(opened, Err(SealedKeyFault::Forged));
    });

    let mut out = Secret(Box::new([0; 32]));
    SealedKey::read(&file).unwrap().open(&kek(), &mut out.0[..]).unwrap();
    assert!(!found(PLAINTEXT).is_empty(), "another key was opened than the test looks for");
}
