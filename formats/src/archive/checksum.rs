//! The checksums of an archive: HighwayHash-64, keyed by the SHA-256 of a name.

use highway::{HighwayHash, HighwayHasher, Key};
use sha2::{Digest as _, Sha256};

/// A keyed HighwayHash-64; the key is the SHA-256 of a name, read as four little-endian words.
pub(super) struct NamedHash(HighwayHasher);

impl NamedHash {
    pub(super) fn new(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("a chunk of exactly 8 bytes"));
        }
        Self(HighwayHasher::new(Key(words)))
    }

    /// Hash of the parts, one after the other, as the 8 bytes that the server stores.
    pub(super) fn over(&self, parts: &[&[u8]]) -> [u8; 8] {
        let mut hasher = self.0.clone();
        for part in parts {
            hasher.append(part);
        }
        hasher.finalize64().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_checksum_equals_the_vector() {
        let meta = br#"{"Created":"2022-02-03T04:05:06Z","name":"TRSTCTL_EVENTS"}"#;
        assert_eq!(hex::encode(NamedHash::new("TRSTCTL_EVENTS").over(&[meta])), "e56c6cb42d3aed52");
    }

    #[test]
    fn key_of_block_1_equals_the_vector() {
        assert_eq!(
            hex::encode(Sha256::digest(b"TRSTCTL_EVENTS-1")),
            "e966eae1af9ff5c8c4e226742608339004bc4904343a966fbc0fa9bea30a53ad"
        );
    }

    #[test]
    fn parts_hash_as_their_concatenation() {
        let hash = NamedHash::new("x");
        assert_eq!(hash.over(&[b"ab", b"", b"cdefghijklmnopqrstuvwxyz0123456789"]), {
            hash.over(&[b"abcdefghijklmnopqrstuvwxyz0123456789"])
        });
    }
}
