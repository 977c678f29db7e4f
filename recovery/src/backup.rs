//! Backup: pin the cut, stream the log through the writer into a file that appears whole or not at all.
//!
//! The network is read on one thread while another encodes, hashes and writes; between them stand a few batches.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Summary, WriteError, Writer};
use trstctl_formats::container::{self, Compression, Recipient};
use trstctl_formats::{Class, Failure, StoreTime, StoredMessage};
use trstctl_ledger::log::{EventLog, LogReader, LogState};

use crate::internal;
use crate::output::{Existing, Output};
use crate::progress::{Phase, Phases, Progress, Unit};

/// Batches that may wait between reader and writer.
const QUEUE: usize = 4;

/// What to back up, and where to.
pub struct BackupOptions {
    /// The file.
    pub output: PathBuf,
    /// What to do when it exists.
    pub existing: Existing,
    /// Format of the stream.
    pub version: FormatVersion,
    /// Last sequence to take; the log's last one when not given.
    pub through: Option<u64>,
    /// Compress with zstd, or not.
    pub compression: Compression,
    /// Encrypt to these age recipients; none: not encrypted.
    pub recipients: Vec<Recipient>,
    /// Accept a log without messages (trap 2).
    pub empty: Empty,
    /// Authenticates the backup.
    pub key: Option<BackupKey>,
    /// The deployment that the log belongs to.
    pub deployment_id: Option<String>,
    /// Name of the stream.
    pub stream: String,
    /// Now.
    pub created_at: StoreTime,
}

/// What to do with an empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// Refuse: an empty log is more often a wrong server than a new one.
    #[default]
    Refuse,
    /// Write a backup of no events (`--allow-empty`).
    Accept,
}

/// A finished backup.
#[derive(Debug)]
pub struct BackupReport {
    /// What the file says.
    pub summary: Summary,
    /// Length of the file on disk.
    pub file_bytes: u64,
    /// What took how long.
    pub phases: Vec<Phase>,
}

/// Writes a backup of the log. Dropping the future, or a failure, leaves nothing behind.
pub async fn backup<L: EventLog>(
    log: &L,
    options: BackupOptions,
    progress: Arc<dyn Progress>,
) -> Result<BackupReport, Failure> {
    let state = log.state().await?;
    let header = header(&state, &options)?;
    let output = Output::create(&options.output, options.existing)?;
    let mut phases = Phases::new(progress);
    let running = phases.begin("back up", Some(state.messages), Unit::Events);
    let (summary, output) = copy(log, header, output, options, running.progress()).await?;
    running.end(summary.records);
    let running = phases.begin("flush to disk", None, Unit::Bytes);
    // Not to be dropped halfway: a stopped run must not leave a file that it does not report.
    let file_bytes = tokio::task::block_in_place(|| output.publish())?;
    running.end(file_bytes);
    Ok(BackupReport { summary, file_bytes, phases: phases.into_report() })
}

/// Pins the cut and refuses what would not be a backup.
fn header(state: &LogState, options: &BackupOptions) -> Result<Header, Failure> {
    let cut = options.through.unwrap_or(state.last_sequence);
    if cut > state.last_sequence {
        return Err(Failure::new(
            Class::Usage,
            format!("--through {cut} is beyond the log's last sequence {}", state.last_sequence),
            "Give a sequence that the log has reached.",
        ));
    }
    if (state.messages == 0 || cut < state.first_sequence) && options.empty == Empty::Refuse {
        return Err(Failure::new(
            Class::EmptyLog,
            format!("the stream {} holds no event up to sequence {cut}", options.stream),
            "Check TRSTCTL_NATS_URL and the account: this may be the wrong server. If it is right, use --allow-empty.",
        ));
    }
    Ok(Header {
        version: options.version,
        created_at: options.created_at,
        deployment_id: options.deployment_id.clone(),
        stream: options.stream.clone(),
        first_sequence: state.first_sequence,
        event_cut_sequence: cut,
    })
}

/// Reads here, writes on a thread of its own, and waits for both.
async fn copy<L: EventLog>(
    log: &L,
    header: Header,
    output: Output,
    options: BackupOptions,
    progress: &dyn Progress,
) -> Result<(Summary, Output), Failure> {
    let (from, through) = (header.first_sequence, header.event_cut_sequence);
    let (batches, queue) = mpsc::channel(QUEUE);
    let writer = tokio::task::spawn_blocking(move || write(queue, &header, output, &options));
    let read = read(log, from, through, batches, progress).await;
    let written = writer.await.map_err(|_| internal("the thread that writes has stopped"))?;
    // A writer that failed closes the queue, which stops the reader: its failure is the cause.
    match (read, written) {
        (Err(Stopped::Failed(failure)), _) | (_, Err(failure)) => Err(failure),
        (Err(Stopped::WriterGone), Ok(_)) => Err(internal("the writer stopped early")),
        (Ok(()), Ok(written)) => Ok(written),
    }
}

enum Stopped {
    Failed(Failure),
    WriterGone,
}

enum Batch {
    Messages(Vec<StoredMessage>),
    /// Every sequence is accounted for. Without it the output is dropped.
    Complete,
}

async fn read<L: EventLog>(
    log: &L,
    from: u64,
    through: u64,
    batches: mpsc::Sender<Batch>,
    progress: &dyn Progress,
) -> Result<(), Stopped> {
    let mut done = 0;
    if from <= through {
        let mut reader = log.read(from, through).await.map_err(|error| Stopped::Failed(error.into()))?;
        while let Some(batch) = reader.next_batch().await.map_err(|error| Stopped::Failed(error.into()))? {
            done += batch.len() as u64;
            batches.send(Batch::Messages(batch)).await.map_err(|_| Stopped::WriterGone)?;
            progress.done(done);
        }
    }
    batches.send(Batch::Complete).await.map_err(|_| Stopped::WriterGone)
}

fn write(
    mut queue: mpsc::Receiver<Batch>,
    header: &Header,
    output: Output,
    options: &BackupOptions,
) -> Result<(Summary, Output), Failure> {
    let path = options.output.display().to_string();
    let failed = |error| write_failure(error, &path);
    let sealed = container::seal(output, options.compression, &options.recipients)
        .map_err(|error| failed(error.into()))?;
    let mut writer = Writer::create(sealed, header, options.key.as_ref()).map_err(failed)?;
    loop {
        match queue.blocking_recv() {
            Some(Batch::Messages(batch)) => {
                batch.iter().try_for_each(|message| writer.append(message)).map_err(failed)?
            }
            Some(Batch::Complete) => break,
            None => {
                return Err(Failure::new(
                    Class::Interrupted,
                    "stopped before the end",
                    "Run the same command again.",
                ));
            }
        }
    }
    let (sealed, summary) = writer.finish().map_err(failed)?;
    let output = sealed.finish().map_err(|error| failed(error.into()))?;
    Ok((summary, output))
}

fn write_failure(error: WriteError, path: &str) -> Failure {
    match error {
        WriteError::Output(error) => crate::output::failed(path, &error),
        WriteError::NotInVersion1 { sequence, .. } => Failure::new(
            Class::Refused,
            error.to_string(),
            "Nothing was written. Use --format-version 2, which keeps every message.",
        )
        .at_sequence(sequence),
        WriteError::LineTooLong { sequence, .. } => Failure::new(
            Class::Refused,
            error.to_string(),
            "Nothing was written. The log holds a message that no backup can: find out who wrote it, and report this.",
        )
        .at_sequence(sequence),
        WriteError::Header { .. } => {
            Failure::new(Class::Usage, error.to_string(), "Check TRSTCTL_DEPLOYMENT_ID and the clock of this host.")
        }
        WriteError::OutOfOrder { .. } => internal(&error.to_string()),
    }
}
