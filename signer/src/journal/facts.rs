//! What the entries so far say together: what decisions are made on.

use std::collections::BTreeMap;

use super::authority::{Authority, Contradiction};
use super::entry::{Act, MAX_REVOKED, MAX_USED};
use crate::algorithm::{Algorithm, Purposes};
use crate::key_id::KeyId;
use crate::tree_head::LogName;

/// The fold of all entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Set by the first entry.
    pub deployment_id: Option<[u8; 16]>,
    /// Every key that was ever made here.
    pub keys: BTreeMap<KeyId, KeyFacts>,
    /// The last head of each log that was signed.
    pub tree_heads: BTreeMap<LogName, TreeHead>,
    /// What each CA, by its key, has signed; a key that signed nothing yet is not in it.
    pub authorities: BTreeMap<KeyId, Authority>,
    /// The newest epoch that anything was signed with.
    pub epoch: u64,
    /// The older epoch that the next that asks may have, if a person let it.
    pub allowed_epoch: Option<u64>,
    /// The head that the next of a log may be though the log's last forbids it.
    pub allowed_heads: BTreeMap<LogName, TreeHead>,
}

/// The head of a log's Merkle tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Leaves.
    pub tree_size: u64,
    /// Root.
    pub root: [u8; 32],
}

/// Why something would go back behind what was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Backwards {
    /// Fewer leaves than before.
    #[error(
        "log {log} had {last} records when its head was last signed, and now {asked}: it lost some, or an older state was restored. \
         Restore a backup that has them all"
    )]
    Smaller {
        /// The log.
        log: LogName,
        /// Leaves asked for.
        asked: u64,
        /// Leaves of the last head.
        last: u64,
    },
    /// As many leaves, and another root.
    #[error(
        "log {log} has another history than when its head of {tree_size} records was signed: compare it with a backup by `trstctl-dr prove`"
    )]
    OtherRoot {
        /// The log.
        log: LogName,
        /// Leaves.
        tree_size: u64,
    },
    /// Another leader came after the one that asks.
    #[error(
        "epoch {asked} is over: something was signed with epoch {newest} already. Either another leader has taken over, and this one must stop, or the control \
         plane was restored, and must begin above {newest}, which Health tells"
    )]
    OlderEpoch {
        /// The epoch that asks.
        asked: u64,
        /// The newest one.
        newest: u64,
    },
    /// What the CA signed before is not known.
    #[error(
        "key {0} was adopted into a new journal, and what it signed before is not known there: it signs nothing until that is stated by \
         `trstctl-signer floor --ca {0} --crl-number N`"
    )]
    NoFloor(KeyId),
    /// The same for a log.
    #[error(
        "key {key_id} was adopted into a new journal, and which head of log {log} it signed last is not known there: it signs none until that is \
         stated by `trstctl-signer floor --log {log} --tree-size N --root HEX`"
    )]
    NoLogFloor {
        /// The key.
        key_id: KeyId,
        /// The log.
        log: LogName,
    },
    /// A CA would contradict itself.
    #[error(transparent)]
    Authority(#[from] Contradiction),
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
    /// Whether it was found, not made: what it signed before is not in this journal.
    pub is_adopted: bool,
    /// How it was sealed again, or found; a new key has generation 1, under the KEK of its time.
    pub sealing: Option<Sealing>,
}

/// The newest sealed file of a key, as the journal knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Its generation.
    pub generation: u32,
    /// The KEK that it is sealed under.
    pub kek_id: [u8; 16],
}

impl Facts {
    /// Whether the act can follow.
    ///
    /// # Errors
    /// What about it cannot be.
    pub fn check(&self, act: &Act) -> Result<(), &'static str> {
        match act {
            Act::StoreCreated { .. } if self.deployment_id.is_some() => {
                Err("the store is created a second time")
            }
            Act::StoreCreated { deployment_id } => bytes::<16>(deployment_id).map(drop),
            _ if self.deployment_id.is_none() => Err("the first entry does not create the store"),
            Act::KeyGenerated { key_id, .. } | Act::KeyAdopted { key_id, .. }
                if self.keys.contains_key(key_id) =>
            {
                Err("a key is made a second time")
            }
            Act::KeyGenerated { public_key_sha256, .. } => bytes::<32>(public_key_sha256).map(drop),
            Act::KeyAdopted { public_key_sha256, kek_id, .. } => {
                bytes::<32>(public_key_sha256).and(bytes::<16>(kek_id)).map(drop)
            }
            Act::KeyRewrapped { key_id, generation, kek_id } => {
                self.may_be_sealed(*key_id, Sealing { generation: *generation, kek_id: bytes(kek_id)? })
            }
            Act::TreeHeadSigned { key_id, .. }
            | Act::CertificateSigned { key_id, .. }
            | Act::SerialsRevoked { key_id, .. }
            | Act::CrlSigned { key_id, .. }
            | Act::SerialsUsed { key_id, .. }
            | Act::FloorSet { key_id, .. }
            | Act::CrlNumberAllowed { key_id, .. }
            | Act::DroppedSerialAllowed { key_id, .. }
                if !self.keys.contains_key(key_id) =>
            {
                Err("its key was never made")
            }
            Act::CertificateSigned { key_id, .. } | Act::CrlSigned { key_id, .. }
                if self.is_known_of(*key_id).is_err() =>
            {
                Err("its key was adopted, and has no floor")
            }
            Act::TreeHeadSigned { key_id, log, tree_size, root, epoch } => {
                self.is_known_of_log(*key_id, log)
                    .map_err(|_| "its key was adopted, and its log has no floor")?;
                let head = TreeHead { tree_size: *tree_size, root: bytes(root)? };
                self.forwards(log, &head, *epoch).map_err(|_| "a tree head goes backwards")
            }
            Act::LogFloorSet { log, tree_size, root, epoch, .. } => {
                self.reaches(*epoch).map_err(|_| "an epoch goes backwards")?;
                let head = TreeHead { tree_size: *tree_size, root: bytes(root)? };
                self.extends(log, &head).map_err(|_| "a floor goes backwards")
            }
            Act::FloorSet { key_id, crl_number, epoch, .. } => {
                self.may_have_floor(*key_id, *crl_number, *epoch)
            }
            Act::SerialsUsed { serials, .. } if serials.len() > MAX_USED => Err("it names too many at once"),
            Act::SerialsUsed { .. } => Ok(()),
            Act::CrlNumberAllowed { .. }
            | Act::DroppedSerialAllowed { .. }
            | Act::TreeHeadAllowed { .. }
            | Act::EpochAllowed { .. } => {
                self.refuses(act)?.then_some(()).ok_or("nothing refuses what it allows")
            }
            Act::CertificateSigned { key_id, serial, tbs_sha256, epoch, .. } => {
                self.in_epoch(*epoch).map_err(|_| "an epoch goes backwards")?;
                let digest = bytes(tbs_sha256)?;
                let authority = self.authorities.get(key_id);
                let may = authority.map_or(Ok(()), |authority| authority.may_certify(*serial, &digest));
                may.map_err(|_| "a serial is used a second time")
            }
            Act::SerialsRevoked { serials, .. } if serials.len() > MAX_REVOKED => {
                Err("it revokes too many at once")
            }
            Act::SerialsRevoked { .. } => Ok(()),
            Act::CrlSigned { revoked, .. } if revoked.len() > MAX_REVOKED => {
                Err("it revokes too many at once")
            }
            Act::CrlSigned { key_id, number, tbs_sha256, epoch, .. } => {
                self.in_epoch(*epoch).map_err(|_| "an epoch goes backwards")?;
                let digest = bytes(tbs_sha256)?;
                let authority = self.authorities.get(key_id);
                let may = authority.map_or(Ok(()), |authority| authority.may_follow(*number, &digest));
                may.map_err(|_| "a CRL number is not above the last")
            }
        }
    }

    fn may_be_sealed(&self, key_id: KeyId, news: Sealing) -> Result<(), &'static str> {
        match self.keys.get(&key_id).ok_or("its key was never made")?.sealing {
            // The same again: a crash left the first without its file.
            Some(last) if news == last || news.generation > last.generation => Ok(()),
            None if news.generation > 1 => Ok(()),
            _ => Err("a key's generation does not rise"),
        }
    }

    fn may_have_floor(&self, key_id: KeyId, crl_number: u64, epoch: u64) -> Result<(), &'static str> {
        self.reaches(epoch).map_err(|_| "an epoch goes backwards")?;
        let is_ca = self.keys.get(&key_id).is_some_and(|key| key.purposes.are_of_ca());
        let last = self.authorities.get(&key_id).and_then(Authority::last_crl_number).unwrap_or(0);
        match (is_ca, crl_number >= last) {
            (true, true) => Ok(()),
            (false, _) => Err("a floor is of a key that is no CA's"),
            (true, false) => Err("a floor goes backwards"),
        }
    }

    /// Whether what an act allows would be refused without it.
    fn refuses(&self, allowing: &Act) -> Result<bool, &'static str> {
        Ok(match allowing {
            Act::CrlNumberAllowed { key_id, number, .. } => {
                let last = self.authorities.get(key_id).and_then(Authority::last_crl_number);
                last.is_some_and(|last| *number <= last)
            }
            Act::DroppedSerialAllowed { key_id, serial, .. } => {
                self.authorities.get(key_id).is_some_and(|ca| ca.has_revoked(*serial))
            }
            Act::TreeHeadAllowed { log, tree_size, root, .. } => {
                let head = TreeHead { tree_size: *tree_size, root: bytes(root)? };
                self.extends(log, &head).is_err()
            }
            Act::EpochAllowed { epoch, .. } => self.reaches(*epoch).is_err(),
            _ => false,
        })
    }

    /// Adds an act that was checked.
    pub(super) fn add(&mut self, act: Act) {
        match act {
            Act::StoreCreated { deployment_id } => self.deployment_id = bytes(&deployment_id).ok(),
            Act::KeyGenerated { key_id, algorithm, purposes, public_key_sha256 } => {
                let Ok(public_key_sha256) = bytes(&public_key_sha256) else { return };
                let (is_adopted, sealing) = (false, None);
                self.keys
                    .insert(key_id, KeyFacts { algorithm, purposes, public_key_sha256, is_adopted, sealing });
            }
            Act::KeyAdopted { key_id, algorithm, purposes, public_key_sha256, generation, kek_id } => {
                let (Ok(public_key_sha256), Ok(kek_id)) = (bytes(&public_key_sha256), bytes(&kek_id)) else {
                    return;
                };
                let (is_adopted, sealing) = (true, Some(Sealing { generation, kek_id }));
                self.keys
                    .insert(key_id, KeyFacts { algorithm, purposes, public_key_sha256, is_adopted, sealing });
            }
            Act::KeyRewrapped { key_id, generation, kek_id } => {
                let Ok(kek_id) = bytes(&kek_id) else { return };
                if let Some(known) = self.keys.get_mut(&key_id) {
                    known.sealing = Some(Sealing { generation, kek_id });
                }
            }
            Act::SerialsUsed { key_id, serials } => self.authorities.entry(key_id).or_default().used(serials),
            Act::CrlNumberAllowed { key_id, number, .. } => {
                self.authorities.entry(key_id).or_default().number_allowed(number);
            }
            Act::DroppedSerialAllowed { key_id, serial, .. } => {
                self.authorities.entry(key_id).or_default().drop_allowed(serial);
            }
            Act::TreeHeadAllowed { log, tree_size, root, .. } => {
                let Ok(root) = bytes(&root) else { return };
                self.allowed_heads.insert(log, TreeHead { tree_size, root });
            }
            Act::EpochAllowed { epoch, .. } => self.allowed_epoch = Some(epoch),
            Act::FloorSet { key_id, crl_number, epoch, .. } => {
                self.authorities.entry(key_id).or_default().floor_set(crl_number);
                self.asked_in(epoch);
            }
            Act::TreeHeadSigned { log, tree_size, root, epoch, .. }
            | Act::LogFloorSet { log, tree_size, root, epoch, .. } => {
                let Ok(root) = bytes(&root) else { return };
                self.allowed_heads.remove(&log);
                self.tree_heads.insert(log, TreeHead { tree_size, root });
                self.asked_in(epoch);
            }
            Act::CertificateSigned { key_id, serial, not_after, tbs_sha256, epoch } => {
                let Ok(tbs_sha256) = bytes(&tbs_sha256) else { return };
                self.authorities.entry(key_id).or_default().certified(serial, not_after, &tbs_sha256);
                self.asked_in(epoch);
            }
            Act::SerialsRevoked { key_id, serials } => {
                self.authorities.entry(key_id).or_default().revoked(serials);
            }
            Act::CrlSigned { key_id, number, revoked, tbs_sha256, epoch, .. } => {
                let Ok(tbs_sha256) = bytes(&tbs_sha256) else { return };
                let authority = self.authorities.entry(key_id).or_default();
                authority.revoked(revoked);
                authority.crl_signed(number, tbs_sha256);
                self.asked_in(epoch);
            }
        }
    }

    /// Notes the epoch of what is signed, with which what was allowed for it is over.
    fn asked_in(&mut self, epoch: u64) {
        self.allowed_epoch = None;
        self.epoch = epoch;
    }

    /// Whether what this CA has signed is known here: all of it, or the least that a floor states.
    ///
    /// # Errors
    /// [`Backwards::NoFloor`].
    pub fn is_known_of(&self, key_id: KeyId) -> Result<(), Backwards> {
        let is_adopted = self.keys.get(&key_id).is_some_and(|key| key.is_adopted && key.purposes.are_of_ca());
        let has_floor = self.authorities.get(&key_id).is_some_and(Authority::has_floor);
        if is_adopted && !has_floor { Err(Backwards::NoFloor(key_id)) } else { Ok(()) }
    }

    /// The same for a log whose heads this key signs.
    ///
    /// # Errors
    /// [`Backwards::NoLogFloor`].
    pub fn is_known_of_log(&self, key_id: KeyId, log: &LogName) -> Result<(), Backwards> {
        let is_adopted = self.keys.get(&key_id).is_some_and(|key| key.is_adopted);
        if is_adopted && !self.tree_heads.contains_key(log) {
            return Err(Backwards::NoLogFloor { key_id, log: log.clone() });
        }
        Ok(())
    }

    /// Whether a head may be signed after all that was signed before, or by a person's leave; the same one again may.
    ///
    /// # Errors
    /// [`Backwards`].
    pub fn forwards(&self, log: &LogName, head: &TreeHead, epoch: u64) -> Result<(), Backwards> {
        self.in_epoch(epoch)?;
        if self.allowed_heads.get(log) == Some(head) { Ok(()) } else { self.extends(log, head) }
    }

    /// Whether a head is not smaller than the log's last, nor as large with another root.
    ///
    /// # Errors
    /// [`Backwards::Smaller`], [`Backwards::OtherRoot`].
    pub fn extends(&self, log: &LogName, head: &TreeHead) -> Result<(), Backwards> {
        match self.tree_heads.get(log) {
            Some(last) if head.tree_size < last.tree_size => {
                Err(Backwards::Smaller { log: log.clone(), asked: head.tree_size, last: last.tree_size })
            }
            Some(last) if head.tree_size == last.tree_size && head.root != last.root => {
                Err(Backwards::OtherRoot { log: log.clone(), tree_size: head.tree_size })
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing was signed with a newer epoch, or a person lets it be asked in this one.
    ///
    /// # Errors
    /// [`Backwards::OlderEpoch`].
    pub fn in_epoch(&self, epoch: u64) -> Result<(), Backwards> {
        if self.allowed_epoch == Some(epoch) { Ok(()) } else { self.reaches(epoch) }
    }

    /// Whether the epoch is not older than the newest.
    ///
    /// # Errors
    /// [`Backwards::OlderEpoch`].
    pub fn reaches(&self, epoch: u64) -> Result<(), Backwards> {
        if epoch < self.epoch {
            return Err(Backwards::OlderEpoch { asked: epoch, newest: self.epoch });
        }
        Ok(())
    }
}

/// The bytes that a text in lower-case hexadecimal stands for.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if hex::encode(bytes) == text => Ok(bytes),
        _ => Err("an id or a digest is not in lower-case hexadecimal, or has another length"),
    }
}
