//! The file that the entries stand in.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use trstctl_formats::Digest;

use super::entry::{Act, Entry};
use super::facts::Facts;
use super::head::{Head, HeadFile};

/// Name of the file in the key store's folder.
const NAME: &str = "journal";

/// No line is longer, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// An open journal, read to its end.
pub struct Journal {
    path: PathBuf,
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
         will be signed: restore the journal from the same backup as the keys",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// An entry does not follow from the one before, or is none.
    #[error(
        "the journal {} does not hold at entry {number}, byte {offset}: {what}. Nothing will be signed. \
         Restore the journal from a backup",
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
         Restore journal and journal.head from a backup that is not older",
        path.display()
    )]
    Shortened {
        /// The file.
        path: PathBuf,
        /// What shows it.
        what: String,
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
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(unusable(&path, "made durable"))?;
        let mut journal = Self::of(path, file, head_file);
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
        let mut journal = Self::of(path, file, head_file);
        let lock = journal.flock(FlockOperation::LockShared)?;
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

    fn of(path: PathBuf, file: File, head_file: HeadFile) -> Self {
        let facts = Facts::default();
        Self {
            path,
            file,
            head_file,
            len: 0,
            entries: 0,
            head: Head::NONE.digest,
            promised: Head::NONE,
            facts,
        }
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

    /// Locks the file against other signers of this store, and reads what they added.
    ///
    /// # Errors
    /// Every [`JournalFault`].
    pub fn lock(&mut self) -> Result<Locked<'_>, JournalFault> {
        let lock = self.flock(FlockOperation::LockExclusive)?;
        self.is_in_its_place()?;
        self.catch_up()?;
        Ok(Locked { journal: self, _lock: lock })
    }

    fn append(&mut self, now: Timestamp, act: Act) -> Result<(), JournalFault> {
        self.facts.check(&act).map_err(|what| self.broken(what.to_owned()))?;
        let entry = Entry { number: self.entries + 1, previous: self.head.to_string(), at: now, act };
        let mut line = entry.line();
        let head = Entry::digest_of(&line);
        line.push(b'\n');
        if let Err(error) = self.write(&line) {
            // Whatever of the line is there must not be taken for an entry.
            let _ = self.file.set_len(self.len);
            return Err(self.unusable("written")(error));
        }
        self.len += line.len() as u64;
        self.entries += 1;
        self.head = head;
        self.facts.add(entry.act);
        // The entry stands whatever becomes of this; it is not answered for without.
        self.head_file.write(&self.reached()).map_err(self.unusable("written, its head"))?;
        self.promised = self.reached();
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // What lies behind the last whole line was left by a crash.
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(line)?;
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
        let open = [self.file.metadata(), self.head_file.metadata()];
        for (path, open) in [&self.path, &head_path].into_iter().zip(open) {
            let (open, named) = (open.map_err(&unusable)?, path.metadata().map_err(&unusable)?);
            if (open.dev(), open.ino()) != (named.dev(), named.ino()) {
                return Err(
                    self.shortened("another file took its place while this signer runs: start it again")
                );
            }
        }
        Ok(())
    }

    /// Reads the whole lines behind those that are known; the entry that the head names must be among them all.
    fn catch_up(&mut self) -> Result<(), JournalFault> {
        let promised = self.head_file.read().map_err(self.unusable("read, its head"))?;
        let promised = promised.ok_or_else(|| self.shortened("journal.head is damaged"))?;
        let mut news = Vec::new();
        let read = self.file.seek(SeekFrom::Start(self.len)).and_then(|_| self.file.read_to_end(&mut news));
        read.map_err(self.unusable("read"))?;
        let mut is_kept = [self.promised, self.reached()].contains(&promised);
        let mut lines = news.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            match self.take(whole) {
                // Nothing behind the head was answered for: a last entry that is torn, also in its middle, gives way.
                Err(_) if self.reached() == promised && lines.peek().is_none() => break,
                taken => taken?,
            }
            is_kept |= self.reached() == promised;
        }
        let len = self.file.metadata().map_err(self.unusable("read"))?.len();
        if !is_kept || len < self.len {
            let Head { entries, digest } = promised;
            let what =
                format!("journal.head names entry {entries} ({digest}), which the journal does not hold");
            return Err(self.shortened(&what));
        }
        self.promised = promised;
        Ok(())
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

    fn flock(&self, how: FlockOperation) -> Result<Lock, JournalFault> {
        let file = self.file.try_clone().map_err(self.unusable("locked"))?;
        flock(&file, how).map_err(|error| self.unusable("locked")(error.into()))?;
        Ok(Lock(file))
    }
}

/// A journal that no other signer changes meanwhile.
pub struct Locked<'j> {
    journal: &'j mut Journal,
    _lock: Lock,
}

impl Locked<'_> {
    /// What the entries say, those of other signers too.
    pub fn facts(&self) -> &Facts {
        &self.journal.facts
    }

    /// Whether all entries so far are durable and named by the head. A crash, or a head that could not be written, leaves a last one
    /// that is not: nothing may rest on it until another entry has made it so.
    pub fn is_durable(&self) -> bool {
        self.journal.promised == self.journal.reached()
    }

    /// Makes an act durable. When this returns, it is in the journal for ever.
    ///
    /// # Errors
    /// [`JournalFault::Broken`] for an act that cannot follow. [`JournalFault::Unusable`]: it may stand all the same, which the next
    /// reading tells; it must not be answered for.
    pub fn append(&mut self, now: Timestamp, act: Act) -> Result<(), JournalFault> {
        self.journal.append(now, act)
    }
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
mod tests {
    use tempfile::TempDir;

    use super::super::head;
    use super::*;
    use crate::algorithm::{Algorithm, Purposes};
    use crate::key_id::KeyId;

    fn key_generated(number: u8) -> Act {
        Act::KeyGenerated {
            key_id: KeyId::new([number; 16]),
            algorithm: Algorithm::P256,
            purposes: Purposes::of(3).unwrap(),
            public_key_sha256: hex::encode([number; 32]),
        }
    }

    fn append(journal: &mut Journal, act: Act) {
        journal.lock().unwrap().append(Timestamp::UNIX_EPOCH, act).unwrap();
    }

    /// A journal of three entries, and its folder.
    fn sample() -> (TempDir, Journal) {
        let folder = TempDir::new().unwrap();
        let mut journal = Journal::create(folder.path()).unwrap();
        append(&mut journal, Act::StoreCreated { deployment_id: hex::encode([5; 16]) });
        append(&mut journal, key_generated(1));
        append(&mut journal, key_generated(2));
        (folder, journal)
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let (folder, journal) = sample();
        let again = Journal::open(folder.path(), Access::Write).unwrap();
        assert_eq!((again.entries(), again.head()), (3, journal.head()));
        assert_eq!(again.facts(), journal.facts());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let (folder, _) = sample();
        for name in [NAME, head::NAME] {
            let path = folder.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for at in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[at / 8] ^= 1 << (at % 8);
                std::fs::write(&path, damaged).unwrap();
                assert!(Journal::open(folder.path(), Access::Write).is_err(), "{name}, bit {at}");
            }
            for len in 0..whole.len() {
                std::fs::write(&path, &whole[..len]).unwrap();
                assert!(Journal::open(folder.path(), Access::Write).is_err(), "{name}, {len} bytes");
            }
            std::fs::write(&path, &whole).unwrap();
        }
        assert!(Journal::open(folder.path(), Access::Write).is_ok());
    }

    #[test]
    fn lines_dropped_doubled_or_swapped_are_refused() {
        let (folder, _) = sample();
        let path = folder.path().join(NAME);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let [a, b, c] = lines[..] else { panic!("three entries") };
        for other in
            [[b, c].concat(), [a, c].concat(), [a, b].concat(), [a, b, b, c].concat(), [a, c, b].concat()]
        {
            std::fs::write(&path, other).unwrap();
            assert!(Journal::open(folder.path(), Access::Write).is_err());
        }
    }

    #[test]
    fn what_a_crash_left_behind_the_head_is_taken_or_gives_way() {
        let (folder, mut journal) = sample();
        let path = folder.path().join(NAME);
        let before = (std::fs::read(&path).unwrap(), std::fs::read(folder.path().join(head::NAME)).unwrap());
        append(&mut journal, key_generated(3));
        let after = std::fs::read(&path).unwrap();
        std::fs::write(folder.path().join(head::NAME), before.1).unwrap();
        // Killed between entry and head, and at each byte of the entry.
        for len in before.0.len()..=after.len() {
            std::fs::write(&path, &after[..len]).unwrap();
            let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
            assert_eq!(journal.entries(), if len == after.len() { 4 } else { 3 });
            let act = key_generated(4);
            let mut locked = journal.lock().unwrap();
            assert_eq!(locked.is_durable(), len < after.len(), "the head does not name a fourth entry");
            locked.append(Timestamp::UNIX_EPOCH, act).unwrap();
            assert!(locked.is_durable());
            drop(locked);
            assert_eq!(Journal::open(folder.path(), Access::Write).unwrap().head(), journal.head());
            std::fs::write(folder.path().join(head::NAME), sample_head(&before.0)).unwrap();
        }
    }

    /// The head of these lines.
    fn sample_head(lines: &[u8]) -> Vec<u8> {
        let entries = lines.split_inclusive(|byte| *byte == b'\n');
        let digest =
            entries.clone().next_back().map(|line| Entry::digest_of(&line[..line.len() - 1])).unwrap();
        format!("{:020} {digest}\n", entries.count()).into_bytes()
    }

    #[test]
    fn a_last_entry_that_a_power_loss_left_with_holes_gives_way() {
        let (folder, mut journal) = sample();
        let files = [NAME, head::NAME].map(|name| folder.path().join(name));
        let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
        append(&mut journal, key_generated(3));
        let mut torn = std::fs::read(&files[0]).unwrap();
        torn[before[0].len() + 10..][..20].fill(0);
        std::fs::write(&files[0], torn).unwrap();
        // The head already speaks of it: then it was answered for.
        assert!(Journal::open(folder.path(), Access::Write).is_err());
        std::fs::write(&files[1], &before[1]).unwrap();
        let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
        assert_eq!(journal.entries(), 3);
        append(&mut journal, key_generated(4));
        assert_eq!(Journal::open(folder.path(), Access::Read).unwrap().entries(), 4);
    }

    #[test]
    fn a_journal_that_others_put_in_its_place_is_not_gone_on_with() {
        let (folder, mut journal) = sample();
        for name in [NAME, head::NAME] {
            let path = folder.path().join(name);
            std::fs::copy(&path, folder.path().join("copy")).unwrap();
            std::fs::rename(folder.path().join("copy"), &path).unwrap();
            assert!(matches!(journal.lock().err(), Some(JournalFault::Shortened { .. })), "{name}");
            journal = Journal::open(folder.path(), Access::Write).unwrap();
        }
    }

    #[test]
    fn each_of_two_signers_sees_the_entries_of_the_other() {
        let (folder, mut first) = sample();
        let mut second = Journal::open(folder.path(), Access::Write).unwrap();
        append(&mut first, key_generated(3));
        append(&mut second, key_generated(4));
        append(&mut first, key_generated(5));
        assert_eq!(first.facts().keys.len(), 5);
        let mut locked = second.lock().unwrap();
        let twice = locked.append(Timestamp::UNIX_EPOCH, key_generated(5));
        assert!(matches!(twice, Err(JournalFault::Broken { number: 7, .. })));
    }

    #[test]
    fn a_journal_that_is_replaced_by_an_older_one_under_a_running_signer_is_refused() {
        let (folder, mut journal) = sample();
        let files = [NAME, head::NAME].map(|name| folder.path().join(name));
        let older = files.each_ref().map(|path| std::fs::read(path).unwrap());
        append(&mut journal, key_generated(3));
        for (path, bytes) in files.iter().zip(older) {
            std::fs::write(path, bytes).unwrap();
        }
        assert!(matches!(journal.lock().err(), Some(JournalFault::Shortened { .. })));
    }
}
