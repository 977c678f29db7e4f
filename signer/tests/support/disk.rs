//! A folder on a disk that promises no more than POSIX does: what a sync was not asked for may be there after the power went, or not, or in part.
//!
//! A file's bytes last once it was synced; its name, or that it has it no more, once the folder was. Of names that changed since, any may
//! have reached the disk without the others. A rename is one change.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of each file, by its name.
pub type Contents = BTreeMap<String, Vec<u8>>;

/// A disk overwrites so many bytes in one step, or none.
const SECTOR_BYTES: usize = 512;

/// More changes of names between two syncs are not gone through.
const MAX_CHANGES: usize = 10;

/// What a process does to a file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file is there, empty if it was not.
    Create(String),
    /// It is so long.
    Truncate(String, usize),
    /// It has these bytes from there on.
    Write(String, usize, Vec<u8>),
    /// Its bytes last.
    Sync(String),
    /// The second name is that of the first's file too.
    Link(String, String),
    /// The second name is that of the first's file, and the first of none.
    Rename(String, String),
    /// The name is of no file.
    Remove(String),
    /// All names last.
    SyncFolder,
}

/// The folder.
#[derive(Clone, Default)]
pub struct Disk {
    files: Vec<Bytes>,
    names: Names,
    lasting: Names,
    /// What made `names` of `lasting`.
    unsynced: Vec<NameChange>,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone)]
struct Bytes {
    written: Vec<u8>,
    lasting: Vec<u8>,
}

/// The name that is no more, and the one that is now a file's.
#[derive(Clone)]
struct NameChange {
    gone: Option<String>,
    new: Option<(String, usize)>,
}

impl Disk {
    /// One that holds these files, durably.
    pub fn of(contents: &Contents) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in contents {
            disk.lasting.insert(name.clone(), disk.files.len());
            disk.files.push(Bytes { written: bytes.clone(), lasting: bytes.clone() });
        }
        disk.names = disk.lasting.clone();
        disk
    }

    /// What processes see, also when one was killed.
    pub fn seen(&self) -> Contents {
        self.names.iter().map(|(name, file)| (name.clone(), self.files[*file].written.clone())).collect()
    }

    /// Does what the process did.
    pub fn take(&mut self, change: &Change) {
        match change {
            Change::Create(name) if self.names.contains_key(name) => {}
            Change::Create(name) => {
                self.files.push(Bytes { written: Vec::new(), lasting: Vec::new() });
                self.rename(None, Some((name.clone(), self.files.len() - 1)));
            }
            Change::Truncate(name, len) => self.file(name).written.resize(*len, 0),
            Change::Write(name, at, bytes) => {
                let written = &mut self.file(name).written;
                written.resize(written.len().max(at + bytes.len()), 0);
                written[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Sync(name) => {
                let file = self.file(name);
                file.lasting.clone_from(&file.written);
            }
            Change::Link(from, to) => self.rename(None, Some((to.clone(), self.names[from]))),
            Change::Rename(from, to) => self.rename(Some(from.clone()), Some((to.clone(), self.names[from]))),
            Change::Remove(name) => self.rename(Some(name.clone()), None),
            Change::SyncFolder => {
                self.lasting = self.names.clone();
                self.unsynced.clear();
            }
        }
    }

    fn file(&mut self, name: &str) -> &mut Bytes {
        &mut self.files[self.names[name]]
    }

    fn rename(&mut self, gone: Option<String>, new: Option<(String, usize)>) {
        let change = NameChange { gone, new };
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    /// Everything that may be there when the power goes now.
    pub fn after_power_loss(&self) -> BTreeSet<Contents> {
        let changes = self.unsynced.len();
        assert!(changes <= MAX_CHANGES, "{changes} changes of names without a sync");
        let mut all = BTreeSet::new();
        for which in 0..1_u32 << changes {
            let mut names = self.lasting.clone();
            let reached = self.unsynced.iter().enumerate().filter(|(number, _)| which >> number & 1 == 1);
            reached.for_each(|(_, change)| change.apply(&mut names));
            all.extend(self.contents_under(&names));
        }
        all
    }

    /// What these names may hold.
    fn contents_under(&self, names: &Names) -> Vec<Contents> {
        let mut all = vec![Contents::new()];
        for (name, file) in names {
            let remains = self.files[*file].after_power_loss();
            let with = |one: &Contents, bytes: &Vec<u8>| {
                let mut one = one.clone();
                one.insert(name.clone(), bytes.clone());
                one
            };
            all = all.iter().flat_map(|one| remains.iter().map(move |bytes| with(one, bytes))).collect();
        }
        all
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        names.extend(self.new.clone());
    }
}

impl Bytes {
    /// What lasted, what was written, and what lies between: cut off, and with zeros where blocks did not reach the disk.
    fn after_power_loss(&self) -> BTreeSet<Vec<u8>> {
        let (lasting, written) = (&self.lasting, &self.written);
        let mut all = BTreeSet::from([lasting.clone(), written.clone()]);
        if lasting.len() == written.len() && written.len() <= SECTOR_BYTES {
            return all;
        }
        let same = lasting.iter().zip(written).take_while(|(one, other)| one == other).count();
        for at in cuts(same, written.len()) {
            all.insert(written[..at].to_vec());
            let (mut begin, mut end) = (written.clone(), written.clone());
            begin[same..at].fill(0);
            end[at..].fill(0);
            all.extend([begin, end]);
        }
        all
    }
}

/// Where what was written may end on the disk: at some bytes, and at every one where it may take its time.
fn cuts(begin: usize, end: usize) -> Vec<usize> {
    if std::env::var_os("TRSTCTL_TORTURE").is_some() {
        return (begin..=end).collect();
    }
    let some = [begin, begin + 1, usize::midpoint(begin, end), end.saturating_sub(1)];
    some.into_iter().filter(|at| (begin..=end).contains(at)).collect()
}
