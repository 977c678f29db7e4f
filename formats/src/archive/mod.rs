//! The stream archive: how a whole log enters a NATS server at once (spec "The stream archive").
//!
//! A tar of `meta.inf`, `meta.sum` and message blocks, in the framed snappy format. The server's answer to it is worth
//! nothing (it drops what it cannot read and says success): whoever sends one reads the live stream back.

use std::io::{self, Write};

use crate::StoredMessage;

/// Largest record, in bytes, that every supported server takes; a larger message can only be published.
pub const MAX_RECORD_BYTES: u64 = 20_000_000;

/// Writes a stream archive. Bounded memory: one block of messages (8 MiB, or one record when that is larger).
pub struct ArchiveWriter<W: Write> {
    _out: W,
}

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The output failed.
    #[error("cannot write the stream archive")]
    Output(#[from] io::Error),
    /// A message that no server takes in an archive.
    #[error("message {sequence} makes a record of {record_bytes} bytes, more than {MAX_RECORD_BYTES}")]
    TooLarge {
        /// Its sequence.
        sequence: u64,
        /// Length of its record.
        record_bytes: u64,
    },
    /// Sequences that do not rise.
    #[error("message {sequence} comes after {previous}")]
    OutOfOrder {
        /// Its sequence.
        sequence: u64,
        /// The sequence before.
        previous: u64,
    },
}

/// What an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// Messages.
    pub messages: u64,
    /// Gap records.
    pub gaps: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes before compression.
    pub len_bytes: u64,
}

impl<W: Write> ArchiveWriter<W> {
    /// Writes `meta.inf` (the stream's configuration as JSON, with `Created`) and its checksum.
    pub fn create(_out: W, _stream: &str, _meta_inf: &[u8]) -> Result<Self, ArchiveError> {
        todo!()
    }

    /// Adds a message; the sequences missing since the one before become gap records. Gaps before the first message
    /// need none.
    pub fn append(&mut self, _message: &StoredMessage) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Ends the archive at the log's last sequence (gap records up to it).
    pub fn finish(self, _last_sequence: u64) -> Result<(W, ArchiveStats), ArchiveError> {
        todo!()
    }
}
