//! How to verify: keys, permissions, and the part of the file that a restore would take.

use crate::StoreTime;
use crate::backup::BackupKey;
use crate::container::Identity;

/// Which part of a backup a restore takes. The whole file is verified in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    #[default]
    All,
    /// Up to this sequence, included (version 1: this many records).
    Through(u64),
    /// Up to the sequence before the first record stored (version 1: timed) after this instant.
    Until(StoreTime),
}

/// How to verify.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// The key of this host, if any.
    pub key: Option<&'a BackupKey>,
    /// Accept a keyed file without a key, on its checksum alone (`--allow-unverified-mac`).
    pub unverified_mac: Allow,
    /// Accept an unkeyed file although this host expects a keyed one (`--allow-unkeyed`).
    pub unkeyed: Allow,
    /// An unkeyed file without a key on this host: `verify` accepts, `restore` does not.
    pub purpose: Purpose,
    /// age identities that may open the file.
    pub identities: &'a [Identity],
    /// The part that a restore would take.
    pub cut: Cut,
    /// Compute [`crate::backup::Verified::part`] for version 1 too (costs a version 2 line and its hash for each record).
    pub part_of_version_1: Allow,
    /// Called now and then with the bytes of the file read so far.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Asked now and then; `true` stops with [`crate::Class::Interrupted`].
    pub interrupted: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// A permission that is off unless somebody gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// Not given.
    #[default]
    No,
    /// Given.
    Yes,
}

/// What the verified file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To look at.
    #[default]
    Inspect,
    /// To write it into a log: an unkeyed file then needs [`VerifyOptions::unkeyed`].
    Restore,
}
