//! What the entries so far say together: what decisions are made on.

use std::collections::BTreeMap;

use super::entry::Act;
use crate::algorithm::{Algorithm, Purposes};
use crate::key_id::KeyId;

/// The fold of all entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Set by the first entry.
    pub deployment_id: Option<[u8; 16]>,
    /// Every key that was ever made here.
    pub keys: BTreeMap<KeyId, KeyFacts>,
}

/// What the journal says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it may sign.
    pub purposes: Purposes,
    /// SHA-256 of its public half.
    pub public_key_sha256: [u8; 32],
}

impl Facts {
    /// Whether the act can follow; answers what about it cannot be.
    pub(super) fn check(&self, act: &Act) -> Result<(), &'static str> {
        match act {
            Act::StoreCreated { .. } if self.deployment_id.is_some() => {
                Err("the store is created a second time")
            }
            Act::StoreCreated { deployment_id } => bytes::<16>(deployment_id).map(drop),
            _ if self.deployment_id.is_none() => Err("the first entry does not create the store"),
            Act::KeyGenerated { key_id, .. } if self.keys.contains_key(key_id) => {
                Err("a key is made a second time")
            }
            Act::KeyGenerated { public_key_sha256, .. } => bytes::<32>(public_key_sha256).map(drop),
        }
    }

    /// Adds an act that was checked.
    pub(super) fn add(&mut self, act: Act) {
        match act {
            Act::StoreCreated { deployment_id } => self.deployment_id = bytes(&deployment_id).ok(),
            Act::KeyGenerated { key_id, algorithm, purposes, public_key_sha256 } => {
                let Ok(public_key_sha256) = bytes(&public_key_sha256) else { return };
                self.keys.insert(key_id, KeyFacts { algorithm, purposes, public_key_sha256 });
            }
        }
    }
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| "an id or a digest is not in hexadecimal, or has another length")?;
    Ok(bytes)
}
