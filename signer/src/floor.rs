//! What a person states of a CA or a log that the journal does not know: the least that it has signed, so that it goes on above that.
//!
//! Where the journal is gone, and only there, this begins another beside the keys: it adopts each key that it finds, and a key that was adopted
//! signs nothing until its floor is set. Nothing is written before every such key has opened, and nothing is overwritten. The floor's own
//! entry is the last that is written, so that one that was interrupted does not stand, and the same command again goes on.

mod serials;

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use trstctl_formats::sealed_key::{Kek, KekId};

use crate::args::{Floor, FloorOf};
use crate::journal::{
    Access, Act, Authority, Backwards, Facts, Journal, JournalFault, Locked, MAX_REVOKED, MAX_USED,
    UsedSerial,
};
use crate::key_id::KeyId;
use crate::key_store::{KeyFault, KeyStore, OpenKey};
use crate::serial::Serial;
use crate::{Fault, hardening, kek_file};
use serials::Serials;
pub use serials::SerialsFault;

/// Why no floor is set.
#[derive(Debug, thiserror::Error)]
pub enum FloorFault {
    /// There is neither a journal nor a key.
    #[error(
        "the folder has neither a journal nor a key: is it the right one? A signer that is started over an empty folder makes a new key store"
    )]
    NoKeys,
    /// A key that would be adopted does not open.
    #[error(
        "nothing was written, since a key that the journal does not know does not open: {0}. Put its file from a backup in its place, or move it \
         out of the key store: a later floor adopts it"
    )]
    Unreadable(KeyFault),
    /// Keys of two stores.
    #[error(
        "nothing was written, since key {0} belongs to another deployment than the journal or the other keys: move it out of the key store"
    )]
    OtherDeployment(KeyId),
    /// No such key.
    #[error("nothing was written: neither the journal nor the key store has a key {0}")]
    UnknownKey(KeyId),
    /// A key that signs neither certificates nor CRLs.
    #[error(
        "nothing was written: key {0} signs neither certificates nor CRLs, but heads of logs: state the last of each by --log"
    )]
    NotCa(KeyId),
    /// The journal knows of more.
    #[error(
        "nothing was written: CRLs of this CA are numbered up to {last} in the journal, and a floor only goes up from there, not to {asked}"
    )]
    CrlNumber {
        /// The number stated.
        asked: u64,
        /// That which the journal knows.
        last: u64,
    },
    /// The same for heads and epochs.
    #[error("nothing was written, since a floor only goes up from what the journal knows: {0}")]
    Backwards(Backwards),
    /// The list of serials.
    #[error("nothing was written: {0}")]
    Serials(#[from] SerialsFault),
}

/// Sets a floor.
pub(crate) fn run(args: &Floor) -> Result<ExitCode, Fault> {
    for lacking in hardening::keep_memory_private()? {
        eprintln!("trstctl-signer: {lacking}");
    }
    let serials = args.serials.as_deref().map(serials::read).transpose().map_err(FloorFault::from)?;
    let statement = Statement { of: args.of(), serials: serials.unwrap_or_default(), args };
    let kek = kek_file::read(&args.kek)?;
    let store = KeyStore::new(&args.keystore);
    // No signer begins a store meanwhile, and no other floor.
    let _alone = store.lock()?;
    let mut journal = match Journal::open(&args.keystore, Access::Write) {
        Err(JournalFault::Missing { .. }) => {
            // A journal that is begun stays: whatever can be refused is, before.
            statement.check(&Facts::default(), &adoptable(&store, &kek, &Facts::default())?)?;
            Journal::create(&args.keystore)?
        }
        journal => journal?,
    };
    // Whoever runs this, root perhaps, the signer reads it.
    if let Some((user, group)) = store.owner()? {
        journal.give_to(user, group)?;
    }
    let mut locked = journal.lock()?;
    let found = adoptable(&store, &kek, locked.facts())?;
    statement.check(locked.facts(), &found)?;
    adopt(&mut locked, &found, kek.id())?;
    let is_new = statement.write(&mut locked)?;
    say(&statement, locked.facts(), found.len(), is_new)?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of the store that the journal does not know: all of them open, and they belong to one deployment, the journal's where it has one.
fn adoptable(store: &KeyStore, kek: &Kek, facts: &Facts) -> Result<Vec<OpenKey>, Fault> {
    let ids = store.ids()?.into_iter().filter(|id| !facts.keys.contains_key(id));
    let keys = ids.map(|id| store.open_unknown(id, kek)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(FloorFault::Unreadable)?;
    let deployment_id = facts.deployment_id.or(keys.first().map(|key| key.header.deployment_id));
    match keys.iter().find(|key| Some(key.header.deployment_id) != deployment_id) {
        Some(other) => Err(FloorFault::OtherDeployment(KeyId::new(other.header.key_id)).into()),
        None if deployment_id.is_none() => Err(FloorFault::NoKeys.into()),
        None => Ok(keys),
    }
}

/// Adopts the keys, all with one sync.
fn adopt(locked: &mut Locked<'_>, found: &[OpenKey], kek_id: KekId) -> Result<(), Fault> {
    let now = Timestamp::now();
    if let (None, Some(first)) = (locked.facts().deployment_id, found.first()) {
        locked.stage(now, Act::StoreCreated { deployment_id: hex::encode(first.header.deployment_id) })?;
    }
    for key in found {
        let (algorithm, purposes, generation) = (key.algorithm, key.purposes, key.header.generation);
        let (key_id, public_key_sha256) =
            (KeyId::new(key.header.key_id), key.header.public_key_sha256.to_string());
        let kek_id = kek_id.to_string();
        locked.stage(
            now,
            Act::KeyAdopted { key_id, algorithm, purposes, public_key_sha256, generation, kek_id },
        )?;
    }
    Ok(locked.commit()?)
}

/// What is stated.
struct Statement<'a> {
    of: FloorOf,
    serials: Serials,
    args: &'a Floor,
}

impl Statement<'_> {
    fn epoch(&self, facts: &Facts) -> u64 {
        self.args.epoch.unwrap_or(facts.epoch)
    }

    /// Whether it can stand, behind what the journal knows and with the keys that are about to be adopted.
    fn check(&self, facts: &Facts, found: &[OpenKey]) -> Result<(), FloorFault> {
        let epoch = self.epoch(facts);
        facts.reaches(epoch).map_err(FloorFault::Backwards)?;
        match &self.of {
            FloorOf::Log(log, head) => facts.extends(log, head).map_err(FloorFault::Backwards),
            FloorOf::Ca { key_id, crl_number } => {
                let known = facts.keys.get(key_id).map(|key| key.purposes);
                let found = found.iter().find(|key| key.header.key_id == key_id.bytes());
                let purposes = known.or(found.map(|key| key.purposes));
                let last = facts.authorities.get(key_id).and_then(Authority::last_crl_number).unwrap_or(0);
                match purposes {
                    None => Err(FloorFault::UnknownKey(*key_id)),
                    Some(purposes) if !purposes.are_of_ca() => Err(FloorFault::NotCa(*key_id)),
                    Some(_) if *crl_number < last => Err(FloorFault::CrlNumber { asked: *crl_number, last }),
                    Some(_) => Ok(()),
                }
            }
        }
    }

    /// Writes what the journal does not have yet; answers whether that was anything.
    fn write(&self, locked: &mut Locked<'_>) -> Result<bool, Fault> {
        let epoch = self.epoch(locked.facts());
        let (by, reason) = (self.args.by.clone(), self.args.reason.clone());
        let now = Timestamp::now();
        let floor = match self.of.clone() {
            FloorOf::Log(log, head) => {
                let root = hex::encode(head.root);
                Act::LogFloorSet { log, tree_size: head.tree_size, root, epoch, by, reason }
            }
            FloorOf::Ca { key_id, crl_number } => {
                for act in self.serials_unknown_to(locked.facts(), key_id) {
                    locked.append(now, act)?;
                }
                Act::FloorSet { key_id, crl_number, epoch, by, reason }
            }
        };
        let is_new = !(locked.is_durable() && self.stands(locked.facts()));
        if is_new {
            locked.append(now, floor)?;
        }
        Ok(is_new)
    }

    /// Whether all of it is in the journal.
    fn stands(&self, facts: &Facts) -> bool {
        let stands = match &self.of {
            FloorOf::Log(log, head) => facts.tree_heads.get(log) == Some(head),
            FloorOf::Ca { key_id, crl_number } => facts.authorities.get(key_id).is_some_and(|authority| {
                authority.has_floor() && authority.last_crl_number().unwrap_or(0) == *crl_number
            }),
        };
        stands && facts.epoch == self.epoch(facts)
    }

    fn serials_unknown_to(&self, facts: &Facts, key_id: KeyId) -> Vec<Act> {
        let authority = facts.authorities.get(&key_id);
        let used = self.serials.iter().filter(|(serial, _)| authority.is_none_or(|ca| !ca.is_used(**serial)));
        let used: Vec<_> =
            used.map(|(serial, known)| UsedSerial { serial: *serial, not_after: known.not_after }).collect();
        let revoked = self.serials.iter().filter(|(serial, known)| {
            known.is_revoked && authority.is_none_or(|ca| !ca.has_revoked(**serial))
        });
        let revoked: Vec<Serial> = revoked.map(|(serial, _)| *serial).collect();
        let used =
            used.chunks(MAX_USED).map(|serials| Act::SerialsUsed { key_id, serials: serials.to_vec() });
        let revoked = revoked
            .chunks(MAX_REVOKED)
            .map(|serials| Act::SerialsRevoked { key_id, serials: serials.to_vec() });
        used.chain(revoked).collect()
    }
}

fn say(statement: &Statement<'_>, facts: &Facts, adopted: usize, is_new: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if adopted > 0 {
        writeln!(out, "Keys adopted into the journal: {adopted}.")?;
    }
    let stands = if is_new { "is set" } else { "stands already" };
    match &statement.of {
        FloorOf::Log(log, head) => writeln!(
            out,
            "The floor of log {log} {stands}: no head of fewer than {} records, and none of so many with another root, is signed.",
            head.tree_size
        )?,
        FloorOf::Ca { key_id, crl_number } => {
            let revoked = statement.serials.values().filter(|known| known.is_revoked).count();
            writeln!(
                out,
                "The floor of CA {key_id} {stands}: its next CRL has a number above {crl_number}. Serials stated as used: {}, of them revoked: {revoked}.",
                statement.serials.len()
            )?;
        }
    }
    writeln!(out, "What asks with an epoch below {} is refused.", facts.epoch)?;
    for key_id in facts.keys.keys().filter(|key_id| facts.is_known_of(**key_id).is_err()) {
        writeln!(out, "Key {key_id} has no floor yet, and signs nothing until it has.")?;
    }
    Ok(())
}
