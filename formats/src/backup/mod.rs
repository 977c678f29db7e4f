//! The backup stream, versions 1 and 2 (spec "Backup stream: the bytes").
//!
//! Writing: [`Writer`]. Reading: [`verify`] reads a whole file and is the only maker of a [`Verified`], which alone
//! hands out the messages, and re-hashes what it reads from the same open file while it does.

mod content;
mod header;
mod headers;
mod key;
mod limits;
mod record_v1;
mod record_v2;
mod tenants;
mod trailer;
mod writer;

use std::io::{Read, Seek};

use crate::{Digest, Failure, StoreTime, StoredMessage};

pub use content::{Content, ContentFold, Lines, gap};
pub use header::Header;
pub use key::BackupKey;
pub use limits::{MAX_GAP_RANGES, MAX_INTEGER, MAX_TENANTS};
pub use writer::{WriteError, Writer};

/// Version of the backup stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormatVersion {
    /// Byte-compatible with the Go implementation in both directions; keeps events only.
    V1,
    /// Keeps every message exactly, gaps, Merkle root, authenticated trailer.
    V2,
}

/// What a whole file says, after verification or writing.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The header.
    pub header: Header,
    /// Checksum of the trailer.
    pub sha256: Digest,
    /// Records in the file.
    pub records: u64,
    /// Sequences, gaps and root as the file states them (`None` in version 1).
    pub content: Option<Content>,
    /// Number of tenants; `None` in version 1.
    pub tenants: Option<u64>,
    /// The trailer carries a MAC.
    pub keyed: bool,
    /// The MAC was checked with this host's key and holds.
    pub authenticated: bool,
    /// Earliest and latest store time (version 1: event time), `None` without records.
    pub time_range: Option<(StoreTime, StoreTime)>,
    /// Bytes of the plain stream.
    pub len_bytes: u64,
}

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
    pub identities: &'a [Box<dyn age::Identity + Send + Sync>],
    /// The part that a restore would take.
    pub cut: Cut,
    /// Compute [`Verified::part`] for version 1 too (costs a version 2 line and its hash for each record).
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

/// A backup whose every byte was checked. Only [`verify`] makes one.
pub struct Verified<S> {
    _source: S,
}

/// Checks everything, from first to last byte, in bounded memory; the verdict is the first that applies in the
/// order of spec "Errors and exit codes". `source` is left open for the second pass.
pub fn verify<S: Read + Seek + Send>(
    _source: S,
    _options: &VerifyOptions<'_>,
) -> Result<Verified<S>, Failure> {
    todo!()
}

/// The same for a source that can be read once only; such a file cannot be restored.
pub fn verify_stream<R: Read + Send>(_source: R, _options: &VerifyOptions<'_>) -> Result<Summary, Failure> {
    todo!()
}

impl<S: Read + Seek + Send> Verified<S> {
    /// What the file says.
    pub fn summary(&self) -> &Summary {
        todo!()
    }

    /// What a restore of the chosen part makes: for version 1, with the sequences, subjects, headers and store times
    /// that such a restore gives.
    ///
    /// # Panics
    /// For version 1 when [`VerifyOptions::part_of_version_1`] was not given.
    pub fn part(&self) -> &Content {
        todo!()
    }

    /// The messages of the chosen part, in log order, read again from the same open file.
    pub fn messages(&mut self) -> Result<Messages<'_, S>, Failure> {
        todo!()
    }
}

/// The second pass: hands out messages, re-hashes every byte, and fails at the end when the digest is another one
/// than the first pass saw. Until [`Messages::next`] has answered `None`, nothing may be made final.
pub struct Messages<'a, S> {
    _verified: &'a mut Verified<S>,
}

impl<S: Read + Seek + Send> Messages<'_, S> {
    /// The next message; `None` after the whole file was read again and gave the same digest.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<StoredMessage>, Failure> {
        todo!()
    }
}
