//! The file that holds the KEK: 32 bytes, nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use trstctl_formats::sealed_key::Kek;
use zeroize::Zeroize;

/// Why there is no KEK.
#[derive(Debug, thiserror::Error)]
pub enum KekFault {
    /// Another length.
    #[error("the KEK file {} has not exactly 32 bytes: is it the right file, and is it raw, without a newline?", .0.display())]
    Length(PathBuf),
    /// The operating system refuses.
    #[error("the KEK file {} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A KEK, and what about its file should be better.
pub struct KekFile {
    /// The key.
    pub kek: Kek,
    /// A sentence, when others may read the file.
    pub warning: Option<String>,
}

/// Reads the KEK. Symbolic links are followed: Kubernetes mounts secrets so.
///
/// # Errors
/// Every [`KekFault`]; a missing file is one, and never a reason to make a new KEK.
pub fn read(path: &Path) -> Result<KekFile, KekFault> {
    let failed = |source| KekFault::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    let mut bytes = [0; 32];
    let whole = file.read_exact(&mut bytes);
    let more = whole.is_ok() && file.read(&mut [0]).map_err(failed)? > 0;
    match whole {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(failed(error)),
        Err(_) => return Err(KekFault::Length(path.to_owned())),
        Ok(()) if more => return Err(KekFault::Length(path.to_owned())),
        Ok(()) => {}
    }
    let kek = Kek::new(bytes);
    bytes.zeroize();
    let warning = (mode & 0o077 != 0).then(|| {
        format!("others may read the KEK file {} (mode {mode:04o}): give it mode 0400", path.display())
    });
    Ok(KekFile { kek, warning })
}
