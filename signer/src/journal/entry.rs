//! An entry, and the line that it makes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trstctl_formats::Digest;

use super::remark::Remark;
use crate::algorithm::{Algorithm, Purposes};
use crate::key_id::KeyId;
use crate::serial::Serial;
use crate::tree_head::LogName;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// From 1, without a gap.
    pub number: u64,
    /// SHA-256 of the line before, without its newline; zeros in the first.
    pub previous: String,
    /// When it was written, by this host's clock. Nothing is decided by it.
    pub at: Timestamp,
    /// What happened.
    pub act: Act,
}

/// What a signer did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The key store was made: always the first entry, and never another.
    StoreCreated {
        /// Hexadecimal, 16 bytes: every sealed key states it.
        deployment_id: String,
    },
    /// A key was made.
    KeyGenerated {
        /// Its id.
        key_id: KeyId,
        /// Its algorithm.
        algorithm: Algorithm,
        /// What it may sign.
        purposes: Purposes,
        /// SHA-256 of its public half (SPKI, DER), hexadecimal.
        public_key_sha256: String,
    },
    /// A key was found in the store, sealed, and what it signed before is not known. It signs nothing until a floor is set.
    KeyAdopted {
        /// Its id.
        key_id: KeyId,
        /// Its algorithm.
        algorithm: Algorithm,
        /// What it may sign.
        purposes: Purposes,
        /// SHA-256 of its public half (SPKI, DER), hexadecimal.
        public_key_sha256: String,
        /// Generation of the file that was found.
        generation: u32,
        /// Under which KEK, hexadecimal, 16 bytes.
        kek_id: String,
    },
    /// A key was sealed again, or was about to be.
    KeyRewrapped {
        /// Which key.
        key_id: KeyId,
        /// Counts its sealed files; its first has 1.
        generation: u32,
        /// Under which KEK, hexadecimal, 16 bytes.
        kek_id: String,
    },
    /// The head of a log's Merkle tree was signed, or was about to be.
    TreeHeadSigned {
        /// By which key.
        key_id: KeyId,
        /// Which log.
        log: LogName,
        /// Leaves.
        tree_size: u64,
        /// Root, hexadecimal.
        root: String,
        /// Fencing number of the leader that asked.
        epoch: u64,
    },
    /// A certificate was signed, or was about to be.
    CertificateSigned {
        /// By which key: the CA.
        key_id: KeyId,
        /// Its serial.
        serial: Serial,
        /// When it expires.
        not_after: Timestamp,
        /// SHA-256 of what was signed, hexadecimal.
        tbs_sha256: String,
        /// Fencing number of the leader that asked.
        epoch: u64,
    },
    /// Part of what a CRL newly revokes, when that is too much for one line. Revoked it is from here, whether the CRL follows or not.
    SerialsRevoked {
        /// By which key: the CA.
        key_id: KeyId,
        /// At most [`MAX_REVOKED`].
        serials: Vec<Serial>,
    },
    /// A CRL was signed, or was about to be.
    CrlSigned {
        /// By which key: the CA.
        key_id: KeyId,
        /// Its number.
        number: u64,
        /// When it begins.
        this_update: Timestamp,
        /// When the next is due.
        next_update: Timestamp,
        /// What it revokes and none did before; at most [`MAX_REVOKED`].
        revoked: Vec<Serial>,
        /// SHA-256 of what was signed, hexadecimal.
        tbs_sha256: String,
        /// Fencing number of the leader that asked.
        epoch: u64,
    },
    /// Part of the serials that a CA is known to have used, from evidence outside this journal. Used they are from here, whether the floor
    /// follows or not.
    SerialsUsed {
        /// Which CA.
        key_id: KeyId,
        /// At most [`MAX_USED`].
        serials: Vec<UsedSerial>,
    },
    /// A person states the least that a CA has signed, where the journal does not know it: it goes on above that.
    FloorSet {
        /// Which CA.
        key_id: KeyId,
        /// The greatest number of its CRLs; 0 when it signed none.
        crl_number: u64,
        /// The newest epoch that is known of.
        epoch: u64,
        /// Who states it.
        by: Remark,
        /// From what, and why.
        reason: Remark,
    },
    /// The same for a log: its last head.
    LogFloorSet {
        /// Which log.
        log: LogName,
        /// Leaves.
        tree_size: u64,
        /// Root, hexadecimal.
        root: String,
        /// The newest epoch that is known of.
        epoch: u64,
        /// Who states it.
        by: Remark,
        /// From what, and why.
        reason: Remark,
    },
    /// A person lets the next CRL of a CA have this number, though it is not above the last.
    CrlNumberAllowed {
        /// Which CA.
        key_id: KeyId,
        /// The number, no other.
        number: u64,
        /// Who.
        by: Remark,
        /// Why.
        reason: Remark,
    },
    /// A person lets a revoked serial be left out of CRLs, as if its certificate had expired. It stays one that was used.
    DroppedSerialAllowed {
        /// Which CA.
        key_id: KeyId,
        /// The serial.
        serial: Serial,
        /// Who.
        by: Remark,
        /// Why.
        reason: Remark,
    },
    /// A person lets the next head of a log be this one, though it is smaller than the last, or has another root.
    TreeHeadAllowed {
        /// Which log.
        log: LogName,
        /// Leaves, no other number.
        tree_size: u64,
        /// Root, hexadecimal, no other.
        root: String,
        /// Who.
        by: Remark,
        /// Why.
        reason: Remark,
    },
    /// A person lets the next that asks have this epoch, though it is older than the newest.
    EpochAllowed {
        /// The epoch, no other.
        epoch: u64,
        /// Who.
        by: Remark,
        /// Why.
        reason: Remark,
    },
}

/// A serial that a CA used for a certificate which this journal does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedSerial {
    /// The serial.
    pub serial: Serial,
    /// When its certificate expires, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Serials in one entry at most: its line stays under half of what a line may have.
pub const MAX_REVOKED: usize = 10_000;

/// The same for serials with the end of their certificates.
pub const MAX_USED: usize = 5_000;

impl Entry {
    /// Its line, without newline.
    pub(super) fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has only string keys")
    }

    /// What the next entry states as its `previous`.
    pub(super) fn digest_of(line: &[u8]) -> Digest {
        Digest(Sha256::digest(line).into())
    }
}
