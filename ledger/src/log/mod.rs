//! The event log: an append-only stream, on JetStream or in memory, under one contract.
//!
//! Implementations MUST hand out every message between first and last exactly once, in rising order, byte for byte as
//! stored, and MUST account for every sequence: what was not delivered was confirmed deleted, else reading fails and
//! names the range (trap 3).

use std::future::Future;

use bytes::Bytes;
use trstctl_formats::{Class, Failure, StoredMessage};

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

/// Why the log could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A URL, a file or a name that was configured cannot be used.
    #[error("{what}: {reason}")]
    Configuration {
        /// Which one, without secrets.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens to a subject.
    #[error("nobody answers {subject} (503)")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// A subscriber stayed too far behind.
    #[error("more than {limit_bytes} bytes of received messages waited to be read")]
    Overrun {
        /// The limit.
        limit_bytes: usize,
    },
    /// No connection, or it was lost.
    #[error("NATS at {url} cannot be reached: {reason}")]
    Unreachable {
        /// The server, without user information.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server answered with a refusal.
    #[error("NATS refused {what}: {reason}")]
    Refused {
        /// The request.
        what: String,
        /// The server's words, with its code.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The stream does not exist.
    #[error("there is no stream {stream}")]
    NoStream {
        /// Its name.
        stream: String,
    },
    /// Sequences that were neither delivered nor confirmed deleted.
    #[error("sequences {first} to {last} were neither delivered nor confirmed deleted")]
    Unaccounted {
        /// First missing sequence.
        first: u64,
        /// Last missing sequence.
        last: u64,
    },
    /// An expected sequence did not hold.
    #[error("expected last sequence {expected}, the log has {actual}")]
    WrongLastSequence {
        /// Expected.
        expected: u64,
        /// Found, 0 when the server does not say.
        actual: u64,
    },
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        let message = error.to_string();
        match error {
            LogError::Configuration { .. } => {
                Failure::new(Class::Usage, message, "Correct it, then run the same command again.")
            }
            LogError::NoResponders { .. } => Failure::new(
                Class::Refused,
                message,
                "Check that JetStream is enabled for this account, and the JetStream domain.",
            ),
            LogError::Overrun { .. } => Failure::new(
                Class::Internal,
                message,
                "Run the same command again; if it happens again, report it with the command line.",
            ),
            LogError::Unreachable { .. } => Failure::new(
                Class::Unreachable,
                message,
                "Check TRSTCTL_NATS_URL, that the server runs, and the network between.",
            ),
            LogError::Refused { hint, .. } => Failure::new(Class::Refused, message, hint),
            LogError::NoStream { .. } => Failure::new(
                Class::NoStream,
                message,
                "Check TRSTCTL_NATS_URL and the account: only the server, restore and demo create the stream.",
            ),
            LogError::Unaccounted { first, .. } => Failure::new(
                Class::Refused,
                message,
                "A replica lags or the stream is damaged: wait until the replicas are current, then run the same command again.",
            )
            .at_sequence(first),
            LogError::WrongLastSequence { .. } => {
                Failure::new(Class::Refused, message, "Somebody else appends to this log: stop that writer first.")
            }
        }
    }
}
