//! The backup stream, versions 1 and 2 (spec "Backup stream: the bytes").
//!
//! Writing: [`Writer`]. Reading: [`verify`] reads a whole file and is the only maker of a [`Verified`], which alone
//! hands out the messages, and re-hashes what it reads from the same open file while it does.

use std::io::{Read, Seek, Write};
use std::ops::RangeInclusive;

use crate::{Digest, Failure, StoreTime, StoredMessage};

/// Version of the backup stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormatVersion {
    /// Byte-compatible with the Go implementation in both directions; keeps events only.
    V1,
    /// Keeps every message exactly, gaps, Merkle root, authenticated trailer.
    V2,
}

/// Keys derived from the audit signing key file: they authenticate backups. Wiped on drop, never printed.
pub struct BackupKey {/* v1: [u8; 32], v2: [u8; 32] */}

impl BackupKey {
    /// Derives the keys from the whole raw bytes of the key file; `None` when they are empty.
    pub fn from_key_file(_bytes: &[u8]) -> Option<Self> {
        todo!()
    }
}

/// What a header says. In version 1 only `created_at` and `event_cut_sequence` are written.
#[derive(Clone, Debug)]
pub struct Header {
    /// Version of the stream that follows.
    pub version: FormatVersion,
    /// When the backup began.
    pub created_at: StoreTime,
    /// The deployment that the log belongs to, when known.
    pub deployment_id: Option<String>,
    /// Name of the stream.
    pub stream: String,
    /// The stream's first sequence when the backup began.
    pub first_sequence: u64,
    /// The last sequence that the backup contains, whether that message still exists or not.
    pub event_cut_sequence: u64,
}

/// Writes a backup stream: header, one line a message in log order, trailer.
pub struct Writer<W> {
    _out: W,
}

/// Why a writer stopped. The output is then no backup.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output could not be written.
    #[error("cannot write the backup")]
    Output(#[from] std::io::Error),
    /// Version 1 cannot say this message; version 2 can.
    #[error("message {sequence} cannot be written in version 1: {reason}")]
    NotInVersion1 {
        /// Sequence of the message.
        sequence: u64,
        /// What about it.
        reason: String,
    },
    /// A message out of order or outside the header's range.
    #[error("message {sequence} is out of order or outside {first}..={cut}")]
    OutOfOrder {
        /// Sequence of the message.
        sequence: u64,
        /// First sequence of the header.
        first: u64,
        /// Cut of the header.
        cut: u64,
    },
}

impl<W: Write> Writer<W> {
    /// Writes the header. With a key, the trailer will be authenticated.
    pub fn create(_out: W, _header: &Header, _key: Option<&BackupKey>) -> Result<Self, WriteError> {
        todo!()
    }

    /// Writes one message; sequences must rise and lie within the header's range.
    pub fn append(&mut self, _message: &StoredMessage) -> Result<(), WriteError> {
        todo!()
    }

    /// Writes the trailer, flushes, and gives the output back.
    pub fn finish(self) -> Result<(W, Summary), WriteError> {
        todo!()
    }
}

/// What a backup, or a part of it, holds: equal summaries of two logs mean equal logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Messages.
    pub records: u64,
    /// First sequence; the last one + 1 when there are no messages.
    pub first_sequence: u64,
    /// Last sequence (the cut), whether that message exists or not.
    pub last_sequence: u64,
    /// Inclusive ranges between first and last that the log does not hold, rising and never touching.
    pub gaps: Vec<(u64, u64)>,
    /// RFC 6962 root over the version 2 lines of the messages.
    pub merkle_root: Digest,
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

/// Folds messages to the [`Content`] that a version 2 backup of them would state: the read-back of a live log.
pub struct ContentFold {/* tree, gaps, last */}

/// Which fields of a version 2 line enter the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// The whole line: the log is the same bit for bit.
    Exact,
    /// Without `stored_at`: restored by publishing.
    WithoutStoreTime,
    /// Without `stored_at`, `seq` and stored `Nats-Expected-*` header lines: published with new sequences.
    ContentOnly,
}

impl ContentFold {
    /// Begins at the log's first sequence.
    pub fn new(_lines: Lines, _first_sequence: u64) -> Self {
        todo!()
    }

    /// Adds a message; sequences must rise.
    pub fn append(&mut self, _message: &StoredMessage) {
        todo!()
    }

    /// Ends at the log's last sequence.
    pub fn finish(self, _last_sequence: u64) -> Content {
        todo!()
    }
}

/// The sequences of `range` as a pair, for [`Content::gaps`].
pub fn gap(range: &RangeInclusive<u64>) -> (u64, u64) {
    (*range.start(), *range.end())
}
