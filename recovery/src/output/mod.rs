//! A file that appears whole or not at all: written under a temporary name in its folder, 0600, flushed, then renamed.
//!
//! A killed run leaves only a `.trstctl-*.partial` file that it had locked; the next run into that folder removes it
//! (trap 5).

mod early_flush;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;
use trstctl_formats::{Class, Failure};

use early_flush::EarlyFlush;

const PREFIX: &str = ".trstctl-";
const SUFFIX: &str = ".partial";

/// What to do when the output exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse; nothing is written.
    #[default]
    Refuse,
    /// Replace it, once the new one is whole (`--force`).
    Replace,
}

/// An output that is not visible yet.
pub struct Output {
    partial: NamedTempFile,
    path: PathBuf,
    existing: Existing,
    early_flush: EarlyFlush,
}

impl Output {
    /// Whether `path` may be written: it does not exist, or is a file that may be replaced.
    pub fn check(path: &Path, existing: Existing) -> Result<(), Failure> {
        match path.symlink_metadata() {
            Ok(_) if existing == Existing::Refuse => Err(exists(path)),
            Ok(metadata) if !metadata.is_file() && !metadata.is_symlink() => Err(not_a_file(path)),
            _ => Ok(()),
        }
    }

    /// Begins to write `path`. Fails at once when it exists and may not be replaced, before any work is done.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, Failure> {
        Self::check(path, existing)?;
        let folder = folder(path);
        remove_abandoned(folder);
        let partial = locked_partial(folder).map_err(|error| failed(&path.display().to_string(), &error))?;
        Ok(Self { partial, path: path.to_owned(), existing, early_flush: EarlyFlush::default() })
    }

    /// Flushes what was written so far to disk.
    pub fn sync(&self) -> Result<(), Failure> {
        let failed = |error| failed(&self.path.display().to_string(), &error);
        self.partial.as_file().sync_all().map_err(failed)
    }

    /// Flushes file and folder to disk, gives the file its name, and answers its length in bytes.
    pub fn publish(self) -> Result<u64, Failure> {
        let Self { partial, path, existing, mut early_flush } = self;
        let failed = |error: &io::Error| failed(&path.display().to_string(), error);
        early_flush.finish().map_err(|error| failed(&error))?;
        partial.as_file().sync_all().map_err(|error| failed(&error))?;
        let len_bytes = partial.as_file().metadata().map_err(|error| failed(&error))?.len();
        let renamed = match existing {
            Existing::Refuse => partial.persist_noclobber(&path),
            Existing::Replace => partial.persist(&path),
        };
        let file = renamed.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => failed(&error.error),
        })?;
        sync_name(&file, &path).map_err(|error| not_durable(&path, &error))?;
        Ok(len_bytes)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len_bytes = self.partial.as_file_mut().write(bytes)?;
        self.early_flush.wrote(self.partial.as_file(), len_bytes)?;
        Ok(len_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.as_file_mut().flush()
    }
}

/// Flushes the file's name: its folder, or, where that may not be read or does not take it, all of the file system.
fn sync_name(file: &File, path: &Path) -> io::Result<()> {
    let synced = File::open(folder(path)).and_then(|folder| folder.sync_all());
    synced.or_else(|_| Ok(rustix::fs::syncfs(file)?))
}

/// The folder that holds `path`.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new partial file under this run's lock. Between its creation and the lock, another run may have taken it for an
/// abandoned one and removed it: then another is made. Where files cannot be locked, nobody takes it for one.
fn locked_partial(folder: &Path) -> io::Result<NamedTempFile> {
    const ATTEMPTS: u32 = 16;
    for _ in 0..ATTEMPTS {
        let partial = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?;
        let is_held = !matches!(partial.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if is_held && is_at(&partial)? {
            return Ok(partial);
        }
    }
    Err(io::Error::other("other runs remove this run's files again and again"))
}

/// Whether the file still has its name.
fn is_at(partial: &NamedTempFile) -> io::Result<bool> {
    let held = partial.as_file().metadata()?;
    Ok(partial.path().metadata().is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

/// Removes what killed runs left: partial files that nobody holds a lock on.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_partial(path)) {
        // To be written, since some file systems (NFS) lock only such files; a pipe that somebody made is not waited for.
        let open = File::options().read(true).write(true).custom_flags(flags).open(&path);
        if open.is_ok_and(|file| is_file(&file) && file.try_lock().is_ok()) {
            // Another run may have removed it first, and a folder that forbids it hinders nobody.
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn is_partial(path: &Path) -> bool {
    path.file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

fn exists(path: &Path) -> Failure {
    let name = path.display().to_string();
    Failure::new(
        Class::Usage,
        format!("{name} exists already"),
        "Choose another name, or replace it with --force.",
    )
    .in_file(name)
}

/// Replacing a device or a named pipe would take it away from everybody.
fn not_a_file(path: &Path) -> Failure {
    let name = path.display().to_string();
    Failure::new(
        Class::Usage,
        format!("{name} is a folder, a device or a pipe, and no file to replace"),
        "Name a file with --output.",
    )
    .in_file(name)
}

fn not_durable(path: &Path, error: &io::Error) -> Failure {
    let name = path.display().to_string();
    Failure::new(
        Class::OutputFailed,
        format!("{name} is whole and has its name, but a power loss may take that away: {error}"),
        "Look at the disk; run `sync`, and verify the file. If sync fails too, write another one to another disk.",
    )
    .in_file(name)
}

/// The failure to write the output of this name.
pub fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        Class::OutputFailed,
        format!("cannot write {name}: {error}"),
        "Nothing was published. Check the folder, its permissions and its free space, then run the same command again.",
    )
    .in_file(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn output_appears_whole_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut output = Output::create(&path, Existing::Refuse).unwrap();
        output.write_all(b"whole").unwrap();
        assert!(!path.exists());
        output.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn folder_that_may_only_be_written_into_takes_an_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = File::create(&path).unwrap();
        // As a folder that cannot be opened.
        sync_name(&file, Path::new("/nowhere/a")).unwrap();
        sync_name(&file, &path).unwrap();
    }

    #[test]
    fn dropped_output_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Output::create(&folder.path().join("a"), Existing::Refuse).unwrap());
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn existing_file_is_kept_without_force_even_when_it_appears_late() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let output = Output::create(&path, Existing::Refuse).unwrap();
        File::create(&path).unwrap().write_all(b"good").unwrap();
        assert_eq!(output.publish().unwrap_err().class, Class::Usage);
        assert_eq!(Output::create(&path, Existing::Refuse).err().unwrap().class, Class::Usage);
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn force_replaces_only_when_the_new_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        File::create(&path).unwrap().write_all(b"old").unwrap();
        let mut output = Output::create(&path, Existing::Replace).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn partial_file_of_a_killed_run_is_removed_and_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(".trstctl-dead.partial")).unwrap();
        let running = Output::create(&folder.path().join("running"), Existing::Refuse).unwrap();
        let _second = Output::create(&folder.path().join("second"), Existing::Refuse).unwrap();
        let names = names(folder.path());
        assert_eq!(names.len(), 2, "{names:?}");
        running.publish().unwrap();
    }
}
