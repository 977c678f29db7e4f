//! A connection that is made again when it was lost: by whoever needs it next.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::wire::{ApiError, ConnectOptions, Connection, code};

use super::LogError;
use super::stream::ELECTION;

/// The connection of a log.
pub(super) struct Link {
    options: ConnectOptions,
    current: Mutex<Option<Connection>>,
}

impl Link {
    /// Connects when it is first needed.
    pub(super) fn new(options: ConnectOptions) -> Self {
        Self { options, current: Mutex::new(None) }
    }

    /// Begins with this connection, and makes others like it.
    pub(super) fn of(connection: Connection) -> Self {
        Self { options: connection.options().clone(), current: Mutex::new(Some(connection)) }
    }

    /// The open connection, or a new one when it was lost or its server is shutting down.
    pub(super) async fn connection(&self) -> Result<Connection, LogError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref().filter(|one| one.is_open() && !one.is_leaving()) {
            return Ok(connection.clone());
        }
        match Connection::connect(&self.options).await {
            Ok(connection) => Ok(current.insert(connection).clone()),
            // A server that is leaving is better than none.
            Err(error) => current.as_ref().filter(|one| one.is_open()).cloned().ok_or(error),
        }
    }
}

/// Pause before a stream without a leader is looked at again.
const LOOK: Duration = Duration::from_millis(500);

/// Attempts that passing troubles get: a lost connection, a stream without a leader.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
    /// Since when there is no leader.
    leaderless: Option<Instant>,
}

impl Attempts {
    /// Six, with pauses of 0.1, 0.2, … 3.2 s between them; and half a minute for elections.
    pub(super) fn new() -> Self {
        Self { left: 6, pause: Duration::from_millis(100), leaderless: None }
    }

    /// Waits before the next attempt; gives the error back when it is final or there have been enough.
    pub(super) async fn after(&mut self, error: Trouble) -> Result<(), LogError> {
        let error = match error {
            Trouble::Final(error) => return Err(error),
            Trouble::Passing(error @ LogError::NoLeader { .. }) => {
                if self.leaderless.get_or_insert_with(Instant::now).elapsed() > ELECTION {
                    return Err(error);
                }
                tokio::time::sleep(LOOK).await;
                return Ok(());
            }
            Trouble::Passing(error) => error,
        };
        if self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        Ok(())
    }
}

/// Whether trying again may help.
#[derive(Debug)]
pub(super) enum Trouble {
    Passing(LogError),
    Final(LogError),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        match error {
            // With several servers, one may be mistaken while the other is on its way back.
            LogError::Unreachable { .. }
            | LogError::Untrusted { .. }
            | LogError::NoResponders { .. }
            | LogError::NoLeader { .. } => Self::Passing(error),
            _ => Self::Final(error),
        }
    }
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        match error.err_code() {
            code::TEMPORARILY_UNAVAILABLE | code::CONSUMER_NOT_FOUND => Self::Passing(error.into()),
            _ => LogError::from(error).into(),
        }
    }
}

impl Trouble {
    /// What went wrong with a request about a stream. A server that is told to stop gives up JetStream before its connections:
    /// another one may go on.
    pub(super) fn about_stream(stream: &str, error: ApiError) -> Self {
        let stream = stream.to_owned();
        match error.err_code() {
            _ if error.is_leaderless() => Self::Passing(LogError::NoLeader { stream }),
            code::STREAM_NOT_FOUND => Self::Final(LogError::NoStream { stream }),
            code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT => Self::Passing(error.into()),
            _ => error.into(),
        }
    }

    /// The same of a stream that was served a moment ago: a replica that has not made it yet knows none, and consumers have no
    /// place while its servers are away.
    pub(super) fn about_served_stream(stream: &str, error: ApiError) -> Self {
        match error.err_code() {
            code::INSUFFICIENT_RESOURCES => Self::Passing(error.into()),
            code::STREAM_NOT_FOUND => Self::Passing(LogError::NoStream { stream: stream.to_owned() }),
            _ => Self::about_stream(stream, error),
        }
    }
}
