//! Why the read model could not be read or written.

use trstctl_formats::{Class, Failure};

use crate::log::LogError;
use crate::projection::ForeignRow;

/// What can go wrong with the read model.
#[derive(Debug, thiserror::Error)]
pub enum ReadModelError {
    /// PostgreSQL cannot be reached, or refuses.
    #[error(transparent)]
    Database(#[from] trstctl_migrations::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The model claims to have applied what the log does not hold (trap 11): new events would be skipped silently.
    #[error("the read model has applied sequence {checkpoint}, and the log ends at {last_sequence}")]
    CheckpointAhead {
        /// The model's checkpoint.
        checkpoint: u64,
        /// The log's last sequence.
        last_sequence: u64,
    },
    /// A batch that begins after what the model has applied: the messages between would be lost.
    #[error("the read model has applied sequence {checkpoint}, and the batch begins after {after}")]
    Hole {
        /// The model's checkpoint.
        checkpoint: u64,
        /// What the batch follows.
        after: u64,
    },
    /// Another rebuild, or a diff, is running.
    #[error("another rebuild or diff of this read model is running")]
    RebuildRunning,
    /// The tables are not those that this program fills.
    #[error("the read model's tables are not those of this program: {difference}")]
    OtherTables {
        /// The first difference.
        difference: String,
    },
    /// A stored row that is none of this program's.
    #[error(transparent)]
    ForeignRow(#[from] ForeignRow),
    /// Every attempt was in vain.
    #[error(
        "could not {what}: {locked} attempts met a lock that another session holds, {slow} found the log slow or grown"
    )]
    Blocked {
        /// What was tried.
        what: &'static str,
        /// Attempts that met a lock.
        locked: u32,
        /// Attempts that found more than a thousand new messages in the log, or waited for it longer than a second.
        slow: u32,
    },
    /// The session that took the rebuild lock is not the one that works.
    #[error(
        "the rebuild lock was lost: another session of the server does the work than the one that took it"
    )]
    LockLost,
    /// The server did not answer the swap's commit.
    #[error(
        "the connection was lost while the new read model was swapped in, and nobody said whether it was: {source}"
    )]
    SwapUnknown {
        /// How it was lost.
        source: trstctl_migrations::Error,
    },
    /// The new model is in its place; what follows failed.
    #[error("the new read model is in place, at sequence {checkpoint}, but then: {source}")]
    AfterSwap {
        /// The new model's checkpoint.
        checkpoint: u64,
        /// What failed.
        source: Box<ReadModelError>,
    },
    /// The server answers no more, also over a new connection.
    #[error("PostgreSQL at {place} answers no more: nothing was heard of it for {seconds} s")]
    Silent {
        /// Host and port, or the socket.
        place: String,
        /// For how long, about.
        seconds: u64,
    },
    /// The server is reached, and waits for us as we do for it: what one of the two sent does not arrive.
    #[error(
        "a connection to PostgreSQL at {place} passes nothing any more: for {seconds} s the server, which is reached, and this command have waited for each other"
    )]
    Stalled {
        /// Host and port, or the socket.
        place: String,
        /// For how long, about.
        seconds: u64,
    },
    /// The model holds rows of later events than it claims to have applied.
    #[error(
        "the read model has applied sequence {checkpoint}, as it says, and holds rows of sequence {found}"
    )]
    CheckpointBehind {
        /// The model's checkpoint.
        checkpoint: u64,
        /// The latest sequence that a row names.
        found: u64,
    },
    /// The server counts other rows than it was sent.
    #[error("{sent} rows were sent to {table}, and the server took {taken}")]
    RowsLost {
        /// Their table.
        table: &'static str,
        /// Sent.
        sent: u64,
        /// Taken, as the server says.
        taken: u64,
    },
    /// Somebody held a lock through every attempt to mend a batch of rows; what was mended before stays.
    #[error("rows of {table} could not be mended: {attempts} attempts met a lock that another session holds")]
    RepairBlocked {
        /// Their table.
        table: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// The log grows faster than it can be applied; the old model is untouched.
    #[error("the log grows faster than the new read model catches up: {behind} messages are left")]
    NotCaughtUp {
        /// Messages that were left.
        behind: u64,
    },
    /// A thread that reads events panicked: our fault.
    #[error("reading events stopped: {reason}")]
    Panicked {
        /// What the thread said.
        reason: String,
    },
}

/// Says what was being done when a statement failed.
pub(super) trait During<T> {
    fn during(self, what: &str) -> Result<T, ReadModelError>;
}

impl<T> During<T> for Result<T, tokio_postgres::Error> {
    fn during(self, what: &str) -> Result<T, ReadModelError> {
        self.map_err(|error| {
            let what = format!("{what} failed");
            ReadModelError::Database(trstctl_migrations::Error::from_statement(&what, &error))
        })
    }
}

impl From<ReadModelError> for Failure {
    fn from(error: ReadModelError) -> Failure {
        let message = error.to_string();
        match error {
            ReadModelError::Database(error) => error.into(),
            ReadModelError::Log(error) => error.into(),
            ReadModelError::CheckpointAhead { last_sequence, .. } => Failure::new(
                Class::Refused,
                message,
                "One of the two was restored without the other, or belongs to another deployment. If the log is the right one, run `trstctl-dr rebuild`.",
            )
            .at_sequence(last_sequence),
            ReadModelError::Hole { after, .. } => {
                Failure::new(Class::Internal, message, "Nothing was written; run `trstctl-dr rebuild` and report this.")
                    .at_sequence(after)
            }
            ReadModelError::RebuildRunning => {
                Failure::new(Class::Refused, message, "Wait for it to end, then run the same command again.")
            }
            ReadModelError::OtherTables { .. } => {
                Failure::new(Class::Refused, message, "Run the pending migrations, or use the release that made these tables; where they were lost or changed by hand, `trstctl-dr rebuild` makes them anew.")
            }
            ReadModelError::ForeignRow(_) => Failure::new(Class::Refused, message, "Run `trstctl-dr rebuild`."),
            ReadModelError::Blocked { slow, locked, .. } => Failure::new(
                Class::Refused,
                message,
                match slow > locked {
                    true => "No row is half-written. Slow down what appends to the log, or look at its server, then run the same command again.",
                    false => "No row is half-written. Look for long transactions in pg_stat_activity, then run the same command again.",
                },
            ),
            ReadModelError::LockLost => Failure::new(
                Class::Refused,
                message,
                "No row is half-written. Connect to the server itself: a pooler in transaction mode gives each transaction another session. The one that has the lock (pg_locks, advisory) keeps it until the pooler ends it.",
            ),
            ReadModelError::SwapUnknown { .. } => Failure::new(
                Class::Unreachable,
                message,
                "Either way the read model is whole, the old one or the new one. Run the same command again when the server is back.",
            ),
            ReadModelError::Silent { .. } | ReadModelError::Stalled { .. } => Failure::new(
                Class::Unreachable,
                message,
                "No row is half-written; of a rebuild, the old read model is there, or the new one if it was just swapped in. Look at the server, and at what lies between (proxy, pooler, firewall), then run the same command again.",
            ),
            ReadModelError::AfterSwap { source, .. } => {
                let failure = Failure::from(*source);
                Failure {
                    message,
                    hint: format!("The read model is rebuilt; `trstctl-dr diff` compares it with the log. {}", failure.hint),
                    ..failure
                }
            }
            ReadModelError::CheckpointBehind { found, .. } => Failure::new(
                Class::Refused,
                message,
                "The checkpoint was set back, or restored without the read model: mending rows at it would take events back. Run `trstctl-dr rebuild`.",
            )
            .at_sequence(found),
            ReadModelError::RowsLost { .. } => Failure::new(
                Class::Refused,
                message,
                "No row is half-written. Look for event triggers, rules and extensions that keep rows back, then run the same command again.",
            ),
            ReadModelError::RepairBlocked { .. } => Failure::new(
                Class::Refused,
                message,
                "Look for long transactions in pg_stat_activity that changed or locked these rows, then run the same command again: it goes on with what is left.",
            ),
            ReadModelError::NotCaughtUp { .. } => Failure::new(
                Class::Refused,
                message,
                "The old read model is untouched. Stop or slow down what appends to the log, then run the same command again.",
            ),
            ReadModelError::Panicked { .. } => Failure::new(Class::Internal, message, "Report this; nothing was changed."),
        }
    }
}
