//! A whole log as one archive: the default way, and the only one that keeps sequences, gaps and store times everywhere.
//!
//! In order: nothing is in the way, the place is free, the source is reading already, the request, the chunks, the last
//! chunk after the source's digest held, the end. The stream carries the mark from its first moment on. When this fails
//! in a cluster, the stream that it began is deleted; a single server keeps nothing of a restore that was cut.

use std::io::{Read, Seek};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use trstctl_formats::Failure;
use trstctl_formats::archive::{ArchiveStats, ArchiveWriter, MAX_RECORD_BYTES, record_bytes};
use trstctl_formats::backup::{Content, Messages};

use super::limits::Limits;
use super::refusal::{self, Stage};
use super::server::{ANSWER, Server};
use super::source::{Pass, Source};
use super::stop::Stop;
use super::upload::{ChunkWriter, Upload};
use super::{Progress, RestoreOptions};
use crate::log::{LogError, Mark, StreamConfig};
use crate::wire::{ApiError, Connection};

/// A restore that failed, and whether the server had begun it: what it then keeps under the name is ours to remove.
pub(super) struct Stopped {
    pub(super) failure: Failure,
    pub(super) begun: Begun,
}

/// Whether the server had accepted the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    No,
    Yes,
}

impl Stopped {
    fn before(failure: impl Into<Failure>) -> Self {
        Self { failure: failure.into(), begun: Begun::No }
    }

    fn amid(failure: Failure) -> Self {
        Self { failure, begun: Begun::Yes }
    }
}

/// Sends the log into a server where its name is free. When `stop` comes, the connection is closed.
pub(super) async fn send<S: Read + Seek + Send + 'static>(
    server: &Server,
    source: &Source<S>,
    options: &RestoreOptions,
    limits: Limits,
    stop: &mut Stop<'_>,
) -> Result<ArchiveStats, Stopped> {
    // A connection of its own: closing it is how a restore is stopped.
    let connection = server.connect_again().await.map_err(Stopped::before)?;
    let outcome = converse(&connection, server, source, options, limits, stop).await;
    if outcome.is_err() {
        connection.close();
    }
    outcome
}

/// Refuses a message that no archive takes before anything is sent or removed. Only a backup with very long lines is read
/// for it.
pub(super) async fn check_messages<S: Read + Seek + Send + 'static>(
    source: &Source<S>,
) -> Result<(), Failure> {
    // A line of a backup is at least a sixth of its record: `<` is one byte there and six in the stored message.
    if source.longest_record_bytes() < MAX_RECORD_BYTES / 6 - 1_024 {
        return Ok(());
    }
    let looked = source.pass(|messages| {
        while let Some(message) = messages.next()? {
            trstctl_formats::archive::check(&message)?;
        }
        Ok(())
    });
    looked.end().await
}

async fn converse<S: Read + Seek + Send + 'static>(
    connection: &Connection,
    server: &Server,
    source: &Source<S>,
    options: &RestoreOptions,
    limits: Limits,
    stop: &mut Stop<'_>,
) -> Result<ArchiveStats, Stopped> {
    let config = options.config.marked(Mark(source.content().merkle_root));
    let (writer, mut chunks) = ChunkWriter::new(connection.server().max_payload);
    let pass = feed(source, writer, &config, options, limits);
    // The source must be ready before the request: the server waits five seconds for a chunk.
    let first = stop.interrupts(async { Ok(chunks.recv().await) }).await.map_err(Stopped::before)?;
    // Not stopped: whether the server has begun must be known.
    let deliver = request(connection, server, &config, source.content()).await?;
    let transfer = transfer(connection, server, &config, &deliver, chunks, first, pass);
    stop.interrupts(transfer).await.map_err(Stopped::amid)
}

async fn transfer(
    connection: &Connection,
    server: &Server,
    config: &StreamConfig,
    deliver: &str,
    chunks: mpsc::Receiver<Bytes>,
    first: Option<Bytes>,
    pass: Pass<Fed>,
) -> Result<ArchiveStats, Failure> {
    let mut upload = Upload::begin(connection, &config.name, deliver)?;
    let held = upload.send_all_but_the_last(chunks, first).await?;
    // The whole backup gave the same digest again, or this fails.
    let fed = pass.end().await?;
    server.check_store(fed.stored_bytes).await?;
    upload.finish(held).await?;
    Ok(fed.stats)
}

/// What the pass over the backup made.
struct Fed {
    stats: ArchiveStats,
    /// Bytes that the messages take in the server's store.
    stored_bytes: u64,
}

#[derive(Deserialize)]
struct Accepted {
    deliver_subject: String,
}

async fn request(
    connection: &Connection,
    server: &Server,
    config: &StreamConfig,
    content: &Content,
) -> Result<String, Stopped> {
    let body = json!({"config": Value::Object(config.to_json()), "state": state(content)});
    let endpoint = format!("STREAM.RESTORE.{}", config.name);
    let accepted =
        server.once_elected(async || connection.api::<Accepted>(&endpoint, &body, ANSWER).await).await;
    accepted.map(|accepted| accepted.deliver_subject).map_err(|error| {
        // It may have begun, and nobody said so.
        let begun = match &error {
            ApiError::Failed(LogError::Unreachable { .. }) => Begun::Yes,
            _ => Begun::No,
        };
        Stopped { failure: refusal::failure(error, &config.name, Stage::Request), begun }
    })
}

/// The server reads it and checks nothing of it.
fn state(content: &Content) -> Value {
    json!({
        "messages": content.records,
        "bytes": 0,
        "first_seq": content.first_sequence,
        "first_ts": "1970-01-01T00:00:00Z",
        "last_seq": content.last_sequence,
        "last_ts": "1970-01-01T00:00:00Z",
        "consumer_count": 0,
    })
}

/// Begins the pass that writes the archive; it ends well only after the whole backup gave the same digest again.
fn feed<S: Read + Seek + Send + 'static>(
    source: &Source<S>,
    out: ChunkWriter,
    config: &StreamConfig,
    options: &RestoreOptions,
    limits: Limits,
) -> Pass<Fed> {
    let meta_inf = config.to_meta_inf(options.now);
    let (stream, last) = (config.name.clone(), source.content().last_sequence);
    let (progress, flip) = (options.progress.clone(), options.flip_bit_at);
    source.pass(move |messages| {
        let mut archive = ArchiveWriter::create(out, &stream, &meta_inf)?;
        if let Some(offset) = flip {
            archive = archive.with_flipped_bit(offset);
        }
        let stored_bytes = write_messages(&mut archive, messages, limits, &progress)?;
        let (out, stats) = archive.finish(last)?;
        out.end().map_err(trstctl_formats::archive::ArchiveError::from)?;
        Ok(Fed { stats, stored_bytes })
    })
}

fn write_messages<S: Read + Seek + Send>(
    archive: &mut ArchiveWriter<ChunkWriter>,
    messages: &mut Messages<'_, S>,
    limits: Limits,
    progress: &Progress,
) -> Result<u64, Failure> {
    let (mut done, mut stored_bytes) = (0, 0);
    while let Some(message) = messages.next()? {
        archive.append(&message)?;
        stored_bytes += record_bytes(&message);
        done += 1;
        if done % Progress::EVERY == 0 {
            limits.check(stored_bytes)?;
            progress.report(done);
        }
    }
    limits.check(stored_bytes)?;
    progress.report(done);
    Ok(stored_bytes)
}
