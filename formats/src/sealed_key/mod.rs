//! The sealed key file: a private key at rest, encrypted under the deployment's KEK (`docs/format/sealed-key.md`).
//!
//! The order of checks makes each verdict true: the checksum first, so that damage is never called a wrong KEK or a forgery;
//! then the KEK's id; only then what a forger would have to break. What was read and not opened is a [`SealedKey`], and
//! what it says may be anybody's until [`SealedKey::open`] succeeds.

mod fault;
mod kek;
mod stack;

use std::fmt;

use chacha20poly1305::{AeadInPlace as _, Tag, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::Digest;
pub use fault::{Damage, SealedKeyFault};
pub use kek::{Kek, KekId, KekMemory};

/// The version that is written and read.
///
/// 1: the first.
pub const VERSION: u16 = 1;
/// No longer key is sealed or read, in bytes of PKCS#8: many times the longest that the signer makes.
pub const MAX_PLAINTEXT_BYTES: usize = 64 << 10;
/// A longer file is no sealed key.
pub const MAX_FILE_BYTES: usize = OVERHEAD_BYTES + MAX_PLAINTEXT_BYTES;

const MAGIC: &[u8; 8] = b"trstkey\n";
const VERSION_AT: usize = 8;
const ALGORITHM_AT: usize = 10;
const PURPOSES_AT: usize = 11;
const GENERATION_AT: usize = 12;
const DEPLOYMENT_ID_AT: usize = 16;
const KEY_ID_AT: usize = 32;
const PUBLIC_KEY_AT: usize = 48;
const KEK_ID_AT: usize = 80;
const NONCE_AT: usize = 96;
const LENGTH_AT: usize = 120;
const COMMITMENT_AT: usize = 124;
const CIPHERTEXT_AT: usize = 156;
const TAG_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 32;
/// What a file has besides the ciphertext.
const OVERHEAD_BYTES: usize = CIPHERTEXT_AT + TAG_BYTES + CHECKSUM_BYTES;

/// What a sealed key says of itself in the clear. Authenticated by [`SealedKey::open`], not before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyHeader {
    /// Algorithm of the key, by the signer's numbers.
    pub algorithm: u8,
    /// What the key may sign, by the signer's bits.
    pub purposes: u8,
    /// Which of the key's files it is, by the signer's count.
    pub generation: u32,
    /// The deployment that the key belongs to.
    pub deployment_id: [u8; 16],
    /// Names the key.
    pub key_id: [u8; 16],
    /// SHA-256 of its public key (SPKI, DER). Nothing here compares it with what is opened: the signer does.
    pub public_key_sha256: Digest,
}

impl KeyHeader {
    fn push(&self, file: &mut Vec<u8>) {
        file.extend_from_slice(&[self.algorithm, self.purposes]);
        file.extend_from_slice(&self.generation.to_le_bytes());
        file.extend_from_slice(&self.deployment_id);
        file.extend_from_slice(&self.key_id);
        file.extend_from_slice(&self.public_key_sha256.0);
    }

    fn of(file: &[u8]) -> Self {
        Self {
            algorithm: file[ALGORITHM_AT],
            purposes: file[PURPOSES_AT],
            generation: u32::from_le_bytes(field(file, GENERATION_AT)),
            deployment_id: field(file, DEPLOYMENT_ID_AT),
            key_id: field(file, KEY_ID_AT),
            public_key_sha256: Digest(field(file, PUBLIC_KEY_AT)),
        }
    }
}

/// Seals a private key (PKCS#8) under a KEK, and gives the file.
///
/// The nonce is 24 bytes of the system's randomness, never used before. The plaintext is encrypted where it is copied to;
/// wiping the original is the caller's.
///
/// # Errors
/// [`SealedKeyFault::TooLong`] beyond [`MAX_PLAINTEXT_BYTES`].
pub fn seal(
    kek: &Kek,
    header: &KeyHeader,
    nonce: &[u8; 24],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealedKeyFault> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(SealedKeyFault::TooLong { bytes: plaintext.len() });
    }
    // Never grown: a vector that moves leaves what it held behind.
    let mut file = Vec::with_capacity(OVERHEAD_BYTES + plaintext.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    header.push(&mut file);
    file.extend_from_slice(&kek.id().0);
    file.extend_from_slice(nonce);
    file.extend_from_slice(&(plaintext.len() as u32).to_le_bytes());
    stack::wiped_after(|| push_encrypted(&mut file, kek, nonce, plaintext));
    let checksum = Sha256::digest(&file);
    file.extend_from_slice(&checksum);
    Ok(file)
}

/// Commitment, ciphertext and tag.
fn push_encrypted(file: &mut Vec<u8>, kek: &Kek, nonce: &[u8; 24], plaintext: &[u8]) {
    let keys = kek.file_keys(file);
    file.extend_from_slice(keys.commitment());
    file.extend_from_slice(plaintext);
    let (associated, text) = file.split_at_mut(CIPHERTEXT_AT);
    let sealed = keys.cipher().encrypt_in_place_detached(XNonce::from_slice(nonce), associated, text);
    file.extend_from_slice(&sealed.expect("256 GiB can be encrypted under one nonce"));
}

/// A sealed key that is whole: its checksum holds. Who made it is not known yet.
pub struct SealedKey<'a> {
    file: &'a [u8],
    header: KeyHeader,
}

impl<'a> SealedKey<'a> {
    /// Reads a file, and checks what needs no KEK. Reserves no memory, whatever the file claims; of a file longer than
    /// [`MAX_FILE_BYTES`], one byte more than that is enough to be given.
    ///
    /// # Errors
    /// [`SealedKeyFault::Damaged`] for magic, length, checksum and version, in this order.
    pub fn read(file: &'a [u8]) -> Result<Self, SealedKeyFault> {
        check_whole(file)?;
        Ok(Self { file, header: KeyHeader::of(file) })
    }

    /// What it says of itself.
    pub fn header(&self) -> &KeyHeader {
        &self.header
    }

    /// The KEK that it says it was sealed under.
    pub fn kek_id(&self) -> KekId {
        KekId(field(self.file, KEK_ID_AT))
    }

    /// Length of the key, in bytes: at most [`MAX_PLAINTEXT_BYTES`].
    pub fn plaintext_len(&self) -> usize {
        self.file.len() - OVERHEAD_BYTES
    }

    /// Decrypts into memory of the caller's choice. What it holds after an error is zeros.
    ///
    /// # Errors
    /// [`SealedKeyFault::WrongKek`], else [`SealedKeyFault::Forged`].
    ///
    /// # Panics
    /// When `out` is not [`plaintext_len`](Self::plaintext_len) bytes long.
    pub fn open(&self, kek: &Kek, out: &mut [u8]) -> Result<(), SealedKeyFault> {
        assert_eq!(out.len(), self.plaintext_len(), "a key is opened into memory of its length");
        let opened = stack::wiped_after(|| self.decrypt(kek, out));
        if opened.is_err() {
            out.zeroize();
        }
        opened
    }

    fn decrypt(&self, kek: &Kek, out: &mut [u8]) -> Result<(), SealedKeyFault> {
        if kek.id() != self.kek_id() {
            return Err(SealedKeyFault::WrongKek { file: self.kek_id(), given: kek.id() });
        }
        let keys = kek.file_keys(&self.file[..COMMITMENT_AT]);
        if !keys.has_commitment(&self.file[COMMITMENT_AT..CIPHERTEXT_AT]) {
            return Err(SealedKeyFault::Forged);
        }
        let (associated, rest) = self.file.split_at(CIPHERTEXT_AT);
        let (ciphertext, rest) = rest.split_at(out.len());
        out.copy_from_slice(ciphertext);
        let (nonce, tag) = (&self.file[NONCE_AT..LENGTH_AT], Tag::from_slice(&rest[..TAG_BYTES]));
        let opened = keys.cipher().decrypt_in_place_detached(XNonce::from_slice(nonce), associated, out, tag);
        opened.map_err(|_| SealedKeyFault::Forged)
    }
}

impl fmt::Debug for SealedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SealedKey");
        out.field("header", &self.header).field("kek_id", &self.kek_id()).finish_non_exhaustive()
    }
}

/// Whether a file is what was written, as far as can be told without a KEK.
fn check_whole(file: &[u8]) -> Result<(), SealedKeyFault> {
    if !file.starts_with(MAGIC) {
        return Err(Damage::Magic.at(0));
    }
    let bytes = file.len();
    if bytes < OVERHEAD_BYTES {
        return Err(Damage::Length { bytes, expected: OVERHEAD_BYTES }.at(bytes));
    }
    let version = u16::from_le_bytes(field(file, VERSION_AT));
    if version == VERSION {
        check_length(file)?;
    }
    // Of another version only this is known: how long it may be, and that its checksum is at its end.
    if bytes > MAX_FILE_BYTES {
        return Err(Damage::Length { bytes, expected: MAX_FILE_BYTES }.at(MAX_FILE_BYTES));
    }
    let (covered, checksum) = file.split_at(bytes - CHECKSUM_BYTES);
    if Sha256::digest(covered)[..] != *checksum {
        return Err(Damage::Checksum.at(covered.len()));
    }
    if version != VERSION {
        return Err(Damage::Version(version).at(VERSION_AT));
    }
    Ok(())
}

fn check_length(file: &[u8]) -> Result<(), SealedKeyFault> {
    let stated = u32::from_le_bytes(field(file, LENGTH_AT));
    if stated as usize > MAX_PLAINTEXT_BYTES {
        return Err(Damage::TooLong(stated).at(LENGTH_AT));
    }
    let (bytes, expected) = (file.len(), OVERHEAD_BYTES + stated as usize);
    if bytes != expected {
        return Err(Damage::Length { bytes, expected }.at(bytes.min(expected)));
    }
    Ok(())
}

/// The field at that offset of a file that is long enough.
fn field<const N: usize>(file: &[u8], at: usize) -> [u8; N] {
    file[at..at + N].try_into().expect("the range has N bytes")
}
