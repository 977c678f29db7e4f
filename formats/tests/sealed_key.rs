//! Sealed keys: the vectors of `docs/format/sealed-key.md`, every damage and its verdict, every forgery, no secret in words.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chacha20poly1305::{AeadInPlace as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use trstctl_formats::sealed_key::{
    Damage, Kek, KeyHeader, MAX_FILE_BYTES, MAX_PLAINTEXT_BYTES, SealedKey, SealedKeyFault, seal,
};
use trstctl_formats::{Class, Digest, Failure};

const EXAMPLE: &[u8] = include_bytes!("vectors/sealed-key/accept-v1-ed25519.key");
const DOCUMENT: &str = include_str!("../../docs/format/sealed-key.md");

const BEFORE_SEED: &str = "302e020100300506032b657004220420";
/// Test 1 of RFC 8032.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC_KEY: &str =
    "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

const KEK_ID: &str = "db315fd696322b39dd39e51f060f1354";
const AEAD_KEY: &str = "11167e28a9b1edd795987bb674a7ed4a5a924291ff349e6db237a0c7b1cfc7d5";
const COMMITMENT: &str = "7c776769eb382824ba0de839779f1abd0c8ae3ac63f8f2d65a1c50004ce4d865";
const CIPHERTEXT: &str = "6e0bd98190bcf12cb013d036272ff1e9c593e734d1149a29f7e35e22021d6a097471dfa9b231704393f83ea9a0f3d8b1075d45748484b8ea3f508486e854a577";
const FILE_SHA256: &str = "c7bf3c18f4193ff896d956eecb28432c64aff4167d1d589523e546b1d8918f2b";

/// So many bytes that count up from that one.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|index| first + index as u8)
}

fn kek() -> Kek {
    Kek::new(counting(0))
}

fn other_kek() -> Kek {
    Kek::new(counting(1))
}

fn header() -> KeyHeader {
    KeyHeader {
        algorithm: 5,
        purposes: 4,
        generation: 1,
        deployment_id: counting(0x20),
        key_id: counting(0x30),
        public_key_sha256: Digest(Sha256::digest(hex::decode(PUBLIC_KEY).unwrap()).into()),
    }
}

fn nonce() -> [u8; 24] {
    counting(0x40)
}

fn plaintext() -> Vec<u8> {
    hex::decode([BEFORE_SEED, SEED].concat()).unwrap()
}

fn example() -> Vec<u8> {
    seal(&kek(), &header(), &nonce(), &plaintext()).unwrap()
}

/// A key of the same deployment and KEK.
fn another_key() -> Vec<u8> {
    let header = KeyHeader { key_id: counting(0x70), ..header() };
    seal(&kek(), &header, &counting(0x80), &plaintext().iter().rev().copied().collect::<Vec<_>>()).unwrap()
}

/// The file with the checksum of what it holds.
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let covered = file.len().saturating_sub(32);
    let checksum = Sha256::digest(&file[..covered]);
    file.truncate(covered);
    file.extend_from_slice(&checksum);
    file
}

fn flipped(mut file: Vec<u8>, at: usize, bit: u8) -> Vec<u8> {
    file[at] ^= 1 << bit;
    file
}

/// The file with other bytes there, and the right checksum.
fn with(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    with_checksum(file)
}

/// Opens, and demands zeros where it fails.
fn open(file: &[u8], kek: &Kek) -> Result<Vec<u8>, SealedKeyFault> {
    let key = SealedKey::read(file)?;
    let mut out = vec![0xee; key.plaintext_len()];
    let opened = key.open(kek, &mut out);
    assert!(opened.is_ok() || out.iter().all(|byte| *byte == 0), "{out:x?}");
    opened.map(|()| out)
}

/// The verdict in one word, as vectors are named.
fn verdict(file: &[u8]) -> &'static str {
    match open(file, &kek()) {
        Ok(_) => "accept",
        Err(SealedKeyFault::Damaged { offset, .. }) if offset <= file.len() => "damaged",
        Err(SealedKeyFault::WrongKek { .. }) => "wrong_kek",
        Err(SealedKeyFault::Forged) => "forged",
        Err(fault) => panic!("{fault:?} of a file of {} bytes", file.len()),
    }
}

fn damage(file: &[u8]) -> Option<(usize, Damage)> {
    match SealedKey::read(file) {
        Err(SealedKeyFault::Damaged { offset, what }) => Some((offset, what)),
        read => read.map(|_| None).unwrap(),
    }
}

#[test]
fn the_vector_is_sealed_and_opened_byte_for_byte() {
    let file = example();
    assert_eq!(file.len(), 252);
    assert_eq!(hex::encode(Sha256::digest(&file)), FILE_SHA256);
    assert_eq!(hex::encode(&file[80..96]), KEK_ID);
    assert_eq!(hex::encode(&file[124..156]), COMMITMENT);
    assert_eq!(hex::encode(&file[156..220]), CIPHERTEXT);
    assert_eq!(file, EXAMPLE);

    let key = SealedKey::read(EXAMPLE).unwrap();
    assert_eq!((key.header(), key.plaintext_len()), (&header(), 48));
    assert_eq!((key.kek_id(), key.kek_id().to_string().as_str()), (kek().id(), KEK_ID));
    assert_eq!(open(EXAMPLE, &kek()).unwrap(), plaintext());
}

#[test]
fn the_vector_stands_in_the_document() {
    let values = [BEFORE_SEED, SEED, PUBLIC_KEY, KEK_ID, AEAD_KEY, COMMITMENT, CIPHERTEXT, FILE_SHA256];
    for value in values.into_iter().chain([&*header().public_key_sha256.to_string()]) {
        assert!(DOCUMENT.contains(value), "{value}");
    }
    let lines: Vec<_> = EXAMPLE.chunks(32).map(hex::encode).collect();
    assert!(DOCUMENT.contains(&lines.join("\n")));
}

#[test]
fn every_flipped_bit_is_damage_even_in_the_id_of_the_kek() {
    for at in 0..EXAMPLE.len() {
        for bit in 0..8 {
            assert_eq!(verdict(&flipped(example(), at, bit)), "damaged", "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_flipped_bit_with_the_right_checksum_has_the_verdict_of_its_field() {
    for at in 0..220 {
        let expected = match at {
            0..10 | 120..124 => "damaged",
            80..96 => "wrong_kek",
            _ => "forged",
        };
        for bit in 0..8 {
            let file = with_checksum(flipped(example(), at, bit));
            assert_eq!(verdict(&file), expected, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_other_length_is_damage_with_the_right_checksum_too() {
    for len in 0..EXAMPLE.len() {
        assert_eq!(verdict(&EXAMPLE[..len]), "damaged", "{len} bytes");
        assert_eq!(verdict(&with_checksum(EXAMPLE[..len].to_vec())), "damaged", "{len} bytes");
    }
    for more in [1, 2, 31, 32, 252, MAX_FILE_BYTES] {
        for byte in [0, 0xff] {
            let longer = [EXAMPLE, &vec![byte; more]].concat();
            assert_eq!(verdict(&longer), "damaged", "{more} bytes more");
            assert_eq!(verdict(&with_checksum(longer)), "damaged", "{more} bytes more");
        }
    }
}

#[test]
fn damage_is_placed_and_named() {
    let stated = |n: u32| damage(&with(example(), 120, &n.to_le_bytes()));
    let length = |bytes, expected| Damage::Length { bytes, expected };
    assert_eq!(damage(b""), Some((0, Damage::Magic)));
    assert_eq!(damage(b"trstkey\n"), Some((8, length(8, 204))));
    assert_eq!(damage(&EXAMPLE[..251]), Some((251, length(251, 252))));
    assert_eq!(damage(&[EXAMPLE, b"\n"].concat()), Some((252, length(253, 252))));
    assert_eq!(stated(47), Some((251, length(252, 251))));
    assert_eq!(stated(49), Some((252, length(252, 253))));
    assert_eq!(stated(0), Some((204, length(252, 204))));
    assert_eq!(stated(65_536), Some((252, length(252, 65_740))));
    assert_eq!(stated(65_537), Some((120, Damage::TooLong(65_537))));
    assert_eq!(stated(u32::MAX), Some((120, Damage::TooLong(u32::MAX))));
    assert_eq!(damage(&flipped(example(), 8, 1)), Some((220, Damage::Checksum)));
    assert_eq!(damage(&flipped(example(), 251, 7)), Some((220, Damage::Checksum)));
    assert_eq!(damage(&with(example(), 8, &[2, 0])), Some((8, Damage::Version(2))));
    assert_eq!(damage(&with(example(), 8, &[0, 1])), Some((8, Damage::Version(256))));
    let newer_and_longer = with([EXAMPLE, b"more"].concat(), 8, &[2, 0]);
    assert_eq!(damage(&newer_and_longer), Some((8, Damage::Version(2))));
    let huge = with([EXAMPLE, &vec![0; MAX_FILE_BYTES]].concat(), 8, &[2, 0]);
    let expected = length(MAX_FILE_BYTES + 252, MAX_FILE_BYTES);
    assert_eq!(damage(&huge), Some((MAX_FILE_BYTES, expected)));
}

#[test]
fn another_kek_is_named_beside_the_one_of_the_file() {
    let fault = open(EXAMPLE, &other_kek()).unwrap_err();
    assert_eq!(fault, SealedKeyFault::WrongKek { file: kek().id(), given: other_kek().id() });
    assert!(fault.to_string().contains(KEK_ID) && fault.to_string().contains(&other_kek().id().to_string()));
    // A whole file decides before a forged one: without the KEK nobody can tell.
    let forged = with_checksum(flipped(example(), 200, 0));
    assert_eq!(open(&forged, &other_kek()), Err(fault));
}

#[test]
fn no_part_of_another_keys_file_opens_under_this_header() {
    let theirs = another_key();
    assert_eq!(verdict(&theirs), "accept");
    let fields = [10, 11, 12, 16, 32, 48, 96, 124, 156, 204, 220];
    for (index, from) in fields.iter().enumerate() {
        for to in &fields[index + 1..] {
            let swapped = with(example(), *from, &theirs[*from..*to]);
            let is_whole = swapped == EXAMPLE || swapped == theirs;
            assert_eq!(verdict(&swapped), if is_whole { "accept" } else { "forged" }, "{from}..{to}");
        }
    }
}

#[test]
fn a_commitment_of_another_kek_does_not_help() {
    let theirs = seal(&other_kek(), &header(), &nonce(), &plaintext()).unwrap();
    let renamed = with(theirs, 80, &kek().id().0);
    assert_eq!(verdict(&renamed), "forged");
}

/// As somebody could make it who knows the key of the file: a tag that holds over another commitment.
#[test]
fn a_tag_that_holds_does_not_help_a_commitment_that_does_not() {
    let cipher = XChaCha20Poly1305::new_from_slice(&hex::decode(AEAD_KEY).unwrap()).unwrap();
    for commitment_bit in [None, Some(0), Some(255)] {
        let mut file = example();
        if let Some(bit) = commitment_bit {
            file[124 + bit / 8] ^= 1 << (bit % 8);
        }
        let (associated, rest) = file.split_at_mut(156);
        rest[..48].copy_from_slice(&plaintext());
        let nonce = XNonce::from(nonce());
        let tag = cipher.encrypt_in_place_detached(&nonce, associated, &mut rest[..48]).unwrap();
        let expected = if commitment_bit.is_none() { "accept" } else { "forged" };
        assert_eq!(verdict(&with(file, 204, &tag)), expected);
    }
}

#[test]
fn longest_key_is_sealed_and_a_longer_one_is_not() {
    let longest = vec![7; MAX_PLAINTEXT_BYTES];
    let file = seal(&kek(), &header(), &nonce(), &longest).unwrap();
    assert_eq!((file.len(), file.capacity()), (MAX_FILE_BYTES, MAX_FILE_BYTES));
    assert!(open(&file, &kek()).unwrap() == longest);
    let longer = vec![7; MAX_PLAINTEXT_BYTES + 1];
    let fault = seal(&kek(), &header(), &nonce(), &longer).unwrap_err();
    assert_eq!(fault, SealedKeyFault::TooLong { bytes: MAX_PLAINTEXT_BYTES + 1 });
}

#[test]
#[should_panic(expected = "memory of its length")]
fn a_key_is_not_opened_into_memory_of_another_length() {
    let _ = SealedKey::read(EXAMPLE).unwrap().open(&kek(), &mut [0; 47]);
}

#[test]
fn neither_debug_nor_messages_show_a_secret() {
    let key = SealedKey::read(EXAMPLE).unwrap();
    assert_eq!(format!("{:?}", kek()), format!("Kek({KEK_ID})"));
    let shown = format!("{key:?}");
    assert!(shown.contains(KEK_ID) && shown.contains("generation: 1"), "{shown}");
    for secret in [&EXAMPLE[124..132], &EXAMPLE[156..164], &plaintext()[16..24]] {
        assert!(!shown.contains(&hex::encode(secret)), "{shown}");
        assert!(!shown.contains(format!("{secret:?}").trim_matches(['[', ']'])), "{shown}");
    }
}

#[test]
fn every_fault_says_what_to_do_and_is_a_failure_of_its_class() {
    let faults = [
        (open(&EXAMPLE[..100], &kek()).unwrap_err(), Class::Damaged, Some(100)),
        (open(&with(example(), 8, &[2, 0]), &kek()).unwrap_err(), Class::NewerVersion, Some(8)),
        (open(EXAMPLE, &other_kek()).unwrap_err(), Class::WrongKey, None),
        (open(&with(example(), 16, b"x"), &kek()).unwrap_err(), Class::Tampered, None),
        (SealedKeyFault::TooLong { bytes: 70_000 }, Class::Usage, None),
    ];
    for (fault, class, offset) in faults {
        let failure = Failure::from(fault);
        assert_eq!((failure.class, failure.place.offset), (class, offset));
        assert_eq!(fault.to_string(), format!("{} {}", failure.message, failure.hint));
        assert!(failure.message.ends_with('.') && failure.hint.ends_with('.'), "{fault}");
    }
}

/// How each vector is made, by its name.
fn cases() -> BTreeMap<&'static str, Vec<u8>> {
    let none = seal(&kek(), &header(), &nonce(), b"").unwrap();
    let rsa = KeyHeader { algorithm: 4, purposes: 0xff, generation: u32::MAX, ..header() };
    let long = seal(&kek(), &rsa, &[0xff; 24], &(0..2374).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
    let with_bit = |at| with_checksum(flipped(example(), at, 0));
    BTreeMap::from([
        ("accept-v1-ed25519", example()),
        ("accept-v1-long", long),
        ("accept-v1-nothing-sealed", none),
        ("refuse-damaged-empty", vec![]),
        ("refuse-damaged-magic-only", b"trstkey\n".to_vec()),
        ("refuse-damaged-v1-bit-in-magic", with_bit(0)),
        ("refuse-damaged-v1-bit-in-key_id", flipped(example(), 32, 0)),
        ("refuse-damaged-v1-bit-in-kek_id", flipped(example(), 80, 0)),
        ("refuse-damaged-v1-bit-in-tag", flipped(example(), 219, 0)),
        ("refuse-damaged-v1-bit-in-checksum", flipped(example(), 251, 7)),
        ("refuse-damaged-v1-last-byte-missing", EXAMPLE[..251].to_vec()),
        ("refuse-damaged-v1-newline-after", [EXAMPLE, b"\n"].concat()),
        ("refuse-damaged-v1-length-huge", with(example(), 120, &[0xff; 4])),
        ("refuse-damaged-v1-length-one-more", with(example(), 120, &[49])),
        ("refuse-damaged-v2", with(example(), 8, &[2])),
        ("refuse-wrong_kek-v1-other-kek", seal(&other_kek(), &header(), &nonce(), &plaintext()).unwrap()),
        ("refuse-wrong_kek-v1-bit-in-kek_id", with_bit(80)),
        ("refuse-forged-v1-bit-in-purposes", with_bit(11)),
        ("refuse-forged-v1-bit-in-deployment_id", with_bit(16)),
        ("refuse-forged-v1-bit-in-nonce", with_bit(96)),
        ("refuse-forged-v1-bit-in-commitment", with_bit(124)),
        ("refuse-forged-v1-bit-in-ciphertext", with_bit(156)),
        ("refuse-forged-v1-bit-in-tag", with_bit(219)),
        ("refuse-forged-v1-header-of-another-key", with(example(), 10, &another_key()[10..80])),
        ("refuse-forged-v1-content-of-another-key", with(example(), 96, &another_key()[96..220])),
    ])
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sealed-key")
}

/// Path and content of every file, by its name without extension.
fn files() -> BTreeMap<String, (PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        (name, (path, bytes))
    };
    paths.map(named).collect()
}

#[test]
fn every_vector_has_its_case_and_the_verdict_of_its_name() {
    let cases = cases();
    if std::env::var_os("TRSTCTL_WRITE_VECTORS").is_some() {
        for (name, bytes) in &cases {
            #[allow(clippy::disallowed_methods, reason = "a vector is part of the sources, not an output")]
            fs::write(folder().join(format!("{name}.key")), bytes).unwrap();
        }
    }
    let files = files();
    assert!(files.keys().eq(cases.keys()), "{:?}", files.keys());
    for (name, (_, bytes)) in files {
        assert!(bytes == cases[&*name], "{name} has another content");
        let stated = name.strip_prefix("refuse-").unwrap_or(&name);
        assert!(stated.starts_with(verdict(&bytes)), "{name}: {}", verdict(&bytes));
    }
}

/// Fifteen lines that know nothing of this crate derive the same ids and commitments.
#[test]
fn a_second_reader_gives_every_vector_the_same_verdict_up_to_the_cipher() {
    let files = files();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/sealed_key.py");
    let answer = Command::new("python3")
        .arg(script)
        .args(files.values().map(|(path, _)| path))
        .output()
        .expect("python3 runs; scripts/setup installs it");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let answers = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answers.lines().count(), files.len());
    for ((name, (_, bytes)), theirs) in files.iter().zip(answers.lines()) {
        let is_of_the_cipher = ["bit-in-ciphertext", "bit-in-tag"].iter().any(|end| name.ends_with(end));
        let ours = match verdict(bytes) {
            "accept" => "committed",
            "forged" if is_of_the_cipher => "committed",
            other => other,
        };
        assert_eq!(theirs, ours, "{name}");
    }
}

fn any_header() -> impl Strategy<Value = KeyHeader> {
    let fields = (any::<(u8, u8, u32)>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>());
    fields.prop_map(|((algorithm, purposes, generation), deployment_id, key_id, digest)| KeyHeader {
        algorithm,
        purposes,
        generation,
        deployment_id,
        key_id,
        public_key_sha256: Digest(digest),
    })
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_and_by_its_kek_only(
        bytes: [u8; 32],
        other: [u8; 32],
        header in any_header(),
        nonce: [u8; 24],
        plaintext in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let kek = Kek::new(bytes);
        let file = seal(&kek, &header, &nonce, &plaintext).unwrap();
        let key = SealedKey::read(&file).unwrap();
        prop_assert_eq!(key.header(), &header);
        prop_assert_eq!((key.kek_id(), key.plaintext_len()), (kek.id(), plaintext.len()));
        prop_assert_eq!(open(&file, &kek).unwrap(), plaintext);
        if other != bytes {
            let given = Kek::new(other);
            let fault = SealedKeyFault::WrongKek { file: kek.id(), given: given.id() };
            prop_assert_eq!(open(&file, &given), Err(fault));
        }
    }
}
