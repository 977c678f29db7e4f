//! Which earlier backup a new one must extend, and the proof that it does (trap 10).
//!
//! A source that lost acknowledged events makes a consistent backup of what is left. So each backup is held against the
//! earlier one while it is written, and is dropped when that one's history is not its beginning.

mod check;
mod comparison;
mod folder;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use trstctl_formats::backup::{BackupKey, Verified};
use trstctl_formats::head::{self, Head, HeadTrust, MAX_HEAD_BYTES, TrustedHead};
use trstctl_formats::history::Difference;
use trstctl_formats::{Class, Failure};

pub(crate) use check::{Check, Stop};
pub(crate) use comparison::{Against, Comparison};
pub use folder::{Found, Unbelievable, newest_in};

use crate::progress::Progress;
use crate::source::{self, Trust};

/// Ending of a tree head's name, behind the name of its backup.
pub const HEAD_SUFFIX: &str = ".head";

/// An earlier backup, as far as it is at hand.
pub enum Earlier {
    /// Its tree head.
    Head(Box<TrustedHead>),
    /// All of it.
    File(Box<EarlierFile>),
}

/// A whole earlier backup.
pub struct EarlierFile {
    head: Head,
    verified: Verified<File>,
}

/// What a new backup is held against.
#[derive(Default)]
pub struct Expected {
    /// The earlier backup and its name; `None` when there is nothing to compare with.
    pub earlier: Option<(PathBuf, Earlier)>,
    /// Accepts that it does not hold.
    pub break_accepted: Option<AcceptedBreak>,
}

/// `--new-history`
#[derive(Clone, Debug, Default)]
pub struct AcceptedBreak {
    /// Why, in the operator's words.
    pub reason: String,
    /// Heads that could not be believed, and are passed over from now on.
    pub set_aside: Vec<(String, trstctl_formats::Digest)>,
}

/// What the comparison has shown.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The earlier backup or head.
    pub path: PathBuf,
    /// What it says.
    pub head: Head,
    /// `None`: the new backup extends it.
    pub difference: Option<Difference>,
}

impl Earlier {
    /// Opens a backup or a head that the operator named.
    ///
    /// # Errors
    /// `usage` for version 1, which has no sequences; else what the file's verdict gives.
    pub fn open(
        path: &Path,
        trust: &Trust,
        keys: &[BackupKey],
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        if is_head(path)? {
            let head = read_head(path)?.check(&head_trust(trust, keys));
            return head
                .map(|head| Earlier::Head(Box::new(head)))
                .map_err(|failure| source::named(failure, path));
        }
        Self::of_verified(path, source::to_look_into(path, trust, progress)?)
    }

    /// The same for a backup that is verified already.
    ///
    /// # Errors
    /// `usage` for version 1.
    pub fn of_verified(path: &Path, verified: Verified<File>) -> Result<Self, Failure> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let head = Head::of(verified.summary(), &name, None).ok_or_else(|| version_1(path))?;
        Ok(Earlier::File(Box::new(EarlierFile { head, verified })))
    }

    /// What it says of its log.
    pub fn head(&self) -> &Head {
        match self {
            Earlier::Head(trusted) => &trusted.head,
            Earlier::File(file) => &file.head,
        }
    }

    /// Its name in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Earlier::Head(_) => "head",
            Earlier::File(_) => "backup",
        }
    }
}

/// Keys and permissions for heads.
pub fn head_trust(trust: &Trust, keys: &[BackupKey]) -> HeadTrust {
    HeadTrust {
        keys: trust.key.iter().chain(keys).cloned().collect(),
        unverified_mac: trust.unverified_mac,
        unkeyed: trust.unkeyed,
    }
}

/// The name of a backup's tree head.
pub fn head_path(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(HEAD_SUFFIX);
    PathBuf::from(name)
}

/// Whether the file is a tree head, by its first bytes or, where those are damaged, by its name.
pub fn is_head(path: &Path) -> Result<bool, Failure> {
    let mut beginning = Vec::new();
    let read = source::open(path)?.take(64).read_to_end(&mut beginning);
    read.map_err(|error| unreadable(path, &error))?;
    Ok(head::is_head(&beginning) || path.to_string_lossy().ends_with(HEAD_SUFFIX))
}

/// Reads a head that is not believed yet.
pub fn read_head(path: &Path) -> Result<head::UncheckedHead, Failure> {
    Head::read(&head_bytes(path)?).map_err(|failure| source::named(failure, path))
}

fn head_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = source::open(path)?.take(MAX_HEAD_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() > MAX_HEAD_BYTES {
        let message = format!("{} is larger than any tree head", path.display());
        let hint = "Name a tree head or a backup of format version 2.";
        return Err(source::named(Failure::new(Class::NotABackup, message, hint), path));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot read {}: {error}", path.display());
    source::named(Failure::new(Class::Usage, message, "Name a file that this user may read."), path)
}

fn version_1(path: &Path) -> Failure {
    let message = "a backup of version 1 has no sequences: a log cannot be held against it";
    let hint = "Name a backup of version 2 or its tree head with --after. `trstctl-dr prove` compares two backups of version 1.";
    source::named(Failure::new(Class::Usage, message, hint), path)
}

/// The earlier backup must be of the same log.
pub(crate) fn same_log(
    path: &Path,
    earlier: &Head,
    stream: &str,
    deployment: Option<&str>,
) -> Result<(), Failure> {
    if earlier.is_of(stream, deployment) {
        return Ok(());
    }
    let name = |stream: &str, deployment: Option<&str>| {
        format!("stream {stream} of {}", deployment.unwrap_or("a deployment that is not stated"))
    };
    let message = format!(
        "{} is of another log: {}, not {}",
        path.display(),
        name(&earlier.stream, earlier.deployment_id.as_deref()),
        name(stream, deployment)
    );
    let hint = "Name a backup of this log. If the deployment has a new name, correct TRSTCTL_DEPLOYMENT_ID.";
    Err(source::named(Failure::new(Class::Usage, message, hint), path))
}

/// The log is not what the earlier backup said.
pub(crate) fn differs(path: &Path, earlier: &Head, difference: &Difference) -> Failure {
    let message = format!(
        "the log does not extend {} ({} records up to sequence {}): {difference}",
        path.display(),
        earlier.records,
        earlier.event_cut_sequence
    );
    let hint = "Nothing was written, and the earlier backup stays as it is: keep it. Find out why the log's history changed: a server \
                that lost acknowledged events, a restore of an older backup, a deleted message. If the earlier backup holds what \
                the log has lost, restore it. If the change is known and right, accept it with --new-history REASON.";
    Failure::new(Class::HistoryDiffers, message, hint).at_sequence(difference.from)
}
