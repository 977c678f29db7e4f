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
    /// Somebody held a lock through every attempt; the old model is untouched.
    #[error(
        "the new read model could not be swapped in: {attempts} attempts met a lock that another session holds"
    )]
    SwapBlocked {
        /// How often it was tried.
        attempts: u32,
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
            ReadModelError::SwapBlocked { .. } => Failure::new(
                Class::Refused,
                message,
                "The old read model is untouched. Look for long transactions in pg_stat_activity, then run the same command again.",
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
