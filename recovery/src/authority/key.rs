//! What the signer says of a key: never more than its public half.

use sha2::{Digest as _, Sha256};
use trstctl_formats::{Class, Digest, Failure};
use trstctl_signer_protocol::v1;
use uuid::Uuid;

/// Algorithms of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    P256,
    P384,
    Rsa3072,
    Rsa4096,
    Ed25519,
    MlDsa65,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::P256, Self::P384, Self::Rsa3072, Self::Rsa4096, Self::Ed25519, Self::MlDsa65];

    /// Its name, as it is typed and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }

    pub(super) fn wire(self) -> v1::Algorithm {
        match self {
            Self::P256 => v1::Algorithm::P256,
            Self::P384 => v1::Algorithm::P384,
            Self::Rsa3072 => v1::Algorithm::Rsa3072,
            Self::Rsa4096 => v1::Algorithm::Rsa4096,
            Self::Ed25519 => v1::Algorithm::Ed25519,
            Self::MlDsa65 => v1::Algorithm::MlDsa65,
        }
    }

    fn of_wire(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| i32::from(algorithm.wire()) == number)
    }
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Certificates,
    Crls,
    TreeHeads,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Certificates, Self::Crls, Self::TreeHeads];

    /// Its name, as it is typed and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::Crls => "crls",
            Self::TreeHeads => "tree-heads",
        }
    }

    pub(super) fn wire(self) -> v1::Purpose {
        match self {
            Self::Certificates => v1::Purpose::Certificates,
            Self::Crls => v1::Purpose::Crls,
            Self::TreeHeads => v1::Purpose::TreeHeads,
        }
    }

    fn of_wire(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| i32::from(purpose.wire()) == number)
    }
}

/// A key that the signer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What it is called by.
    pub id: Uuid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it may sign.
    pub purposes: Vec<Purpose>,
    /// Counts the KEKs under which it was sealed, from 1.
    pub generation: u32,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

impl Key {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn public_key_sha256(&self) -> Digest {
        Digest(Sha256::digest(&self.public_key).into())
    }

    /// The names of its purposes, joined by commas.
    pub fn purposes(&self) -> String {
        self.purposes.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<v1::Key> for Key {
    type Error = Failure;

    fn try_from(key: v1::Key) -> Result<Self, Failure> {
        let unknown = |what: &str| {
            let message = format!(
                "the signer speaks of a key ({}) whose {what} this program does not know",
                key.key_id
            );
            Failure::new(Class::NewerVersion, message, "Use the trstctl-dr of the signer's version.")
        };
        let purposes = key.purposes.iter().map(|number| Purpose::of_wire(*number));
        Ok(Self {
            id: key.key_id.parse().map_err(|_| unknown("id"))?,
            algorithm: Algorithm::of_wire(key.algorithm).ok_or_else(|| unknown("algorithm"))?,
            purposes: purposes.collect::<Option<_>>().ok_or_else(|| unknown("purpose"))?,
            generation: key.generation,
            public_key: key.public_key,
        })
    }
}
