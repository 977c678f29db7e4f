//! The keys of a store and the journal beside them, as one thread keeps them: all that is written, is written here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use trstctl_formats::Digest;
use trstctl_formats::sealed_key::{Kek, KekId, KeyHeader};

use crate::algorithm::{Algorithm, Purposes};
use crate::journal::{Access, Act, Backwards, Facts, Journal, JournalFault};
use crate::key_id::KeyId;
use crate::key_store::{KeyFault, KeyStore, OpenKey, digest_of};
use crate::note::Note;
use crate::private_key::{KeyRefused, PrivateKey, random};
use crate::x509::LastIssuer;
use crate::x509::signed::PublicHalf;

/// Generation of a key that was never sealed again.
const FIRST_GENERATION: u32 = 1;

/// Keys and journal.
pub struct Keyring {
    store: KeyStore,
    kek: Kek,
    journal: Journal,
    deployment_id: [u8; 16],
    shared: Arc<Shared>,
}

/// What other threads look at.
#[derive(Default)]
pub struct Shared {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<KeyId, Arc<OpenKey>>,
    /// Keys that have a file and do not open, and why.
    unreadable: BTreeMap<KeyId, String>,
    /// That keys were sealed again under a KEK that this signer does not hold; those that sign nothing without a floor.
    remarks: Vec<String>,
    summary: Summary,
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// An empty folder becomes a store, and what a crash interrupted is finished.
    ToServe,
    /// Nothing is written.
    ToCheck,
}

/// What Health says.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Hexadecimal.
    pub deployment_id: String,
    /// Which KEK opens the keys.
    pub kek_id: String,
    /// Entries of the journal that this signer has read.
    pub journal_entries: u64,
    /// SHA-256 of the last one.
    pub journal_head: Option<Digest>,
    /// The newest epoch that anything was signed with.
    pub epoch: u64,
}

/// Why the keyring cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    /// A key or the store.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The journal; all that waited for the same write share it.
    #[error(transparent)]
    Journal(Arc<JournalFault>),
    /// A journal was begun beside keys, and does not know them yet.
    #[error(
        "the journal beside these keys has no entry: `trstctl-signer floor` was interrupted when it began it. Run it again"
    )]
    Unfinished,
    /// What was signed before forbids it.
    #[error(transparent)]
    Backwards(#[from] Backwards),
}

impl From<JournalFault> for KeyringFault {
    fn from(fault: JournalFault) -> Self {
        Self::Journal(Arc::new(fault))
    }
}

impl From<KeyRefused> for KeyringFault {
    fn from(refused: KeyRefused) -> Self {
        Self::Key(refused.into())
    }
}

impl Keyring {
    /// Opens the store in this folder with all its keys.
    ///
    /// A key that does not open is kept apart and named, and stops no other.
    ///
    /// # Errors
    /// A journal that is missing beside keys, or does not hold; a folder that cannot be read.
    pub fn open(folder: &Path, kek: Kek, opening: Opening, now: Timestamp) -> Result<Self, KeyringFault> {
        let store = KeyStore::new(folder);
        let journal = match opening {
            Opening::ToCheck => Journal::open(folder, Access::Read)?,
            Opening::ToServe => {
                // Of two signers that begin one store, the second finds what the first has made.
                let _alone = store.lock()?;
                match Journal::open(folder, Access::Write) {
                    Err(JournalFault::Missing { .. }) if store.is_new()? => Journal::create(folder)?,
                    journal => journal?,
                }
            }
        };
        let deployment_id = journal.facts().deployment_id.unwrap_or_default();
        let mut keyring = Self { store, kek, journal, deployment_id, shared: Arc::new(Shared::default()) };
        if opening == Opening::ToServe {
            keyring.begin(now)?;
            keyring.look_again()?;
        } else {
            keyring.look()?;
        }
        Ok(keyring)
    }

    /// What other threads may look at.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Gives a new store its first entry.
    fn begin(&mut self, now: Timestamp) -> Result<(), KeyringFault> {
        let mut locked = self.journal.lock()?;
        if locked.facts().deployment_id.is_none() {
            if !self.store.is_new()? {
                return Err(KeyringFault::Unfinished);
            }
            let deployment_id = hex::encode(random::<16>()?);
            locked.append(now, Act::StoreCreated { deployment_id })?;
        }
        self.deployment_id = locked.facts().deployment_id.unwrap_or_default();
        Ok(())
    }

    /// Opens the keys of the store that are not open yet: another signer may have made them, or begun to.
    ///
    /// # Errors
    /// Every [`JournalFault`]; a folder that cannot be listed.
    pub fn look_again(&mut self) -> Result<(), KeyringFault> {
        let mut locked = self.journal.lock()?;
        locked.make_durable()?;
        self.store.settle(locked.facts())?;
        // Still locked: what is listed is what the journal knows.
        let found = look(&self.store, &self.kek, &self.shared, locked.facts())?;
        drop(locked);
        self.share(found.0, Some(found.1));
        Ok(())
    }

    /// The same for a store that nothing is written to.
    fn look(&self) -> Result<(), KeyringFault> {
        let found = look(&self.store, &self.kek, &self.shared, self.journal.facts())?;
        self.share(found.0, Some(found.1));
        Ok(())
    }

    /// Makes a key. When this returns, key and entry are durable.
    ///
    /// # Errors
    /// [`KeyFault::Exists`] when the id was ever used; [`KeyFault::WrongKek`]; what the store or the journal refuses: then it may
    /// be that the key is there all the same, and asking for it tells.
    pub fn generate(
        &mut self,
        id: KeyId,
        algorithm: Algorithm,
        purposes: Purposes,
        now: Timestamp,
    ) -> Result<Arc<OpenKey>, KeyringFault> {
        // An RSA key takes its time, and is not made in vain.
        if self.journal.facts().keys.contains_key(&id) {
            return Err(KeyFault::Exists(id).into());
        }
        let private = PrivateKey::generate(algorithm)?;
        let public_key = private.public_key()?;
        let public = PublicHalf::new(algorithm, &public_key)?;
        let header = KeyHeader {
            algorithm: algorithm as u8,
            purposes: purposes.bits(),
            generation: FIRST_GENERATION,
            deployment_id: self.deployment_id,
            key_id: id.bytes(),
            public_key_sha256: digest_of(&public_key),
        };
        let act = Act::KeyGenerated {
            key_id: id,
            algorithm,
            purposes,
            public_key_sha256: header.public_key_sha256.to_string(),
        };
        let mut locked = self.journal.lock()?;
        if locked.facts().keys.contains_key(&id) {
            return Err(KeyFault::Exists(id).into());
        }
        locked.make_durable()?;
        self.store.settle(locked.facts())?;
        if let Some((id, sealed)) = self.store.of_another_kek(&self.kek)? {
            let given = self.kek.id();
            drop(locked);
            self.share(Vec::new(), None);
            return Err(KeyFault::WrongKek { id, sealed, given }.into());
        }
        let staged = self.store.stage(id, &self.kek, &header, &random()?, &private)?;
        // When this fails, whether the entry stands is known when the journal is read next; until then the key stays pending.
        locked.append(now, act)?;
        self.store.publish(&staged)?;
        drop(locked);
        let key = Arc::new(OpenKey {
            header,
            algorithm,
            purposes,
            public_key,
            public,
            private,
            issuer: LastIssuer::default(),
        });
        self.share(vec![(id, Arc::clone(&key))], None);
        Ok(key)
    }

    /// Notes what is about to be signed, all of it with one sync. What is answered with `Ok` may be signed when this returns.
    ///
    /// # Errors
    /// For each: [`Backwards`]; every [`JournalFault`], which then is that of all.
    pub fn note_all(&mut self, notes: &[Note], now: Timestamp) -> Vec<Result<(), KeyringFault>> {
        let noted = self.journal.lock().and_then(|mut locked| {
            let noted: Vec<_> = notes.iter().map(|note| note.stage(&mut locked, now)).collect();
            locked.commit().map(|()| noted)
        });
        match noted {
            Ok(noted) => {
                self.share(Vec::new(), None);
                noted
            }
            Err(fault) => {
                let fault = Arc::new(fault);
                notes.iter().map(|_| Err(KeyringFault::Journal(Arc::clone(&fault)))).collect()
            }
        }
    }

    /// Whether the journal knows keys under another KEK, and what to do then.
    fn resealed(&self) -> Option<String> {
        let keys = &self.journal.facts().keys;
        let mut others = keys.iter().filter_map(|(id, known)| Some((id, KekId(known.sealing?.kek_id))));
        let (id, kek) = others.find(|(_, kek)| *kek != self.kek.id())?;
        Some(format!(
            "key {id} was sealed again under the KEK {kek}, and this signer holds {}: when `trstctl-signer rewrap` is through, give it \
             the new KEK and start it again",
            self.kek.id()
        ))
    }

    /// The CA keys that sign nothing, since nobody stated yet what they signed before.
    fn without_floor(&self) -> impl Iterator<Item = String> {
        let facts = self.journal.facts();
        facts.keys.keys().filter_map(|id| facts.is_known_of(*id).err()).map(|refused| refused.to_string())
    }

    /// Shows others new keys and the present journal; a new list of keys that do not open replaces the old one.
    fn share(&self, found: Vec<(KeyId, Arc<OpenKey>)>, unreadable: Option<BTreeMap<KeyId, String>>) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        state.keys.extend(found);
        if let Some(unreadable) = unreadable {
            state.unreadable = unreadable;
        }
        state.remarks = self.resealed().into_iter().chain(self.without_floor()).collect();
        state.summary = Summary {
            deployment_id: hex::encode(self.deployment_id),
            kek_id: self.kek.id().to_string(),
            journal_entries: self.journal.entries(),
            journal_head: Some(self.journal.head()),
            epoch: self.journal.facts().epoch,
        };
    }
}

impl Shared {
    /// An open key.
    pub fn key(&self, id: KeyId) -> Option<Arc<OpenKey>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).keys.get(&id).cloned()
    }

    /// Why a key that has a file does not open.
    pub fn why_unreadable(&self, id: KeyId) -> Option<String> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).unreadable.get(&id).cloned()
    }

    /// All open keys, by id.
    pub fn keys(&self) -> Vec<Arc<OpenKey>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).keys.values().cloned().collect()
    }

    /// How many keys do not open, or are missing.
    pub fn unreadable(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).unreadable.len()
    }

    /// What is wrong with keys, a sentence each.
    pub fn findings(&self) -> Vec<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.unreadable.values().chain(&state.remarks).cloned().collect()
    }

    /// What Health says.
    pub fn summary(&self) -> Summary {
        self.state.read().unwrap_or_else(PoisonError::into_inner).summary.clone()
    }
}

/// Keys that were found, and those that do not open, with the reason.
type Found = (Vec<(KeyId, Arc<OpenKey>)>, BTreeMap<KeyId, String>);

/// Opens the keys that are not open yet, and holds the journal against the store.
fn look(store: &KeyStore, kek: &Kek, shared: &Shared, facts: &Facts) -> Result<Found, KeyringFault> {
    let (mut found, mut unreadable) = (Vec::new(), BTreeMap::new());
    let ids = store.ids()?;
    for id in ids.iter().copied().filter(|id| shared.key(*id).is_none()) {
        match store.open(id, kek, facts) {
            Ok(key) => found.push((id, Arc::new(key))),
            Err(fault) => drop(unreadable.insert(id, fault.to_string())),
        }
    }
    for id in facts.keys.keys().filter(|id| ids.binary_search(id).is_err()) {
        unreadable.insert(*id, format!("the journal knows key {id}, and the key store has no file for it"));
    }
    Ok((found, unreadable))
}
