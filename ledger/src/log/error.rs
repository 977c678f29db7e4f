//! Why the log could not be used, and what the person on call does about it.

use trstctl_formats::{Class, Failure};

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
    /// The server showed a certificate that is not accepted.
    #[error("the certificate of NATS at {url} is not accepted: {reason}")]
    Untrusted {
        /// The server, without user information.
        url: String,
        /// What is wrong with it.
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
    /// The cluster has no leader for the stream, or one that hears no majority: whoever answers for it knows what it has itself,
    /// not what the log is.
    #[error("the stream {stream} has no leader that a majority of its servers hears")]
    NoLeader {
        /// Its name.
        stream: String,
    },
    /// A consumer's messages did not arrive as it numbered them.
    #[error(
        "messages from NATS at {url} were lost, doubled or reordered on the way: its consumer's delivery {found} came instead of {expected}"
    )]
    Disordered {
        /// The server, without user information.
        url: String,
        /// The delivery that was to come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// Sequences that were neither delivered nor confirmed deleted.
    #[error("sequences {first} to {last} were neither delivered nor confirmed deleted")]
    Unaccounted {
        /// First missing sequence.
        first: u64,
        /// Last missing sequence.
        last: u64,
    },
    /// A sequence that the leader lists as deleted was delivered all the same.
    #[error("sequence {sequence} was delivered although the leader lists it as deleted")]
    DeletedYetDelivered {
        /// The sequence.
        sequence: u64,
    },
    /// The leader counts other messages than were delivered, also when those are taken into account that came and went meanwhile.
    #[error("{read} messages were delivered, and the leader counts {counted}")]
    MiscountedMessages {
        /// Messages that were delivered.
        read: u64,
        /// Messages that the leader counts, as few as may be if some were deleted meanwhile.
        counted: u64,
        /// The first sequence that was not delivered, is denied, and is not listed as deleted: as a message is that cannot be read.
        suspect: Option<u64>,
    },
    /// Messages that the server stored and can no longer read.
    #[error("the server has lost {count} message(s) of the log to damage, the first at sequence {first}")]
    Lost {
        /// Their number.
        count: u64,
        /// The first one's sequence.
        first: u64,
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

impl LogError {
    /// Whether messages of the log are damaged or wrongly counted, rather than that it could not be asked.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Unaccounted { .. } | Self::Lost { .. } | Self::MiscountedMessages { .. })
    }

    pub(super) fn beyond(through: u64, last: u64) -> Self {
        Self::Refused {
            what: format!("reading through sequence {through}"),
            reason: format!("the last one is {last}"),
            hint: "Choose a sequence that the log has reached.".to_owned(),
        }
    }
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
                "If it is JetStream's ($JS.API): enable JetStream for this account, or check the JetStream domain. If it is events.…: \
                 the stream is absent or has no leader.",
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
            LogError::Untrusted { .. } => Failure::new(
                Class::Refused,
                message,
                "Name the file with the certificate of its authority in TRSTCTL_NATS_CA_FILE, and the host as the certificate does; look at \
                 its dates and at this host's clock. If all is right, somebody else answers: find out who.",
            ),
            LogError::Refused { hint, .. } => Failure::new(Class::Refused, message, hint),
            LogError::NoStream { .. } => Failure::new(
                Class::NoStream,
                message,
                "Check TRSTCTL_NATS_URL and the account: only the server, restore and demo create the stream.",
            ),
            LogError::NoLeader { .. } => Failure::new(
                Class::Unreachable,
                message,
                "Bring the servers back that keep it (`nats stream info` shows them), wait until one of them leads, then run the same \
                 command again. What one of them says alone may be less than the log, and is not used.",
            ),
            LogError::Disordered { .. } => Failure::new(
                Class::Refused,
                message,
                "Something between this host and the server (a proxy, a damaged server) changes the stream of messages: connect to the \
                 server directly, then run the same command again.",
            ),
            LogError::Unaccounted { first, .. } => Failure::new(
                Class::Refused,
                message,
                "A replica lags or the stream is damaged: wait until the replicas are current, then run the same command again.",
            )
            .at_sequence(first),
            LogError::DeletedYetDelivered { sequence } => Failure::new(
                Class::Refused,
                message,
                "A replica lags, or differs: wait until `nats stream info` shows the replicas as current, then run the same command \
                 again. If it stays, let NATS fill the wrong replica anew (`nats stream cluster peer-remove`).",
            )
            .at_sequence(sequence),
            LogError::MiscountedMessages { read, counted, .. } if read > counted => Failure::new(
                Class::Refused,
                message,
                "A replica lags behind with deletions, or the server counts wrongly: wait until `nats stream info` shows the replicas as \
                 current, then run the same command again.",
            ),
            LogError::MiscountedMessages { suspect, .. } => {
                let failure = Failure::new(
                    Class::Refused,
                    message,
                    "Run the same command again. If it stays, the server cannot read a message any more: look at its log and its disk. \
                     Another replica may have it: let that lead (`nats stream cluster step-down`). So may an earlier backup: keep it.",
                );
                match suspect {
                    Some(sequence) => failure.at_sequence(sequence),
                    None => failure,
                }
            }
            LogError::Lost { first, .. } => Failure::new(
                Class::Refused,
                message,
                "Look at the server's log and its disk. An earlier backup may have them: keep it. So may another replica: let that lead \
                 (`nats stream cluster step-down`), and NATS fill the damaged one anew (`nats stream cluster peer-remove`). Where there is \
                 none, they are gone, and the server counts them as deleted when it has started again.",
            )
            .at_sequence(first),
            LogError::WrongLastSequence { .. } => {
                Failure::new(Class::Refused, message, "Somebody else appends to this log: stop that writer first.")
            }
        }
    }
}
