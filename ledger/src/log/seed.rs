//! Writes an invented history into a live log: for the demo, tests and benchmarks.
//!
//! Everything is appended first, many messages under way at once; then what the history marks is deleted, so that the log
//! has its gaps. The stream is made as the Go implementation makes it: messages may be deleted.

use bytes::Bytes;
use serde_json::Value;
use trstctl_formats::{Failure, StoreTime, StoredMessage};

use super::config::StreamConfig;
use super::error::LogError;
use super::jetstream::JetStreamLog;
use super::publisher::Publisher;
use super::stream::StreamRequests;
use crate::history::{Entry, History, Keep};
use crate::wire::{ApiError, Connection};

/// Creates the stream and fills it. `progress` is told how many messages were sent.
///
/// # Errors
/// When the server refuses the stream, a message or a deletion.
pub async fn seed(
    connection: &Connection,
    config: &StreamConfig,
    history: History,
    progress: impl Fn(u64),
) -> Result<JetStreamLog, Failure> {
    let requests = StreamRequests::new(connection, &config.name)?;
    let mut settings = config.to_json();
    for setting in ["deny_delete", "deny_purge"] {
        settings.insert(setting.to_owned(), Value::Bool(false));
    }
    requests.create(&settings).await.map_err(refused)?;
    let deleted = append(connection, history, progress).await?;
    for sequence in deleted {
        requests.delete_message(sequence).await.map_err(refused)?;
    }
    Ok(JetStreamLog::of(connection.clone(), &config.name))
}

/// Appends everything, and answers what is to be deleted.
async fn append(
    connection: &Connection,
    history: History,
    progress: impl Fn(u64),
) -> Result<Vec<u64>, Failure> {
    const REPORT_EVERY: u64 = 1024;
    let mut publisher = Publisher::begin(connection, 1)?;
    let mut deleted = Vec::new();
    for (entry, sequence) in history.zip(1..) {
        if entry.keep == Keep::Deleted {
            deleted.push(sequence);
        }
        publisher.send(&message(sequence, entry)).await?;
        if sequence % REPORT_EVERY == 0 {
            progress(sequence);
        }
    }
    publisher.drain().await?;
    Ok(deleted)
}

fn message(sequence: u64, entry: Entry) -> StoredMessage {
    let Entry { subject, headers, payload, .. } = entry;
    // The server stores its own time.
    StoredMessage { sequence, stored_at: StoreTime(0), subject: Bytes::from(subject), headers, payload }
}

fn refused(error: ApiError) -> Failure {
    LogError::from(error).into()
}
