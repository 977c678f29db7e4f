//! The event log: an append-only stream, on JetStream or in memory, under one contract.
//!
//! Implementations MUST hand out every message between first and last exactly once, in rising order, byte for byte as
//! stored, and MUST account for every sequence: what was not delivered was confirmed deleted, else reading fails and
//! names the range (trap 3).

mod ack;
mod config;
mod deleted;
mod error;
mod jetstream;
mod link;
mod mark;
mod memory;
mod new_message;
mod publisher;
mod pulls;
mod reader;
mod seed;
mod source;
pub mod stream;

use std::future::Future;

use bytes::Bytes;
use trstctl_formats::StoredMessage;

pub use config::{DUPLICATE_WINDOW, PUBLISH_DUPLICATE_WINDOW, StreamConfig};
pub use error::LogError;
pub use jetstream::{JetStreamLog, STREAM};
pub use mark::Mark;
pub use memory::{MemoryLog, MemoryReader};
pub(crate) use publisher::Publisher;
pub use reader::JetStreamReader;
pub use seed::seed;

/// What the leader says of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// First sequence; the last one + 1 when there are no messages.
    pub first_sequence: u64,
    /// Last sequence ever used, whether that message still exists or not; 0 when never written.
    pub last_sequence: u64,
    /// Messages now in the log.
    pub messages: u64,
    /// Their bytes, as the server counts them.
    pub len_bytes: u64,
}

/// A message to append.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Subject, `events.…`.
    pub subject: String,
    /// Header block or empty; see [`NewMessage::event`].
    pub headers: Bytes,
    /// The stored form of the event.
    pub payload: Bytes,
}

/// Optimistic concurrency: what must hold for an append to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// The subject's last sequence is this one (0: none yet).
    LastOfSubject(u64),
    /// The log's last sequence is this one.
    LastOfLog(u64),
}

impl Expected {
    /// The sequence that is expected, if any.
    pub fn sequence(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::LastOfSubject(sequence) | Self::LastOfLog(sequence) => Some(sequence),
        }
    }
}

/// An acknowledged append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The message's sequence.
    pub sequence: u64,
    /// The message id was seen before: nothing was appended, `sequence` is that of the earlier one.
    pub duplicate: bool,
}

/// What a complete reading found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Messages handed out.
    pub records: u64,
    /// Inclusive ranges that the log does not hold, rising and never touching.
    pub gaps: Vec<(u64, u64)>,
}

/// The log.
pub trait EventLog: Send + Sync {
    /// Reads the log.
    type Reader: LogReader;

    /// State of the whole log, from its leader.
    fn state(&self) -> impl Future<Output = Result<LogState, LogError>> + Send;

    /// Appends one message and waits for the acknowledgement.
    fn append(
        &self,
        message: NewMessage,
        expected: Expected,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send;

    /// Begins a complete reading of the sequences `from..=through`; `through` must not be beyond the last sequence.
    fn read(&self, from: u64, through: u64) -> impl Future<Output = Result<Self::Reader, LogError>> + Send;
}

/// A complete reading in progress. Memory is bounded: a batch is at most some MB, or one message.
pub trait LogReader: Send {
    /// The next messages, in order; `None` after the last one, and only when every sequence is accounted for.
    fn next_batch(&mut self) -> impl Future<Output = Result<Option<Vec<StoredMessage>>, LogError>> + Send;

    /// What was read; valid after [`LogReader::next_batch`] has answered `None`.
    fn accounting(&self) -> &Accounting;
}
