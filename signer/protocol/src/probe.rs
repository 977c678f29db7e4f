//! What `trstctl-signer --probe` prints: what a key store holds and whether a KEK opens it. Nothing in it is secret.
//!
//! It is one JSON object on standard output. A reader that finds another [`VERSION`] must not go on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version that is printed and read.
///
/// 1: the first.
pub const VERSION: u32 = 1;

/// The whole report. Ids and digests are lower-case hexadecimal, but for key ids, which are UUIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// By the journal, else by the keys, if they agree.
    pub deployment_id: Option<String>,
    /// The KEK that was given.
    pub kek_id: String,
    /// Protections that this kernel lacks, a sentence each.
    pub lacking: Vec<String>,
    /// The journal.
    pub journal: Journal,
    /// Each sealed file (`*.key`), by name.
    pub keys: Vec<Key>,
    /// Keys that the journal knows and that have no file.
    pub missing: Vec<String>,
    /// CAs, by their keys, that were adopted into a new journal which does not know what they signed: they sign nothing until that
    /// is stated by a floor.
    pub without_floor: Vec<String>,
    /// Each CA, which is a key, that has signed something by the journal.
    pub authorities: Vec<Authority>,
    /// Each serial that was asked about with `--serial`.
    pub serials: Vec<Serial>,
}

/// Whether the journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Journal {
    /// Each entry follows from the one before, up to the head.
    Holds {
        /// How many.
        entries: u64,
        /// SHA-256 of the last one's line.
        head: String,
    },
    /// There is none: the keys were looked at without it.
    Missing {
        /// A sentence.
        what: String,
    },
    /// It does not hold or cannot be read: the keys were looked at without it.
    Broken {
        /// A sentence.
        what: String,
    },
}

/// A sealed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name in the folder.
    pub file: String,
    /// By the file, else by its name.
    pub key_id: Option<String>,
    /// By the file: `p256`, `p384`, `rsa-3072`, `rsa-4096`, `ed25519`, `ml-dsa-65`.
    pub algorithm: Option<String>,
    /// By the file: `certificates`, `crls`, `tree-heads`.
    pub purposes: Vec<String>,
    /// By the file: counts the sealed files of this key.
    pub generation: Option<u32>,
    /// The KEK that the file says it is sealed under.
    pub kek_id: Option<String>,
    /// SHA-256 of the public key, by the file.
    pub public_key_sha256: Option<String>,
    /// Of an open key: its public half (SPKI, DER), base64.
    pub public_key: Option<String>,
    /// How it went.
    pub verdict: Verdict,
    /// The same in a sentence; what to do, where there is something.
    pub what: String,
}

/// How opening a sealed file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It opened, is what its file, its name and the journal (if there is one) say, and signed a challenge, made for this,
    /// that verified with its public half.
    Open,
    /// It is whole, and sealed under another KEK.
    WrongKek,
    /// The file is not what was written.
    Damaged,
    /// The file is whole and names this KEK, and was not sealed with it.
    Forged,
    /// It opened, and is not what its file, its name or the journal say.
    Mismatch,
    /// The operating system refuses to read the file.
    Unreadable,
}

/// What the journal says of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its key.
    pub key_id: String,
    /// The number of its last CRL.
    pub last_crl_number: Option<u64>,
}

/// What the journal says of a serial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    /// As it was asked about: lower-case hexadecimal, without a zero byte in front.
    pub serial: String,
    /// Keys that signed a certificate with it.
    pub signed_by: Vec<String>,
    /// Keys that revoked it.
    pub revoked_by: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::WrongKek => "wrong KEK",
            Self::Damaged => "damaged",
            Self::Forged => "forged",
            Self::Mismatch => "mismatch",
            Self::Unreadable => "unreadable",
        })
    }
}
