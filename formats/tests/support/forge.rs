//! Edits a backup as a forger would: a change, then the right checksum and, with the key, the right MACs.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::KEY_FILE;

/// The lines with their newlines.
pub fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// Replaces the first place of `from`, which must be there.
pub fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = memchr::memmem::find(bytes, from).unwrap_or_else(|| panic!("no {}", from.escape_ascii()));
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Puts `value` in place of the string that follows `before`, when it is there.
fn set(line: &mut Vec<u8>, before: &str, value: &str) {
    if let Some(at) = memchr::memmem::rfind(line, before.as_bytes()) {
        let from = at + before.len();
        let to = from + memchr::memchr(b'"', &line[from..]).unwrap();
        line.splice(from..to, value.bytes());
    }
}

/// The same file with the right checksum and MACs in its last line.
pub fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut all = lines(bytes);
    let mut trailer = all.pop().unwrap();
    let body = all.concat();
    set(&mut trailer, "\"sha256\":\"", &hex::encode(Sha256::digest(&body)));
    remac(&mut trailer, &body);
    [body, trailer].concat()
}

/// Computes the MAC of a trailer again.
fn remac(trailer: &mut Vec<u8>, body: &[u8]) {
    let before = b",\"hmac_sha256\":\"";
    let is_v2 = memchr::memmem::find(trailer, b"merkle_root").is_some();
    if let Some(at) = memchr::memmem::rfind(trailer, before) {
        let (label, covered) = if is_v2 { ("v2", &trailer[..at]) } else { ("v1", body) };
        let key = mac(KEY_FILE, format!("trstctl/backup-integrity/{label}").as_bytes());
        let value = hex::encode(mac(&key, covered));
        set(trailer, "\"hmac_sha256\":\"", &value);
    }
}

/// The same file with that root of all its lines in the trailer, and of each tenant, then forged: as if a writer had
/// written these lines.
pub fn rooted(bytes: &[u8]) -> Vec<u8> {
    let mut all = lines(bytes);
    let mut trailer = all.pop().unwrap();
    let mut tree = trstctl_formats::merkle::Tree::new();
    for line in &all[1..] {
        tree.push(trstctl_formats::merkle::leaf_hash(line.strip_suffix(b"\n").unwrap()));
    }
    let root = tree.root().to_string();
    let at = memchr::memmem::find(&trailer, b"\"merkle_root\":\"").unwrap() + 15;
    trailer.splice(at..at + 64, root.bytes());
    all.push(trailer);
    forged(&all.concat())
}
