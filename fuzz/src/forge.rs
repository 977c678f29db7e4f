//! Puts the right checksums, roots and MACs into whatever input: what a chance edit breaks first, and a forger would not.
//!
//! Without this, nearly every mutation of a whole file would end at its checksum. Nothing here fails: where an input has no
//! place for a digest, it stays as it is.

use std::collections::BTreeMap;
use std::ops::Range;

use bech32::primitives::iter::Fe32IterExt as _;
use bech32::{Bech32, Fe32, Hrp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use memchr::memmem;
use sha2::{Digest as _, Sha256};
use trstctl_formats::backup::FormatVersion;
use trstctl_formats::merkle::{Tree, leaf_hash};

/// The key file of the worked examples.
pub const KEY_FILE: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";

/// A backup with the digests of its lines in its last one.
pub fn backup(version: FormatVersion, file: &[u8]) -> Vec<u8> {
    let last = memchr::memrchr(b'\n', file.strip_suffix(b"\n").unwrap_or(file)).map_or(0, |at| at + 1);
    let (body, trailer) = file.split_at(last);
    let mut trailer = trailer.to_vec();
    if version == FormatVersion::V2 {
        put_roots(body, &mut trailer);
    }
    put(&mut trailer, b"\"sha256\":\"", &hex::encode(Sha256::digest(body)));
    let mac = match (version, memmem::rfind(&trailer, b",\"hmac_sha256\":\"")) {
        (FormatVersion::V1, _) => mac("trstctl/backup-integrity/v1", body),
        (FormatVersion::V2, Some(covered)) => mac("trstctl/backup-integrity/v2", &trailer[..covered]),
        (FormatVersion::V2, None) => String::new(),
    };
    put(&mut trailer, b"\"hmac_sha256\":\"", &mac);
    [body, &trailer].concat()
}

/// A tree head with the digest of what is before it, and the MAC of what is before that.
pub fn tree_head(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    if let Some(covered) = memmem::rfind(&file, b",\"sha256\":\"") {
        let digest = hex::encode(Sha256::digest(&file[..covered]));
        put(&mut file, b",\"sha256\":\"", &digest);
    }
    if let Some(covered) = memmem::rfind(&file, b",\"hmac_sha256\":\"") {
        let mac = mac("trstctl/tree-head/v1", &file[..covered]);
        put(&mut file, b",\"hmac_sha256\":\"", &mac);
    }
    file
}

/// A file whose last 32 bytes are the SHA-256 of those before them.
pub fn checksum(file: &[u8]) -> Vec<u8> {
    let Some((covered, _)) = file.split_last_chunk::<32>() else { return file.to_vec() };
    [covered, &Sha256::digest(covered)].concat()
}

/// A sealed key of version 1 and of its length, whatever else it holds; too short a file stays as it is.
pub fn sealed_key(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    if let Some(n) = file.len().checked_sub(204) {
        file[..10].copy_from_slice(b"trstkey\n\x01\0");
        file[120..124].copy_from_slice(&(n as u32).to_le_bytes());
    }
    checksum(&file)
}

/// A journal whose lines have the right numbers and name the lines before them, where they have a place for that.
pub fn journal(file: &[u8]) -> Vec<u8> {
    let mut previous = hex::encode([0; 32]);
    let mut chained = Vec::new();
    for (index, line) in file.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let mut line = line.to_vec();
        if let Some(from) = memmem::find(&line, b"\"number\":").map(|at| at + 9) {
            let digits = line[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            line.splice(from..from + digits, (index + 1).to_string().into_bytes());
        }
        if let Some(range) =
            memmem::find(&line, b"\"previous\":\"").and_then(|at| string_from(&line, at + 12))
        {
            line.splice(range, previous.bytes());
        }
        previous = hex::encode(Sha256::digest(line.strip_suffix(b"\n").unwrap_or(&line)));
        chained.extend(line);
    }
    chained
}

/// The head that names the last whole line of a journal.
pub fn journal_head(file: &[u8]) -> Vec<u8> {
    let lines = file.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let (count, last) = lines.fold((0, None), |(count, _), line| (count + 1, Some(line)));
    let digest = last.map_or_else(|| hex::encode([0; 32]), |line| hex::encode(Sha256::digest(line)));
    format!("{count:020} {digest}\n").into_bytes()
}

/// A share of the kind that a line begins with, with what follows as its content, however short or long, and the right checksum.
pub fn key_share(line: &str) -> String {
    const BITS: usize = 380;
    const ALPHABET: &str = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    let line = line.to_ascii_uppercase();
    let prefix = if line.starts_with("TI") { "TI" } else { "TK" };
    let content = line.chars().skip(3).filter_map(|letter| ALPHABET.find(letter));
    let values = content.chain(std::iter::repeat(0)).take(BITS / 5);
    let fields = values.map(|value| Fe32::try_from(value as u8).expect("there are 32 letters"));
    let hrp = Hrp::parse_unchecked(prefix);
    let characters = fields.with_checksum::<Bech32>(&hrp).chars();
    characters.collect::<String>().to_ascii_uppercase()
}

fn mac(label: &str, message: &[u8]) -> String {
    let of = |key: &[u8], message: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(message);
        mac.finalize().into_bytes()
    };
    hex::encode(of(&of(KEY_FILE, label.as_bytes()), message))
}

/// Puts `value` in place of the string that follows the last `before`, when there is one.
fn put(line: &mut Vec<u8>, before: &[u8], value: &str) {
    if let Some(range) = memmem::rfind(line, before).and_then(|at| string_from(line, at + before.len())) {
        line.splice(range, value.bytes());
    }
}

/// Where the string is whose first byte is at `from`.
fn string_from(line: &[u8], from: usize) -> Option<Range<usize>> {
    Some(from..from + memchr::memchr(b'"', &line[from..])?)
}

/// The root of all lines, and that of each tenant's lines.
fn put_roots(body: &[u8], trailer: &mut Vec<u8>) {
    let mut all = Tree::new();
    let mut tenants: BTreeMap<&[u8], Tree> = BTreeMap::new();
    for line in body.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let leaf = leaf_hash(line);
        all.push(leaf);
        tenants.entry(tenant_of(line)).or_default().push(leaf);
    }
    put_tenants(trailer, &tenants);
    let root = all.root().to_string();
    if let Some(range) =
        memmem::find(trailer, b"\"merkle_root\":\"").and_then(|at| string_from(trailer, at + 15))
    {
        trailer.splice(range, root.bytes());
    }
}

fn tenant_of(line: &[u8]) -> &[u8] {
    let before = b",\"tenant_id\":\"";
    let range = memmem::find(line, before).and_then(|at| string_from(line, at + before.len()));
    range.map_or(b"", |range| &line[range])
}

fn put_tenants(trailer: &mut Vec<u8>, tenants: &BTreeMap<&[u8], Tree>) {
    let before = b",\"tenants\":[";
    let Some(from) = memmem::find(trailer, before).map(|at| at + before.len()) else { return };
    // Ids may hold brackets; after the tenants there are none.
    let Some(len) = memchr::memrchr(b']', &trailer[from..]) else { return };
    let list: Vec<Vec<u8>> = tenants
        .iter()
        .map(|(id, tree)| {
            let rest = format!("\",\"records\":{},\"merkle_root\":\"{}\"}}", tree.len(), tree.root());
            [b"{\"tenant_id\":\"", *id, rest.as_bytes()].concat()
        })
        .collect();
    trailer.splice(from..from + len, list.join(&b","[..]));
}
