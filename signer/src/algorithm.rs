//! What keys exist and what they may sign, with the bytes that stand for it in a sealed file.

use std::fmt;

use serde::{Deserialize, Serialize};
use trstctl_signer_protocol::v1;

/// The algorithm of a key. The numbers are those of the sealed file and of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    P256 = 1,
    /// ECDSA on P-384 with SHA-384.
    P384 = 2,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072 = 3,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096 = 4,
    /// Ed25519 (RFC 8032).
    Ed25519 = 5,
    /// ML-DSA-65 (FIPS 204).
    #[serde(rename = "ml-dsa-65")]
    MlDsa65 = 6,
}

impl Algorithm {
    const ALL: [Self; 6] =
        [Self::P256, Self::P384, Self::Rsa3072, Self::Rsa4096, Self::Ed25519, Self::MlDsa65];

    /// The algorithm with this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u8 == number)
    }
}

impl From<Algorithm> for v1::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        v1::Algorithm::try_from(i32::from(algorithm as u8)).expect("both have the same numbers")
    }
}

/// What a key may sign: a bit each. At least one; tree heads never together with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Purpose>", into = "Vec<Purpose>")]
pub struct Purposes(u8);

/// One purpose. Its bit in a sealed file is 1 shifted left by its number in the protocol, less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Certificates.
    Certificates,
    /// Certificate revocation lists.
    Crls,
    /// Heads of the log's Merkle tree.
    TreeHeads,
}

/// Purposes that no key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has at least one purpose, and a key for tree heads no other")]
pub struct BadPurposes;

impl Purpose {
    const ALL: [Self; 3] = [Self::Certificates, Self::Crls, Self::TreeHeads];

    const fn bit(self) -> u8 {
        match self {
            Self::Certificates => 1,
            Self::Crls => 2,
            Self::TreeHeads => 4,
        }
    }
}

impl Purposes {
    /// The purposes with these bits.
    ///
    /// # Errors
    /// [`BadPurposes`] for none, unknown ones, or tree heads with another.
    pub fn of(bits: u8) -> Result<Self, BadPurposes> {
        match bits {
            1..=4 => Ok(Self(bits)),
            _ => Err(BadPurposes),
        }
    }

    /// The bits of a sealed file.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether this is one of them.
    pub fn has(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() != 0
    }

    /// Whether a key with them signs as a CA: certificates or CRLs.
    pub fn are_of_ca(self) -> bool {
        self.has(Purpose::Certificates) || self.has(Purpose::Crls)
    }

    /// One after the other.
    pub fn each(self) -> impl Iterator<Item = Purpose> {
        Purpose::ALL.into_iter().filter(move |purpose| self.has(*purpose))
    }
}

impl TryFrom<Vec<Purpose>> for Purposes {
    type Error = BadPurposes;

    fn try_from(purposes: Vec<Purpose>) -> Result<Self, BadPurposes> {
        Self::of(purposes.into_iter().fold(0, |bits, purpose| bits | purpose.bit()))
    }
}

impl From<Purposes> for Vec<Purpose> {
    fn from(purposes: Purposes) -> Self {
        purposes.each().collect()
    }
}

impl From<Purpose> for v1::Purpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Certificates => v1::Purpose::Certificates,
            Purpose::Crls => v1::Purpose::Crls,
            Purpose::TreeHeads => v1::Purpose::TreeHeads,
        }
    }
}

impl TryFrom<v1::Purpose> for Purpose {
    type Error = BadPurposes;

    fn try_from(purpose: v1::Purpose) -> Result<Self, BadPurposes> {
        Purpose::ALL.into_iter().find(|known| v1::Purpose::from(*known) == purpose).ok_or(BadPurposes)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "certificates",
            Self::Crls => "CRLs",
            Self::TreeHeads => "tree heads",
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::Ed25519 => "Ed25519",
            Self::MlDsa65 => "ML-DSA-65",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_sealed_file_are_those_of_the_protocol() {
        for algorithm in Algorithm::ALL {
            assert_eq!(v1::Algorithm::from(algorithm) as i32, i32::from(algorithm as u8));
            assert_eq!(Algorithm::of(algorithm as u8), Some(algorithm));
        }
        assert_eq!((Algorithm::of(0), Algorithm::of(7)), (None, None));
    }

    #[test]
    fn a_key_for_tree_heads_has_no_other_purpose() {
        let allowed: Vec<u8> = (0..=255).filter(|bits| Purposes::of(*bits).is_ok()).collect();
        assert_eq!(allowed, [1, 2, 3, 4]);
    }
}
