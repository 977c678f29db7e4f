//! The file that the entries stand in.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use trstctl_formats::Digest;

use super::entry::{Act, Entry};
use super::facts::Facts;
use super::head::{Head, HeadFile};
use crate::lock;

/// Name of the file in the key store's folder.
const NAME: &str = "journal";

/// No line is longer, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// So much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;

/// An open journal, read to its end.
pub struct Journal {
    path: PathBuf,
    access: Access,
    file: File,
    head_file: HeadFile,
    /// Length in bytes of what was read and holds.
    len: u64,
    entries: u64,
    head: Digest,
    /// What the head file said when it was last found to hold.
    promised: Head,
    facts: Facts,
}

/// What a journal is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look at it, also in a copy that cannot be written.
    Read,
    /// To go on with it.
    Write,
}

/// Why the journal cannot be used. The signer then signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// There is none.
    #[error(
        "there is no journal {}: is this the folder of a key store? If it holds keys, what they signed is unknown, and nothing \
         will be signed: restore the journal from a backup, the newest that there is; without one, `trstctl-signer floor` begins another",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// An entry does not follow from the one before, or is none.
    #[error(
        "the journal {} does not hold at entry {number}, byte {offset}: {what}. Nothing will be signed. \
         Restore journal and journal.head from a backup; without one, move both out of the key store, keep them, and begin another by \
         `trstctl-signer floor`",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// The entry, from 1.
        number: u64,
        /// Where its line begins.
        offset: u64,
        /// What about it.
        what: String,
    },
    /// Its end is gone, or its head.
    #[error(
        "the journal {} does not go as far as it did: {what}. Nothing will be signed. \
         Restore journal and journal.head from a backup that is not older; without one, move what there is of both out of the key store, keep \
         it, and begin another by `trstctl-signer floor`",
        path.display()
    )]
    Shortened {
        /// The file.
        path: PathBuf,
        /// What shows it.
        what: String,
    },
    /// Another journal, or none, is where this one was.
    #[error(
        "journal or journal.head are not those any more that this signer opened, in {}: they were moved, or others were put in their place, \
         while it runs. It signs nothing more: start it again", path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("the journal {} cannot be {act}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Journal {
    /// Makes an empty journal in the folder of a key store that has no key yet.
    ///
    /// # Errors
    /// [`JournalFault::Unusable`], also when there is one; [`JournalFault::Shortened`] when a head says that there was one.
    pub fn create(folder: &Path) -> Result<Self, JournalFault> {
        let path = folder.join(NAME);
        // The head first: a journal without one would look cut off.
        let head_file = HeadFile::create(folder).map_err(unusable(&path, "given a head"))?;
        if head_file.read().map_err(unusable(&path, "read, its head"))? != Some(Head::NONE) {
            let what = String::from("it is missing, and journal.head says that there was one");
            return Err(JournalFault::Shortened { path, what });
        }
        let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = created.map_err(unusable(&path, "created"))?;
        sync(folder).map_err(unusable(&path, "made durable"))?;
        let mut journal = Self::of(path, Access::Write, file, head_file);
        journal.catch_up()?;
        Ok(journal)
    }

    /// Opens the journal of a key store and reads it whole.
    ///
    /// # Errors
    /// Every [`JournalFault`].
    pub fn open(folder: &Path, access: Access) -> Result<Self, JournalFault> {
        let path = folder.join(NAME);
        let file = match OpenOptions::new().read(true).write(access == Access::Write).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(JournalFault::Missing { path });
            }
            Err(error) => return Err(unusable(&path, "opened")(error)),
        };
        let head_file = HeadFile::open(folder, access).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                JournalFault::Shortened { path: path.clone(), what: String::from("journal.head is missing") }
            }
            _ => unusable(&path, "opened, for its head")(source),
        })?;
        let mut journal = Self::of(path, access, file, head_file);
        let lock = journal.flock(lock::Lock::Shared)?;
        journal.catch_up()?;
        drop(lock);
        Ok(journal)
    }

    /// Checks the journal of a key store and copies its entries, as they stand, to `out`.
    ///
    /// # Errors
    /// Every [`JournalFault`]; what `out` refuses.
    pub fn copy<E>(folder: &Path, mut out: impl Write) -> Result<(), E>
    where
        E: From<JournalFault> + From<io::Error>,
    {
        let mut journal = Self::open(folder, Access::Read)?;
        journal.file.rewind()?;
        io::copy(&mut (&journal.file).take(journal.len), &mut out)?;
        Ok(out.flush()?)
    }

    /// Gives each entry that was read, in order; a second pass over the file, one line in memory.
    ///
    /// # Errors
    /// [`JournalFault`]; those of `take`, which end it.
    pub fn each<E: From<JournalFault>>(
        &mut self,
        mut take: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.rewind().map_err(self.unusable("read"))?;
        let mut lines = BufReader::with_capacity(READ_BYTES, (&self.file).take(self.len));
        let mut line = Vec::new();
        while next_line(&mut lines, &mut line).map_err(self.unusable("read"))? {
            let entry = serde_json::from_slice(&line).map_err(|error| self.broken(error.to_string()))?;
            take(entry)?;
        }
        Ok(())
    }

    fn of(path: PathBuf, access: Access, file: File, head_file: HeadFile) -> Self {
        let facts = Facts::default();
        Self {
            path,
            access,
            file,
            head_file,
            len: 0,
            entries: 0,
            head: Head::NONE.digest,
            promised: Head::NONE,
            facts,
        }
    }

    /// Gives both files to this user and group, by their ids, where they are another's.
    ///
    /// # Errors
    /// [`JournalFault::Unusable`].
    pub fn give_to(&self, user: u32, group: u32) -> Result<(), JournalFault> {
        for file in [&self.file, self.head_file.file()] {
            let found = file.metadata().map_err(self.unusable("looked at"))?;
            if (found.uid(), found.gid()) != (user, group) {
                fchown(file, Some(user), Some(group))
                    .map_err(self.unusable("given to the owner of the keys"))?;
            }
        }
        Ok(())
    }

    /// Number of entries read.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// SHA-256 of the last entry's line.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// What the entries say.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Locks the file against other signers of this store, but for those that only read it too, and reads what they added.
    ///
    /// # Errors
    /// Every [`JournalFault`].
    pub fn lock(&mut self) -> Result<Locked<'_>, JournalFault> {
        let lock = self.flock(match self.access {
            Access::Write => lock::Lock::Exclusive,
            // Some file systems (NFS) lock a file for one alone only if it is open for writing.
            Access::Read => lock::Lock::Shared,
        })?;
        self.is_in_its_place()?;
        self.catch_up()?;
        Ok(Locked { journal: self, staged: Vec::new(), _lock: lock })
    }

    /// Takes an act for the next entry, and adds its line to `lines`.
    fn stage(&mut self, now: Timestamp, act: Act, lines: &mut Vec<u8>) -> Result<(), JournalFault> {
        self.facts.check(&act).map_err(|what| self.broken(what.to_owned()))?;
        let entry = Entry { number: self.entries + 1, previous: self.head.to_string(), at: now, act };
        let line = entry.line();
        self.entries += 1;
        self.head = Entry::digest_of(&line);
        self.facts.add(entry.act);
        lines.extend(line);
        lines.push(b'\n');
        Ok(())
    }

    /// Makes staged lines durable, all with one sync, and then the head.
    fn commit(&mut self, lines: &[u8]) -> Result<(), JournalFault> {
        if let Err(error) = self.write(lines) {
            // Whatever of the lines is there must not be taken for entries.
            let _ = self.file.set_len(self.len);
            self.forget();
            return Err(self.unusable("written")(error));
        }
        self.len += lines.len() as u64;
        // The entries stand whatever becomes of this; they are not answered for without.
        self.head_file.write(&self.reached()).map_err(self.unusable("written, its head"))?;
        self.promised = self.reached();
        Ok(())
    }

    /// What is in memory may not be what is in the file: it is read again, from the start, before anything else is done.
    fn forget(&mut self) {
        self.len = 0;
        self.entries = 0;
        self.head = Head::NONE.digest;
        self.facts = Facts::default();
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.len == 0 {
            // Whoever made the files may have been killed before their names were durable.
            self.path.parent().map_or(Ok(()), sync)?;
        }
        if self.file.metadata()?.len() != self.len {
            // What lies behind the last whole line was left by a crash.
            self.file.set_len(self.len)?;
        }
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(lines)?;
        self.file.sync_data()
    }

    /// How far the entries go that were read.
    fn reached(&self) -> Head {
        Head { entries: self.entries, digest: self.head }
    }

    /// Whether the files that are open are those that others would open: a restore under a running signer puts others there.
    fn is_in_its_place(&self) -> Result<(), JournalFault> {
        let unusable = self.unusable("looked at");
        let head_path = self.path.with_file_name(super::head::NAME);
        let open = [self.file.metadata(), self.head_file.file().metadata()];
        for (path, open) in [&self.path, &head_path].into_iter().zip(open) {
            let open = open.map_err(&unusable)?;
            let is_same = match path.metadata() {
                Ok(named) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(unusable(error)),
            };
            if !is_same {
                return Err(JournalFault::Replaced { path: self.path.clone() });
            }
        }
        Ok(())
    }

    /// Reads the whole lines behind those that are known; the entry that the head names must be among them all, and the one that it
    /// named before.
    fn catch_up(&mut self) -> Result<(), JournalFault> {
        let promised = self.head_file.read().map_err(self.unusable("read, its head"))?;
        let promised = promised.ok_or_else(|| self.shortened("journal.head is damaged"))?;
        let mut awaited = [promised, self.promised].to_vec();
        awaited.retain(|head| !self.holds(head));
        if awaited.is_empty() && self.file.metadata().map_err(self.unusable("read"))?.len() == self.len {
            self.promised = promised;
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.len)).map_err(self.unusable("read"))?;
        let file = self.file.try_clone().map_err(self.unusable("read"))?;
        let mut news = BufReader::with_capacity(READ_BYTES, file);
        let mut line = Vec::new();
        while next_line(&mut news, &mut line).map_err(self.unusable("read"))? {
            match self.take(&line[..line.len() - 1]) {
                // Nothing behind the head was answered for: from the first entry that is torn on, all gives way.
                Err(_) if awaited.is_empty() => break,
                taken => taken?,
            }
            awaited.retain(|head| *head != self.reached());
        }
        let len = self.file.metadata().map_err(self.unusable("read"))?.len();
        if let Some(Head { entries, digest }) =
            awaited.first().copied().or((len < self.len).then_some(promised))
        {
            let what =
                format!("journal.head names entry {entries} ({digest}), which the journal does not hold");
            return Err(self.shortened(&what));
        }
        self.promised = promised;
        Ok(())
    }

    /// Whether the entries that were read have this one, as far as that is remembered.
    fn holds(&self, head: &Head) -> bool {
        *head == self.reached() || (*head == self.promised && head.entries <= self.entries)
    }

    fn shortened(&self, what: &str) -> JournalFault {
        JournalFault::Shortened { path: self.path.clone(), what: what.to_owned() }
    }

    /// Takes the next line.
    fn take(&mut self, line: &[u8]) -> Result<(), JournalFault> {
        if line.len() > MAX_LINE_BYTES {
            return Err(self.broken(format!("its line has more than {MAX_LINE_BYTES} bytes")));
        }
        let entry: Entry = serde_json::from_slice(line).map_err(|error| self.broken(error.to_string()))?;
        // What was read must be all that the line says.
        if entry.line() != line {
            return Err(self.broken(String::from("its line is not in the one spelling that a signer writes")));
        }
        if entry.number != self.entries + 1 {
            return Err(self.broken(format!("it has the number {}", entry.number)));
        }
        if entry.previous != self.head.to_string() {
            return Err(self.broken(String::from("it does not continue the entry before it")));
        }
        self.facts.check(&entry.act).map_err(|what| self.broken(what.to_owned()))?;
        self.facts.add(entry.act);
        self.len += line.len() as u64 + 1;
        self.entries += 1;
        self.head = Entry::digest_of(line);
        Ok(())
    }

    fn broken(&self, what: String) -> JournalFault {
        JournalFault::Broken { path: self.path.clone(), number: self.entries + 1, offset: self.len, what }
    }

    fn unusable(&self, act: &'static str) -> impl Fn(io::Error) -> JournalFault + use<> {
        unusable(&self.path, act)
    }

    fn flock(&self, how: lock::Lock) -> Result<Lock, JournalFault> {
        let file = self.file.try_clone().map_err(self.unusable("locked"))?;
        lock::take(&file, how).map_err(self.unusable("locked"))?;
        Ok(Lock(file))
    }
}

/// A journal that no other signer changes meanwhile.
pub struct Locked<'j> {
    journal: &'j mut Journal,
    /// Lines of acts that the facts have, and the file does not yet.
    staged: Vec<u8>,
    _lock: Lock,
}

impl Locked<'_> {
    /// What the entries say, those of other signers too, and the staged acts.
    pub fn facts(&self) -> &Facts {
        &self.journal.facts
    }

    /// Whether all entries so far are durable and named by the head, or will be with those that are staged. A crash, or a head that could
    /// not be written, leaves some that are not: nothing may rest on them until another entry has made them so.
    pub fn is_durable(&self) -> bool {
        !self.staged.is_empty() || self.journal.promised == self.journal.reached()
    }

    /// Makes the entries durable that a crash left, and the head name them.
    ///
    /// # Errors
    /// [`JournalFault::Unusable`].
    pub fn make_durable(&mut self) -> Result<(), JournalFault> {
        if self.is_durable() { Ok(()) } else { self.journal.commit(&[]) }
    }

    /// Takes an act that [`Locked::commit`] will make durable: later ones are decided on it already.
    ///
    /// # Errors
    /// [`JournalFault::Broken`] for an act that cannot follow.
    pub fn stage(&mut self, now: Timestamp, act: Act) -> Result<(), JournalFault> {
        self.journal.stage(now, act, &mut self.staged)
    }

    /// Makes all staged acts durable, with one sync of the journal and one of its head. When this returns, they are in it for ever.
    ///
    /// # Errors
    /// [`JournalFault::Unusable`]: they may stand all the same, which the next reading tells; none must be answered for.
    pub fn commit(&mut self) -> Result<(), JournalFault> {
        let staged = std::mem::take(&mut self.staged);
        if staged.is_empty() { Ok(()) } else { self.journal.commit(&staged) }
    }

    /// Stages one act and commits.
    ///
    /// # Errors
    /// Those of both.
    pub fn append(&mut self, now: Timestamp, act: Act) -> Result<(), JournalFault> {
        self.stage(now, act)?;
        self.commit()
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if !self.staged.is_empty() {
            self.journal.forget();
        }
    }
}

/// Reads the next line, with its newline; not one that has none, at the end. A line that is too long comes cut off, and still too long.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    const TOO_LONG: usize = MAX_LINE_BYTES + 2;
    line.clear();
    from.by_ref().take(TOO_LONG as u64).read_until(b'\n', line)?;
    Ok(line.last() == Some(&b'\n') || line.len() == TOO_LONG)
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, act: &'static str) -> impl Fn(io::Error) -> JournalFault + use<> {
    let path = path.to_owned();
    move |source| JournalFault::Unusable { path: path.clone(), act, source }
}

/// Held while the journal is read or written.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The clone shares the lock, so that closing it alone does not let go.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests;
