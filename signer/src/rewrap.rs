//! Every key of a store, sealed again under a new KEK.
//!
//! The journal is locked from the first look to the last file, so that no signer makes a key meanwhile. Nothing is written before
//! every key has opened, with the old KEK or, where an earlier run was interrupted, the new one. Then, a key at a time: the new
//! file is written, synced and opened again, the journal says so, and the file takes the place of the old one by a rename. So at
//! every instant each key opens with one of the two, and the same command again goes on.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use trstctl_formats::sealed_key::{Kek, KekId, KeyHeader};

use crate::args::Rewrap;
use crate::journal::{Access, Act, Facts, Journal, Locked, Sealing};
use crate::key_id::KeyId;
use crate::key_store::{KeyFault, KeyStore, OpenKey};
use crate::private_key::{KeyRefused, random};
use crate::{Fault, hardening, kek_file};

/// Why the keys are not sealed again, or not all.
#[derive(Debug, thiserror::Error)]
pub enum RewrapFault {
    /// Both files hold one KEK.
    #[error("the new KEK is the old one ({0}): nothing was written")]
    SameKek(KekId),
    /// There is nothing to seal.
    #[error("the key store has no key: is it the right folder?")]
    NoKeys,
    /// Not all keys open.
    #[error(
        "nothing was written, since a key does not open with either KEK: {0}. Put its file from a backup in its place, or move it out of the key store"
    )]
    Unreadable(KeyFault),
    /// A crash left what nobody can settle.
    #[error(
        "nothing was written: key {0} has a file ID.key.pending that is not the key which the journal knows. Move it out of the key store, and look at it"
    )]
    Pending(KeyId),
    /// It ended in the middle.
    #[error(
        "{done} of {all} keys are under the new KEK, the others under the old one: run the same command again. {fault}"
    )]
    Unfinished {
        /// Keys under the new KEK.
        done: usize,
        /// Keys of the store.
        all: usize,
        /// Why.
        fault: Box<Fault>,
    },
}

impl From<KeyFault> for Fault {
    fn from(fault: KeyFault) -> Self {
        Self::Keyring(fault.into())
    }
}

impl From<KeyRefused> for Fault {
    fn from(refused: KeyRefused) -> Self {
        Self::Keyring(refused.into())
    }
}

/// Seals the keys again.
pub(crate) fn run(args: &Rewrap) -> Result<ExitCode, Fault> {
    for lacking in hardening::keep_memory_private()? {
        eprintln!("trstctl-signer: {lacking}");
    }
    let (old, new) = (kek_file::read(&args.kek)?, kek_file::read(&args.new_kek)?);
    kek_file::make_durable(&args.new_kek)?;
    if old.id() == new.id() {
        return Err(RewrapFault::SameKek(new.id()).into());
    }
    let store = KeyStore::new(&args.keystore);
    let mut journal = Journal::open(&args.keystore, Access::Write)?;
    let mut locked = journal.lock()?;
    locked.make_durable()?;
    store.settle(locked.facts())?;
    if let Some(id) = store.pending()?.first() {
        return Err(RewrapFault::Pending(*id).into());
    }
    let keys = open_all(&store, &old, &new, locked.facts())?;
    let all = keys.len();
    if all == 0 {
        return Err(RewrapFault::NoKeys.into());
    }
    for id in locked.facts().keys.keys().filter(|id| keys.iter().all(|key| key.id != **id)) {
        eprintln!(
            "trstctl-signer: the journal knows key {id}, and the key store has no file for it: when one comes back from a backup, it is \
             under the KEK of that time, and this command must run again"
        );
    }
    let (waiting, already): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| !key.is_done);
    for (number, key) in waiting.iter().enumerate() {
        seal_again(&store, &new, &mut locked, key).map_err(|fault| {
            let done = already.len() + number;
            RewrapFault::Unfinished { done, all, fault: Box::new(fault) }
        })?;
    }
    // Where an earlier run was killed behind its last rename, that may not be durable, and the old KEK is done with now.
    store.sync()?;
    writeln!(
        io::stdout(),
        "All {all} keys are sealed under the KEK {}; by this run: {}. Start the signers again with it. Backups of the key store from \
         before need the old KEK, {}: keep it as long as them.",
        new.id(),
        waiting.len(),
        old.id()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A key of the store.
struct Found {
    id: KeyId,
    key: OpenKey,
    /// Whether its file is under the new KEK already.
    is_done: bool,
}

fn open_all(store: &KeyStore, old: &Kek, new: &Kek, facts: &Facts) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for id in store.ids()? {
        let open = || {
            let is_done = store.kek_of(id)? == new.id();
            let key = store.open(id, if is_done { new } else { old }, facts)?;
            Ok(Found { id, key, is_done })
        };
        found.push(open().map_err(RewrapFault::Unreadable)?);
    }
    Ok(found)
}

fn seal_again(store: &KeyStore, new: &Kek, locked: &mut Locked<'_>, found: &Found) -> Result<(), Fault> {
    let known = locked.facts().keys.get(&found.id).and_then(|known| known.sealing);
    let news = Sealing { generation: next(found.key.header.generation, known, new.id()), kek_id: new.id().0 };
    let header = KeyHeader { generation: news.generation, ..found.key.header.clone() };
    let staged = store.stage_again(found.id, new, &header, &random()?, &found.key)?;
    if known != Some(news) {
        let (generation, kek_id) = (news.generation, new.id().to_string());
        locked.append(Timestamp::now(), Act::KeyRewrapped { key_id: found.id, generation, kek_id })?;
    }
    Ok(store.replace(&staged)?)
}

/// The generation of the next file: above that of the file, and of every one that the journal knows, but for one under this KEK
/// that a crash kept from its place.
fn next(file: u32, known: Option<Sealing>, new: KekId) -> u32 {
    let above = file.saturating_add(1);
    match known {
        Some(last) if last.kek_id == new.0 => above.max(last.generation),
        Some(last) => above.max(last.generation.saturating_add(1)),
        None => above,
    }
}
