//! The stream archive: how a whole log enters a NATS server at once (`docs/format/stream-archive.md`).
//!
//! A tar of `meta.inf`, `meta.sum` and message blocks, in the framed snappy format. The server's answer to it is worth
//! nothing (it drops what it cannot read and says success): whoever sends one reads the live stream back.

use std::io::{self, Write};

use crate::{Class, Failure, StoredMessage};

mod block;
mod checksum;
mod container;

use block::{Block, record_len};
use checksum::NamedHash;
use container::TarWriter;

/// Largest record, in bytes, that every supported server takes; a larger message can only be published.
pub const MAX_RECORD_BYTES: u64 = 20_000_000;

/// Largest block, in bytes. Only a run of gaps can come near it (70 million sequences): it stays in one block, and
/// servers keep offsets within a block in 31 bits.
pub const MAX_BLOCK_BYTES: u64 = 1 << 31;

/// Longest subject, in bytes: a record has 16 bits for its length.
pub const MAX_SUBJECT_BYTES: u64 = 65_535;

/// Length, in bytes, of the record that `message` makes; above [`MAX_RECORD_BYTES`] it cannot enter an archive.
pub fn record_bytes(message: &StoredMessage) -> u64 {
    record_len(message) as u64
}

/// Whether an archive takes this message.
///
/// # Errors
/// [`ArchiveError::TooLarge`] and [`ArchiveError::SubjectTooLong`].
pub fn check(message: &StoredMessage) -> Result<(), ArchiveError> {
    checked_record_len(message).map(|_| ())
}

/// Writes a stream archive. Bounded memory: one block of messages (8 MiB, or one record when that is larger).
///
/// The last messages and the end of the tar are written by [`ArchiveWriter::finish`] alone, so that a server that
/// makes a stream live at the tar's last byte cannot do so earlier.
pub struct ArchiveWriter<W: Write> {
    tar: TarWriter<W>,
    stream: String,
    block: Block,
    last: Option<Last>,
    stats: ArchiveStats,
}

/// The message before.
#[derive(Clone, Copy)]
struct Last {
    sequence: u64,
    time: i64,
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
    /// A subject that a record cannot hold.
    #[error("message {sequence} has a subject of {subject_bytes} bytes, more than {MAX_SUBJECT_BYTES}")]
    SubjectTooLong {
        /// Its sequence.
        sequence: u64,
        /// Length of its subject.
        subject_bytes: u64,
    },
    /// A run of missing sequences that no server takes in one block.
    #[error("the gap {first} to {last} is too long for a stream archive")]
    GapTooLong {
        /// First missing sequence.
        first: u64,
        /// Last missing sequence.
        last: u64,
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

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        let message = error.to_string();
        match error {
            ArchiveError::Output(source) => {
                let hint = "Run the same command again: a broken archive leaves nothing behind.";
                Failure::new(Class::OutputFailed, format!("{message}: {source}"), hint)
            }
            ArchiveError::TooLarge { sequence, .. } | ArchiveError::SubjectTooLong { sequence, .. } => {
                let hint = "This log can only be restored with --method publish.";
                Failure::new(Class::Refused, message, hint).at_sequence(sequence)
            }
            ArchiveError::GapTooLong { first, .. } => {
                let hint = "This log can only be restored with --method publish --accept-new-sequences.";
                Failure::new(Class::Refused, message, hint).at_sequence(first)
            }
            ArchiveError::OutOfOrder { sequence, .. } => {
                Failure::new(Class::Internal, message, "Report this with the backup's header and trailer.")
                    .at_sequence(sequence)
            }
        }
    }
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
    pub fn create(out: W, stream: &str, meta_inf: &[u8]) -> Result<Self, ArchiveError> {
        let mut tar = TarWriter::new(out);
        tar.entry("meta.inf", meta_inf)?;
        let sum = hex::encode(NamedHash::new(stream).over(&[meta_inf]));
        tar.entry("meta.sum", sum.as_bytes())?;
        let block = Block::new(&block_name(stream, 1), Vec::new());
        Ok(Self { tar, stream: stream.to_owned(), block, last: None, stats: ArchiveStats::default() })
    }

    /// Flips the lowest bit of one byte of the tar, `offset_bytes` from its start, before compression: the container
    /// stays intact. Tests and drills show with it that the read-back catches what a server does with such an archive.
    #[doc(hidden)]
    #[must_use]
    pub fn with_flipped_bit(mut self, offset_bytes: u64) -> Self {
        self.tar.flip_bit_at(offset_bytes);
        self
    }

    /// Adds a message; the sequences missing since the one before become gap records. Gaps before the first message
    /// need none.
    pub fn append(&mut self, message: &StoredMessage) -> Result<(), ArchiveError> {
        let record_len = checked_record_len(message)?;
        self.close_gap_before(message.sequence)?;
        if self.block.is_full_for(record_len) {
            self.write_block()?;
        }
        self.block.push(message);
        self.stats.messages += 1;
        self.last = Some(Last { sequence: message.sequence, time: message.stored_at.0 });
        Ok(())
    }

    /// Ends the archive at the log's last sequence (gap records up to it).
    pub fn finish(mut self, last_sequence: u64) -> Result<(W, ArchiveStats), ArchiveError> {
        match self.last {
            Some(last) if last.sequence > last_sequence => {
                return Err(ArchiveError::OutOfOrder { sequence: last_sequence, previous: last.sequence });
            }
            Some(last) => self.push_gaps(last.sequence + 1, last_sequence, last.time)?,
            // A log whose messages are all deleted: one record keeps its last sequence.
            None if last_sequence > 0 => self.push_gaps(last_sequence, last_sequence, 0)?,
            None => {}
        }
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.tar.end()?;
        self.stats.len_bytes = self.tar.len_bytes();
        Ok((self.tar.into_output()?, self.stats))
    }

    fn close_gap_before(&mut self, sequence: u64) -> Result<(), ArchiveError> {
        let Some(last) = self.last else { return Ok(()) };
        if sequence <= last.sequence {
            return Err(ArchiveError::OutOfOrder { sequence, previous: last.sequence });
        }
        self.push_gaps(last.sequence + 1, sequence - 1, last.time)
    }

    fn push_gaps(&mut self, first: u64, last: u64, time: i64) -> Result<(), ArchiveError> {
        if first > last {
            return Ok(());
        }
        // 30 bytes a record; checked before adding, so that the sum cannot overflow.
        if last - first >= MAX_BLOCK_BYTES / 30 {
            return Err(ArchiveError::GapTooLong { first, last });
        }
        self.block.push_gaps(first, last, time);
        self.stats.gaps += last - first + 1;
        if self.block.len_bytes() > MAX_BLOCK_BYTES {
            return Err(ArchiveError::GapTooLong { first, last });
        }
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), ArchiveError> {
        self.stats.blocks += 1;
        let next_name = block_name(&self.stream, self.stats.blocks + 1);
        let block = std::mem::replace(&mut self.block, Block::new(&next_name, Vec::new()));
        let len_bytes = block.len_bytes();
        let path = format!("msgs/{}.blk", self.stats.blocks);
        let buffer = self.tar.entry_with(&path, len_bytes, |out| block.write(out))?;
        self.block = Block::new(&next_name, buffer);
        Ok(())
    }
}

fn checked_record_len(message: &StoredMessage) -> Result<usize, ArchiveError> {
    let sequence = message.sequence;
    let record_len = record_len(message);
    if record_len as u64 > MAX_RECORD_BYTES {
        return Err(ArchiveError::TooLarge { sequence, record_bytes: record_len as u64 });
    }
    let subject_bytes = message.subject.len() as u64;
    if subject_bytes > MAX_SUBJECT_BYTES {
        return Err(ArchiveError::SubjectTooLong { sequence, subject_bytes });
    }
    Ok(record_len)
}

fn block_name(stream: &str, number: u64) -> String {
    format!("{stream}-{number}")
}

#[cfg(test)]
mod tests;
