//! The folder of sealed keys: one file a key, written once and never over another.
//!
//! A key comes into being in four steps, so that a crash between any two loses nothing and leaves nothing half done: the sealed
//! file is written and synced under a pending name, the journal says that the key exists, the file gets its name (a link, which
//! overwrites nothing), and the folder is synced. [`KeyStore::settle`] finishes or undoes what a crash left.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trstctl_formats::Digest;
use trstctl_formats::sealed_key::{Kek, KekId, KeyHeader, SealedKey, SealedKeyFault, seal};
use trstctl_signer_arena::SecretBytes;

use crate::algorithm::{Algorithm, Purposes};
use crate::journal::{Facts, KeyFacts};
use crate::key_id::KeyId;
use crate::lock::{self, Lock};
use crate::private_key::{KeyRefused, PrivateKey};
use crate::x509::signed::PublicHalf;
use crate::x509::{LastIssuer, Signatory};

/// What the name of a sealed key ends in, behind its id.
const ENDING: &str = ".key";
/// The same while the journal does not say yet that the key exists.
const PENDING: &str = ".key.pending";
/// The same while a key is sealed again; the file with the name opens until this one takes its place.
const REWRAPPED: &str = ".key.rewrapped";

/// No sealed key file is longer, in bytes: RSA-4096 takes about 2.6 KB, ML-DSA-65 about 4.3 KB.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The folder.
pub struct KeyStore {
    folder: PathBuf,
}

/// A key that this signer has opened.
pub struct OpenKey {
    /// What its file states.
    pub header: KeyHeader,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it may sign.
    pub purposes: Purposes,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// The same, ready to verify with.
    pub public: PublicHalf,
    /// The key itself.
    pub private: PrivateKey,
    /// The certificate that it signed with last.
    pub issuer: LastIssuer,
}

/// Why a key, or the store, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The store holds no file for it.
    #[error("the key store has no key {0}")]
    Unknown(KeyId),
    /// There is one already, or was.
    #[error("key {0} exists already, and a key is never overwritten: choose another id")]
    Exists(KeyId),
    /// The store belongs to another KEK.
    #[error(
        "key {id} of this store is sealed under the KEK {sealed}, and this signer holds {given}: a new key would be sealed under the \
         wrong one. Start the signer with the KEK of the store"
    )]
    WrongKek {
        /// A key of the store.
        id: KeyId,
        /// What opens it.
        sealed: KekId,
        /// What the signer holds.
        given: KekId,
    },
    /// The sealed file does not open.
    #[error("key {id} cannot be opened: {fault}")]
    Sealed {
        /// The key.
        id: KeyId,
        /// The verdict.
        fault: SealedKeyFault,
    },
    /// The file opens, and what is in it is not what it, its name or the journal says.
    #[error("key {id} is not what it should be: {what}")]
    Mismatch {
        /// The key.
        id: KeyId,
        /// What differs.
        what: &'static str,
    },
    /// The library refuses.
    #[error("{0}")]
    Library(#[from] KeyRefused),
    /// The operating system refuses.
    #[error("{} cannot be {act}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A new key under its pending name.
pub struct Staged {
    id: KeyId,
    pending: PathBuf,
    named: PathBuf,
}

impl KeyStore {
    /// The store in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Whether it has no key, under its name or a pending one.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn is_new(&self) -> Result<bool, KeyFault> {
        Ok(self.ids()?.is_empty() && self.names_ending_in(PENDING)?.is_empty())
    }

    /// The keys that have a file, by id.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn ids(&self) -> Result<Vec<KeyId>, KeyFault> {
        self.names_ending_in(ENDING)
    }

    fn names_ending_in(&self, ending: &str) -> Result<Vec<KeyId>, KeyFault> {
        let failed = io_fault(&self.folder, "listed");
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(ending));
            ids.extend(id.and_then(|id| id.parse::<KeyId>().ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// Names of all files that end as sealed keys do, also those that name no key, sorted.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn files(&self) -> Result<Vec<String>, KeyFault> {
        let failed = io_fault(&self.folder, "listed");
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| name.ends_with(ENDING)));
        }
        names.sort();
        Ok(names)
    }

    /// What a file of this name holds, as far as a sealed key goes.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn bytes(&self, file: &str) -> io::Result<Vec<u8>> {
        beginning(&self.folder.join(file))
    }

    /// The key that a file of this name holds, by its name.
    pub fn id_of(file: &str) -> Option<KeyId> {
        file.strip_suffix(ENDING)?.parse().ok()
    }

    fn path(&self, id: KeyId, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}{ending}"))
    }

    /// Reads, opens and checks one key: its file, its name, its private and public half, and what the journal says of it.
    ///
    /// # Errors
    /// Every [`KeyFault`] but [`KeyFault::Exists`].
    pub fn open(&self, id: KeyId, kek: &Kek, facts: &Facts) -> Result<OpenKey, KeyFault> {
        let key = self.open_unknown(id, kek)?;
        key.check_against(id, facts)?;
        Ok(key)
    }

    /// The same without a journal: whether it is the right key, nobody says.
    ///
    /// # Errors
    /// As those of [`KeyStore::open`].
    pub fn open_unknown(&self, id: KeyId, kek: &Kek) -> Result<OpenKey, KeyFault> {
        open(id, &read(&self.path(id, ENDING), id)?, kek)
    }

    /// Seals a new key under its pending name, durably.
    ///
    /// # Errors
    /// [`KeyFault::Exists`] when a file of that name is there; [`KeyFault::Io`].
    pub fn stage(
        &self,
        id: KeyId,
        kek: &Kek,
        header: &KeyHeader,
        nonce: &[u8; 24],
        key: &PrivateKey,
    ) -> Result<Staged, KeyFault> {
        let (pending, named) = (self.path(id, PENDING), self.path(id, ENDING));
        if named.try_exists().map_err(io_fault(&named, "looked at"))? {
            return Err(KeyFault::Exists(id));
        }
        let sealed = key.with_pkcs8(|pkcs8| seal(kek, header, nonce, pkcs8))?;
        let sealed = sealed.map_err(|fault| KeyFault::Sealed { id, fault })?;
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&pending);
        let mut file = created.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFault::Exists(id),
            _ => io_fault(&pending, "created")(source),
        })?;
        let written = file.write_all(&sealed).and_then(|()| file.sync_all());
        written.map_err(|source| {
            let _ = fs::remove_file(&pending);
            io_fault(&pending, "written")(source)
        })?;
        // The name must be as durable as the bytes before the journal speaks of the key.
        self.sync()?;
        Ok(Staged { id, pending, named })
    }

    /// Gives a staged key, which the journal knows now, its name.
    ///
    /// # Errors
    /// [`KeyFault::Exists`] when another file of that name is there; [`KeyFault::Io`].
    pub fn publish(&self, staged: &Staged) -> Result<(), KeyFault> {
        match fs::hard_link(&staged.pending, &staged.named) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Or it was interrupted behind the link, which may not be durable yet.
                if !same_bytes(staged) {
                    return Err(KeyFault::Exists(staged.id));
                }
            }
            linked => linked.map_err(io_fault(&staged.named, "linked"))?,
        }
        self.sync()?;
        // What cannot be removed now, the next settling removes.
        let _ = fs::remove_file(&staged.pending);
        Ok(())
    }

    /// Finishes what a crash interrupted: a pending key that the journal knows gets its name; one that it does not know was never
    /// spoken of, and goes. Whatever is neither stays as it is, for a person to look at. The caller holds the journal's lock, and has
    /// made the entries durable: a key must not have its name while the power could still take away that the journal knows it.
    ///
    /// # Errors
    /// [`KeyFault::Io`] when the folder cannot be listed. A single key that cannot be settled stops no other.
    pub fn settle(&self, facts: &Facts) -> Result<(), KeyFault> {
        for id in self.names_ending_in(PENDING)? {
            let staged = Staged { id, pending: self.path(id, PENDING), named: self.path(id, ENDING) };
            // What fails is tried again at the next settling.
            match facts.keys.get(&id) {
                None => drop(fs::remove_file(&staged.pending)),
                Some(known) if is_file_of(&staged.pending, id, known) => drop(self.publish(&staged)),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The keys that wait for their name: what [`KeyStore::settle`] could not settle.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn pending(&self) -> Result<Vec<KeyId>, KeyFault> {
        self.names_ending_in(PENDING)
    }

    /// The KEK that a key's file says it is sealed under.
    ///
    /// # Errors
    /// [`KeyFault::Unknown`], [`KeyFault::Sealed`] for a damaged file, [`KeyFault::Io`].
    pub fn kek_of(&self, id: KeyId) -> Result<KekId, KeyFault> {
        let bytes = read(&self.path(id, ENDING), id)?;
        Ok(SealedKey::read(&bytes).map_err(|fault| KeyFault::Sealed { id, fault })?.kek_id())
    }

    /// Seals a key again, durably, beside its file, and opens what was written. A file that a crash left there gives way. The
    /// caller holds the journal's lock.
    ///
    /// # Errors
    /// [`KeyFault::Io`]; [`KeyFault::Sealed`] or [`KeyFault::Mismatch`] when what was written does not open as the same key.
    pub fn stage_again(
        &self,
        id: KeyId,
        kek: &Kek,
        header: &KeyHeader,
        nonce: &[u8; 24],
        key: &OpenKey,
    ) -> Result<Staged, KeyFault> {
        let (pending, named) = (self.path(id, REWRAPPED), self.path(id, ENDING));
        let sealed = key.private.with_pkcs8(|pkcs8| seal(kek, header, nonce, pkcs8))?;
        let sealed = sealed.map_err(|fault| KeyFault::Sealed { id, fault })?;
        let failed = io_fault(&pending, "written");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&pending)
            .map_err(&failed)?;
        // Whoever runs this, root perhaps, the signer reads it as before.
        let (old, new) = (named.metadata().map_err(&failed)?, file.metadata().map_err(&failed)?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid())).map_err(&failed)?;
        }
        file.write_all(&sealed).and_then(|()| file.sync_all()).map_err(&failed)?;
        if open(id, &read(&pending, id)?, kek)?.public_key != key.public_key {
            return Err(KeyFault::Mismatch { id, what: "sealed again, it opens as another key" });
        }
        Ok(Staged { id, pending, named })
    }

    /// Puts a key that was sealed again in the place of its file, in one step, durably.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn replace(&self, staged: &Staged) -> Result<(), KeyFault> {
        fs::rename(&staged.pending, &staged.named).map_err(io_fault(&staged.named, "replaced"))?;
        self.sync()
    }

    /// A key of the store that another KEK sealed, and which.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn of_another_kek(&self, kek: &Kek) -> Result<Option<(KeyId, KekId)>, KeyFault> {
        for id in self.ids()? {
            let bytes = read(&self.path(id, ENDING), id)?;
            let sealed = SealedKey::read(&bytes).ok().map(|sealed| sealed.kek_id());
            if let Some(other) = sealed.filter(|sealed| *sealed != kek.id()) {
                return Ok(Some((id, other)));
            }
        }
        Ok(None)
    }

    /// Locks the folder, against others that would begin a store in it at the same time.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn lock(&self) -> Result<File, KeyFault> {
        let failed = io_fault(&self.folder, "locked");
        let folder = File::open(&self.folder).map_err(&failed)?;
        lock::take(&folder, Lock::Exclusive).map_err(failed)?;
        Ok(folder)
    }

    /// User and group whose the keys are, by their ids; `None` without a key.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn owner(&self) -> Result<Option<(u32, u32)>, KeyFault> {
        let first = self.ids()?.first().map(|id| self.path(*id, ENDING));
        let owner = |path: PathBuf| match path.metadata() {
            Ok(found) => Ok((found.uid(), found.gid())),
            Err(error) => Err(io_fault(&path, "looked at")(error)),
        };
        first.map(owner).transpose()
    }

    /// Makes the names of all files durable.
    ///
    /// # Errors
    /// [`KeyFault::Io`].
    pub fn sync(&self) -> Result<(), KeyFault> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(io_fault(&self.folder, "made durable"))
    }
}

impl OpenKey {
    /// The key, as far as the rules for what it signs look at it.
    pub fn signatory(&self) -> Signatory<'_> {
        Signatory { algorithm: self.algorithm, public_key: &self.public_key, issuer: &self.issuer }
    }

    /// Whether it is what the journal says of this id.
    ///
    /// # Errors
    /// [`KeyFault::Mismatch`].
    pub fn check_against(&self, id: KeyId, facts: &Facts) -> Result<(), KeyFault> {
        let differs = |what| Err(KeyFault::Mismatch { id, what });
        let Some(known) = facts.keys.get(&id) else {
            return differs(
                "the journal does not know it: restore keys and journal from the same backup, or let `trstctl-signer floor` adopt it",
            );
        };
        if facts.deployment_id != Some(self.header.deployment_id) {
            return differs("it belongs to another deployment than the journal");
        }
        if known.public_key_sha256 != self.header.public_key_sha256.0 {
            return differs("it is another key than the one that the journal knows under this id");
        }
        if (known.algorithm, known.purposes) != (self.algorithm, self.purposes) {
            return differs("the journal knows it with another algorithm or other purposes");
        }
        Ok(())
    }
}

/// Whether the pending file is the key that the journal speaks of.
fn is_file_of(path: &Path, id: KeyId, known: &KeyFacts) -> bool {
    let Ok(bytes) = read(path, id) else { return false };
    let sealed = SealedKey::read(&bytes);
    sealed.is_ok_and(|sealed| {
        sealed.header().key_id == id.bytes() && sealed.header().public_key_sha256.0 == known.public_key_sha256
    })
}

/// Whether the file with the name is the pending one.
fn same_bytes(staged: &Staged) -> bool {
    let both = [&staged.pending, &staged.named].map(|path| read(path, staged.id).ok());
    both[0].is_some() && both[0] == both[1]
}

fn read(path: &Path, id: KeyId) -> Result<Vec<u8>, KeyFault> {
    beginning(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyFault::Unknown(id),
        _ => io_fault(path, "read")(source),
    })
}

/// One byte more than the limit: a longer file is then damaged, not cut.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a sealed key and checks that it is one key in all its parts.
///
/// # Errors
/// [`KeyFault::Sealed`], [`KeyFault::Mismatch`], [`KeyFault::Library`].
pub fn open(id: KeyId, bytes: &[u8], kek: &Kek) -> Result<OpenKey, KeyFault> {
    let sealed_fault = |fault| KeyFault::Sealed { id, fault };
    let sealed = SealedKey::read(bytes).map_err(sealed_fault)?;
    let header = sealed.header().clone();
    let mut pkcs8 = SecretBytes::zeroed(sealed.plaintext_len()).map_err(KeyRefused::from)?;
    sealed.open(kek, &mut pkcs8).map_err(sealed_fault)?;
    let differs = |what| KeyFault::Mismatch { id, what };
    if header.key_id != id.bytes() {
        return Err(differs("its file states another id than its name"));
    }
    let algorithm = Algorithm::of(header.algorithm).ok_or(differs("its algorithm is unknown"))?;
    let purposes = Purposes::of(header.purposes)
        .map_err(|_| differs("its purposes are unknown or exclude each other"))?;
    let private = PrivateKey::from_pkcs8(algorithm, &pkcs8)?;
    let public_key = private.public_key()?;
    if digest_of(&public_key) != header.public_key_sha256 {
        return Err(differs("its private half does not belong to the public half that its file states"));
    }
    let public = PublicHalf::new(algorithm, &public_key)?;
    Ok(OpenKey { header, algorithm, purposes, public_key, public, private, issuer: LastIssuer::default() })
}

/// SHA-256 of a public half, as a sealed file and the journal state it.
pub fn digest_of(public_key: &[u8]) -> Digest {
    Digest(Sha256::digest(public_key).into())
}

fn io_fault(path: &Path, act: &'static str) -> impl Fn(io::Error) -> KeyFault + use<> {
    let path = path.to_owned();
    move |source| KeyFault::Io { path: path.clone(), act, source }
}
