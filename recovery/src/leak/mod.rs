//! Whether a secret lies somewhere in files: as it is, as text in hexadecimal or base64, inside archives and compressed members.
//!
//! `sought` holds a secret in all its forms, `stream` looks for them in bytes that come by, `layers` opens what is archived or
//! compressed, and this file walks folders. Memory is bounded whatever the files hold: nothing is read whole, layers are opened to a
//! depth, and they may expand to a limit, beyond which the search of that file says so and goes on with the next.
//!
//! What is encrypted is closed to the search, and counted. Links are not followed: what they lead to is not in the set.

mod layers;
mod sought;
mod stream;
mod tape;
mod zip;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use trstctl_formats::{Class, Failure};

pub use self::layers::Limits;
use self::layers::Opener;
pub use self::sought::Sought;
use crate::progress::Progress;

/// So many traces of each secret, and things that could not be searched, are told; there may be more.
const MAX_TOLD: usize = 100;

/// Where something lies: a file, and the members of archives that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Member by member, from the outermost archive in.
    pub members: Vec<String>,
}

/// A secret was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trace {
    /// Which: its place among those that were sought.
    pub sought: usize,
    /// Where.
    pub place: Place,
    /// As what: `raw`, `hexadecimal`, `base64`.
    pub form: &'static str,
}

/// Something could not be searched, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unsearched {
    /// What.
    pub place: Place,
    /// Why, and what to do.
    pub why: Why,
}

/// Why something was not searched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// An archive or compression that is not known here.
    UnknownKind(&'static str),
    /// It expands beyond the limit.
    Expands,
    /// Layers within layers, beyond the limit.
    TooDeep,
    /// It ends or breaks inside, or the operating system refuses: its words.
    Broken(String),
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// Files.
    pub files: u64,
    /// Their bytes, as they lie on the disk.
    pub bytes: u64,
    /// Encrypted files and members, which are closed.
    pub encrypted: u64,
    /// What was found.
    pub traces: Vec<Trace>,
    /// What was not searched.
    pub unsearched: Vec<Unsearched>,
}

/// Searches files and folders for secrets.
///
/// # Errors
/// [`Class::Interrupted`] alone.
pub fn search(
    roots: &[PathBuf],
    sought: &[Sought],
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Searched, Failure> {
    let mut searched = Searched::default();
    let mut waiting: Vec<PathBuf> = roots.iter().rev().cloned().collect();
    let roots: BTreeSet<&PathBuf> = roots.iter().collect();
    while let Some(path) = waiting.pop() {
        match look(&path, roots.contains(&path)) {
            Ok(Entry::Folder(mut entries)) => {
                entries.sort_by(|a, b| b.cmp(a));
                waiting.extend(entries);
            }
            Ok(Entry::File(file)) => searched.file(path, file, sought, limits, progress),
            Ok(Entry::Other) => {}
            Err(error) => searched.could_not(Place { file: path, members: Vec::new() }, &error),
        }
        if progress.interrupted() {
            let hint = "Nothing was changed. Run the same command again.";
            return Err(Failure::new(Class::Interrupted, "stopped while files were searched", hint));
        }
    }
    Ok(searched)
}

enum Entry {
    Folder(Vec<PathBuf>),
    File(File),
    /// A link, a socket, a device: it holds nothing itself.
    Other,
}

/// What a path is; a link that was named is followed, one that was found is not.
fn look(path: &Path, is_root: bool) -> io::Result<Entry> {
    let kind = if is_root { path.metadata()? } else { path.symlink_metadata()? }.file_type();
    if kind.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        return Ok(Entry::Folder(entries.collect::<io::Result<_>>()?));
    }
    if kind.is_file() { Ok(Entry::File(File::open(path)?)) } else { Ok(Entry::Other) }
}

impl Searched {
    fn file(
        &mut self,
        path: PathBuf,
        file: File,
        sought: &[Sought],
        limits: &Limits,
        progress: &dyn Progress,
    ) {
        let before = self.bytes;
        let mut source = Counted { file, count: 0, before, progress };
        let len_bytes = source.file.metadata().map_or(0, |metadata| metadata.len());
        let mut opener = Opener::new(sought, limits, len_bytes);
        opener.search(&mut source, &Place { file: path, members: Vec::new() }, 0);
        self.files += 1;
        self.bytes += source.count;
        self.encrypted += opener.encrypted;
        for trace in opener.traces {
            tell_trace(&mut self.traces, trace);
        }
        for unsearched in opener.unsearched {
            tell(&mut self.unsearched, unsearched);
        }
    }

    fn could_not(&mut self, place: Place, error: &io::Error) {
        tell(&mut self.unsearched, Unsearched { place, why: Why::Broken(error.to_string()) });
    }
}

/// Many traces of one secret leave room for those of another.
fn tell_trace(told: &mut Vec<Trace>, trace: Trace) {
    if told.iter().filter(|known| known.sought == trace.sought).count() < MAX_TOLD {
        told.push(trace);
    }
}

fn tell(told: &mut Vec<Unsearched>, unsearched: Unsearched) {
    if told.len() < MAX_TOLD {
        told.push(unsearched);
    }
}

/// A file that tells how far it was read, and ends when the operator wants to stop.
struct Counted<'a> {
    file: File,
    count: u64,
    before: u64,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.progress.interrupted() {
            return Err(io::Error::other("stopped"));
        }
        let read = self.file.read(bytes)?;
        self.count += read as u64;
        self.progress.done(self.before + self.count);
        Ok(read)
    }
}

impl Place {
    /// A member of what lies here.
    fn member(&self, name: String) -> Self {
        Self { file: self.file.clone(), members: [&self.members[..], &[name]].concat() }
    }

    /// Whether it is the other one, or a member of it.
    fn is_in(&self, other: &Self) -> bool {
        self.file == other.file && self.members.starts_with(&other.members)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.members.iter().try_for_each(|member| write!(f, " > {member}"))
    }
}

#[cfg(test)]
mod tests;
