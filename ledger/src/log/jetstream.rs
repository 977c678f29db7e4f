//! The event log on NATS JetStream.
//!
//! Opening never creates anything: only `create` does, which the server, restore and the demo call (trap 2). The
//! requests and appends of a log share one connection and its readings another, so that an append never waits behind
//! megabytes of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::Value;

use super::config::StreamConfig;
use super::link::{Attempts, Link, Trouble};
use super::mark::Mark;
use super::new_message::message_id;
use super::reader::JetStreamReader;
use super::stream::{DEADLINE, StreamInfo, StreamRequests};
use super::{Appended, EventLog, Expected, LogError, LogState, NewMessage};
use crate::wire::{ApiError, Connection, code, read_answer};

/// Name of the stream.
pub const STREAM: &str = "TRSTCTL_EVENTS";

/// The log in a JetStream stream. Clones share their connections.
#[derive(Clone)]
pub struct JetStreamLog {
    stream: Arc<str>,
    link: Arc<Link>,
    reading: Arc<Link>,
    /// Known to carry no mark of an unverified restore: the mark is never set on a stream that is in use.
    unmarked: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct PublishAck {
    stream: String,
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

impl JetStreamLog {
    /// Opens the log in the stream of this name, normally [`STREAM`].
    ///
    /// # Errors
    /// [`LogError::NoStream`] when there is none; [`LogError::Refused`] or [`LogError::NoResponders`] without
    /// permission or JetStream; [`LogError::Unreachable`] and [`LogError::Configuration`] as for a connection.
    pub async fn open(connection: Connection, stream: &str) -> Result<Self, LogError> {
        let log = Self::of(connection, stream);
        log.info().await?;
        Ok(log)
    }

    /// Creates the stream and opens it. Called by the server, restore and demo only.
    ///
    /// # Errors
    /// As [`JetStreamLog::open`]; [`LogError::Refused`] when the server does not take the configuration, or takes another
    /// one: older servers leave out silently what they do not know.
    pub async fn create(connection: Connection, config: &StreamConfig) -> Result<Self, LogError> {
        let wanted = config.to_json();
        let info = StreamRequests::new(&connection, &config.name)?.create(&wanted).await?;
        if let Some((key, _)) = wanted.iter().find(|(key, value)| !is_taken(&info, key, value)) {
            return Err(LogError::Refused {
                what: format!("creation of the stream {}", config.name),
                reason: format!("the server ({}) did not take {key}", connection.server().version),
                hint: "Use a newer NATS server, or leave that setting out.".to_owned(),
            });
        }
        Ok(Self::of(connection, &config.name))
    }

    /// The log in this stream, whether that exists or not: for a restore, which makes it.
    pub fn of(connection: Connection, stream: &str) -> Self {
        let reading = Link::new(connection.options().clone());
        Self {
            stream: stream.into(),
            link: Arc::new(Link::of(connection)),
            reading: Arc::new(reading),
            unmarked: Arc::default(),
        }
    }

    /// The connection that requests and appends use; made again when it was lost.
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub async fn connection(&self) -> Result<Connection, LogError> {
        self.link.connection().await
    }

    /// Name of the stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// State and configuration from the stream's leader.
    ///
    /// # Errors
    /// As [`JetStreamLog::open`].
    pub async fn info(&self) -> Result<StreamInfo, LogError> {
        let mut attempts = Attempts::new();
        loop {
            match self.try_info().await {
                Ok(info) => return Ok(info),
                Err(trouble) => attempts.after(trouble).await?,
            }
        }
    }

    async fn try_info(&self) -> Result<StreamInfo, Trouble> {
        let connection = self.link.connection().await?;
        match StreamRequests::new(&connection, &self.stream)?.info().await {
            Ok(info) => Ok(info),
            // A server without JetStream will not get it by waiting; a cluster may have it elsewhere.
            Err(ApiError::Failed(error @ LogError::NoResponders { .. }))
                if !may_have_jetstream(&connection) =>
            {
                Err(Trouble::Final(error))
            }
            Err(error) => Err(Trouble::about_stream(&self.stream, error)),
        }
    }

    /// Refuses the log that a restore made and has not read back yet: it may hold less than the backup, and may be
    /// replaced. Appends are refused by themselves; who reads a log to rely on it asks here first.
    ///
    /// # Errors
    /// [`LogError::Refused`] for such a log; else as [`JetStreamLog::open`].
    pub async fn refuse_unverified(&self) -> Result<(), LogError> {
        if self.unmarked.load(Ordering::Relaxed) {
            return Ok(());
        }
        if Mark::parse(self.info().await?.description()).is_some() {
            return Err(LogError::Refused {
                what: format!("use of the stream {}", self.stream),
                reason: "a restore made it and has not verified it yet".to_owned(),
                hint: "Finish that restore with the command that began it: it compares the stream with its backup and \
                       releases it."
                    .to_owned(),
            });
        }
        self.unmarked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the expectation fails because this very message was appended before, perhaps without its acknowledgement
    /// having reached us: it then stands right after the sequence that was expected. (2.9 looks for repeated ids first,
    /// newer servers for the expectation.)
    async fn earlier_append(
        &self,
        message: &NewMessage,
        expected: Expected,
    ) -> Result<Option<Appended>, LogError> {
        let (after, Some(id)) = (expected.sequence().unwrap_or(0), message.message_id()) else {
            return Ok(None);
        };
        let connection = self.link.connection().await?;
        let requests = StreamRequests::new(&connection, &self.stream)?;
        let found = requests.next_of_subject(after + 1, &message.subject).await?;
        Ok(found
            .filter(|(_, headers)| message_id(headers) == Some(id))
            .map(|(sequence, _)| Appended { sequence, duplicate: true }))
    }

    async fn try_append(
        &self,
        message: &NewMessage,
        headers: &[u8],
        expected: Expected,
    ) -> Result<Appended, Trouble> {
        let connection = self.link.connection().await?;
        let answer = connection
            .request_with_headers(&message.subject, headers, &message.payload, DEADLINE)
            .await
            .map_err(|error| unanswered(error, message))?;
        let ack: PublishAck =
            read_answer("append", answer.payload()).map_err(|error| refused(error, expected))?;
        if ack.stream != *self.stream {
            return Err(Trouble::Final(LogError::Refused {
                what: format!("append to {}", message.subject),
                reason: format!("the stream {} took it, not {}", ack.stream, self.stream),
                hint: "Two streams must not share subjects: check the streams of this account.".to_owned(),
            }));
        }
        Ok(Appended { sequence: ack.seq, duplicate: ack.duplicate })
    }
}

impl EventLog for JetStreamLog {
    type Reader = JetStreamReader;

    async fn state(&self) -> Result<LogState, LogError> {
        Ok(self.info().await?.state.log_state())
    }

    /// A message with an id is sent again when the connection was lost before the acknowledgement; it may then be
    /// acknowledged as a duplicate of itself. One without an id is not: the error says that its fate is not known.
    /// A repeated id is a duplicate also where the expectation holds no more.
    async fn append(&self, message: NewMessage, expected: Expected) -> Result<Appended, LogError> {
        let headers = message.headers_expecting(expected)?;
        self.refuse_unverified().await?;
        let mut attempts = Attempts::new();
        loop {
            match self.try_append(&message, &headers, expected).await {
                Ok(appended) => return Ok(appended),
                Err(Trouble::Final(error @ LogError::WrongLastSequence { .. })) => {
                    return self.earlier_append(&message, expected).await?.ok_or(error);
                }
                Err(trouble) => attempts.after(trouble).await?,
            }
        }
    }

    async fn read(&self, from: u64, through: u64) -> Result<JetStreamReader, LogError> {
        JetStreamReader::open(self.link.clone(), self.reading.clone(), &self.stream, from, through).await
    }
}

/// Whether the server keeps this setting; it may leave out what is neutral.
fn is_taken(info: &StreamInfo, key: &str, value: &Value) -> bool {
    let neutral = match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        other => matches!(other, Value::Null | Value::Bool(false)),
    };
    info.config.get(key).map_or(neutral, |kept| kept == value)
}

fn may_have_jetstream(connection: &Connection) -> bool {
    connection.server().jetstream || connection.server().cluster.is_some()
}

/// Without an answer nobody knows whether the message was stored: only one with a message id may be sent again.
fn unanswered(error: LogError, message: &NewMessage) -> Trouble {
    match error {
        LogError::NoResponders { .. } => Trouble::Passing(error),
        LogError::Unreachable { .. } if message.message_id().is_some() => Trouble::Passing(error),
        LogError::Unreachable { url, reason } => Trouble::Final(LogError::Unreachable {
            url,
            reason: format!("{reason}; whether the message was stored is not known"),
        }),
        error => Trouble::Final(error),
    }
}

/// Of a wrong last sequence, the server's words end with the actual one.
fn refused(error: ApiError, expected: Expected) -> Trouble {
    let wrong_sequence = [code::WRONG_LAST_SEQUENCE, code::WRONG_LAST_SEQUENCE_CONSTANT];
    match (expected.sequence(), error) {
        (Some(expected), ApiError::Refused { refusal, .. }) if wrong_sequence.contains(&refusal.err_code) => {
            let last_word = refusal.description.rsplit(' ').next();
            let actual = last_word.and_then(|word| word.parse().ok()).unwrap_or(0);
            Trouble::Final(LogError::WrongLastSequence { expected, actual })
        }
        (_, error) => error.into(),
    }
}
