//! A backup file to read, and what this host may believe of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use trstctl_formats::backup::{self, Allow, BackupKey, Cut, Purpose, Summary, Verified, VerifyOptions};
use trstctl_formats::{Class, Failure};

use crate::progress::Progress;

/// Keys of this host and what the operator allowed (spec "Who may accept what").
#[derive(Default)]
pub struct Trust {
    /// The audit signing key, if one is configured.
    pub key: Option<BackupKey>,
    /// `--allow-unverified-mac`
    pub unverified_mac: Allow,
    /// `--allow-unkeyed`
    pub unkeyed: Allow,
    /// age identities.
    pub identities: Vec<Box<dyn age::Identity + Send + Sync>>,
}

impl Trust {
    fn options<'a>(
        &'a self,
        progress: &'a (dyn Fn(u64) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> VerifyOptions<'a> {
        VerifyOptions {
            key: self.key.as_ref(),
            unverified_mac: self.unverified_mac,
            unkeyed: self.unkeyed,
            identities: &self.identities,
            progress: Some(progress),
            interrupted: Some(stop),
            ..VerifyOptions::default()
        }
    }
}

/// Opens a backup: a regular file, kept open for both passes so that what is restored is what was verified.
pub fn open(path: &Path) -> Result<File, Failure> {
    let name = path.display().to_string();
    let refuse = |reason: String| {
        Failure::new(
            Class::Usage,
            format!("cannot read {name}: {reason}"),
            "Name a backup file that this user may read.",
        )
        .in_file(&name)
    };
    // Not blocking: opening a named pipe would wait for its writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|error| refuse(error.to_string()))?;
    let is_file = file.metadata().map_err(|error| refuse(error.to_string()))?.is_file();
    if is_file {
        Ok(file)
    } else {
        Err(refuse("it is not a regular file; pipe it to `trstctl-dr verify -`".into()))
    }
}

/// Verifies a file to look at.
pub fn inspect(path: &Path, trust: &Trust, progress: &dyn Progress) -> Result<Summary, Failure> {
    let file = open(path)?;
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    let verified =
        backup::verify(file, &trust.options(&done, &stop)).map_err(|failure| named(failure, path))?;
    Ok(verified.summary().clone())
}

/// Verifies standard input, or another source that can be read once only.
pub fn inspect_stream(
    source: impl std::io::Read + Send,
    trust: &Trust,
    progress: &dyn Progress,
) -> Result<Summary, Failure> {
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    backup::verify_stream(source, &trust.options(&done, &stop)).map_err(|failure| failure.in_file("-"))
}

/// Verifies a file to restore the part of it up to `cut`.
pub fn for_restore(
    path: &Path,
    trust: &Trust,
    cut: Cut,
    progress: &dyn Progress,
) -> Result<Verified<File>, Failure> {
    let file = open(path)?;
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    let options = VerifyOptions {
        purpose: Purpose::Restore,
        cut,
        part_of_version_1: Allow::Yes,
        ..trust.options(&done, &stop)
    };
    backup::verify(file, &options).map_err(|failure| named(failure, path))
}

fn named(failure: Failure, path: &Path) -> Failure {
    failure.in_file(path.display().to_string())
}
