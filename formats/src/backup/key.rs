//! The keys that authenticate backups, derived from the audit signing key file.

use std::fmt;

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::FormatVersion;
use crate::Digest;

/// HMAC-SHA256 in progress.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// A MAC that was computed, to be compared: in a time that does not tell where it differs.
pub(crate) type Mac = CtOutput<HmacSha256>;

/// Keys derived from the audit signing key file: they authenticate backups. Wiped on drop, never printed.
#[derive(Clone)]
pub struct BackupKey {
    v1: Zeroizing<[u8; 32]>,
    v2: Zeroizing<[u8; 32]>,
    head: Zeroizing<[u8; 32]>,
}

impl BackupKey {
    /// Derives the keys from the whole raw bytes of the key file; `None` when they are empty.
    pub fn from_key_file(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let derive = |label: &[u8]| Zeroizing::new(mac_of(bytes, label).0);
        Some(Self {
            v1: derive(b"trstctl/backup-integrity/v1"),
            v2: derive(b"trstctl/backup-integrity/v2"),
            head: derive(b"trstctl/tree-head/v1"),
        })
    }

    /// First 16 hex digits of HMAC-SHA256 of `key-id`: says in a version 2 trailer which key it was, and nothing about it.
    pub fn key_id(&self) -> String {
        hex::encode(&mac_of(&self.v2[..], b"key-id").0[..8])
    }

    /// The MAC of a tree head's beginning.
    pub(crate) fn head_mac(&self, covered: &[u8]) -> Digest {
        mac_of(&self.head[..], covered)
    }

    /// Whether that MAC is this one; takes the same time wherever they differ.
    pub(crate) fn head_mac_is(&self, covered: &[u8], stated: &Digest) -> bool {
        let mut mac = new_mac(&self.head[..]);
        mac.update(covered);
        mac_is(&mac.finalize(), stated)
    }

    /// The key of version 1.
    pub(crate) fn v1(&self) -> &[u8; 32] {
        &self.v1
    }

    /// Begins the MAC of that version.
    pub(crate) fn mac(&self, version: FormatVersion) -> HmacSha256 {
        let key = match version {
            FormatVersion::V1 => &self.v1,
            FormatVersion::V2 => &self.v2,
        };
        new_mac(&key[..])
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupKey({})", self.key_id())
    }
}

/// Whether a MAC is this one; takes the same time wherever they differ.
pub(crate) fn mac_is(mac: &Mac, stated: &Digest) -> bool {
    *mac == mac_to_compare(*stated)
}

/// A MAC that is computed elsewhere or stated.
pub(crate) fn mac_to_compare(mac: Digest) -> Mac {
    CtOutput::new(mac.0.into())
}

/// Ends a MAC that is to be written.
pub(crate) fn finish_mac(mac: HmacSha256) -> Digest {
    Digest(mac.finalize().into_bytes().into())
}

fn new_mac(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn mac_of(key: &[u8], message: &[u8]) -> Digest {
    let mut mac = new_mac(key);
    mac.update(message);
    finish_mac(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_FILE: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";

    #[test]
    fn the_keys_of_the_worked_examples_are_derived() {
        let key = BackupKey::from_key_file(KEY_FILE).unwrap();
        assert_eq!(
            hex::encode(&key.v1[..]),
            "9464ede2868b89cb00432c4a6d8cf7a190358b19533264b50763f5beb3ad07c6"
        );
        assert_eq!(
            hex::encode(&key.v2[..]),
            "beb11c587542b4c4ac83091e3241ea563107e6cc4a1f1d515383987fcf26041e"
        );
        assert_eq!(key.key_id(), "a05d2d8a565e6e48");
    }

    #[test]
    fn an_empty_key_file_is_no_key_and_a_key_is_never_printed() {
        assert!(BackupKey::from_key_file(b"").is_none());
        let printed = format!("{:?}", BackupKey::from_key_file(KEY_FILE).unwrap());
        assert_eq!(printed, "BackupKey(a05d2d8a565e6e48)");
    }
}
