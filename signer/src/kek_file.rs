//! The file that holds the KEK: 32 bytes, nothing else.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use trstctl_formats::sealed_key::Kek;
use trstctl_signer_arena::{NoRoom, SecretBytes};
use zeroize::Zeroizing;

/// Why there is no KEK.
#[derive(Debug, thiserror::Error)]
pub enum KekFault {
    /// Another length.
    #[error("the KEK file {} has not exactly 32 bytes: is it the right file, and is it raw, without a newline?", .0.display())]
    Length(PathBuf),
    /// Others may read it, or change what it is.
    #[error("the KEK file {} is {what}: give it mode 0400 and this user, in a folder of its own", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What about it.
        what: String,
    },
    /// There is no memory to keep it in.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The operating system refuses.
    #[error("the KEK file {} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Reads the KEK: a regular file, not a link out of its folder, not readable by group or others, but for a mounted secret that root
/// owns, with mode 0440 (spec/control-plane.md). A link within its folder is followed: Kubernetes mounts secrets so.
///
/// # Errors
/// Every [`KekFault`]; a missing file is one, and never a reason to make a new KEK.
pub fn read(path: &Path) -> Result<Kek, KekFault> {
    let failed = |source| KekFault::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    check(path, &file.metadata().map_err(failed)?)
        .map_err(|what| KekFault::Open { path: path.to_owned(), what })?;
    let real = path.canonicalize().map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !real.starts_with(folder.canonicalize().map_err(failed)?) {
        let what = format!("a link out of its folder, to {}", real.display());
        return Err(KekFault::Open { path: path.to_owned(), what });
    }
    let mut bytes = Zeroizing::new([0; 32]);
    match file.read_exact(&mut *bytes) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(failed(error)),
        Ok(()) if file.read(&mut [0]).map_err(failed)? == 0 => {
            Ok(Kek::kept_in(SecretBytes::zeroed(32)?, *bytes))
        }
        _ => Err(KekFault::Length(path.to_owned())),
    }
}

/// Flushes the file and its name: keys are to rest on it, and it may have been written a moment ago. What cannot be flushed, as
/// on a read-only mount, has nothing to flush; a folder that may not be read is left to whoever wrote into it.
///
/// # Errors
/// [`KekFault::Io`] when the disk refuses.
pub fn make_durable(path: &Path) -> Result<(), KekFault> {
    let flush = |path: &Path| match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if !cannot_be_flushed(&error) => Err(error),
        _ => Ok(()),
    };
    let flushed = path.canonicalize().and_then(|real| {
        flush(&real)?;
        real.parent().map_or(Ok(()), flush)
    });
    flushed.map_err(|source| KekFault::Io { path: path.to_owned(), source })
}

fn cannot_be_flushed(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem)
}

fn check(path: &Path, found: &Metadata) -> Result<(), String> {
    if !found.is_file() {
        return Err(String::from("no regular file"));
    }
    let mode = found.mode() & 0o7777;
    let is_mounted = found.uid() == 0 && mode & 0o077 == 0o040 && path.is_symlink();
    if mode & 0o077 != 0 && !is_mounted {
        return Err(format!("open to others (mode {mode:04o})"));
    }
    Ok(())
}
