//! Backup: pin the cut, stream the log through the writer into a file that appears whole or not at all.
//!
//! Beside it goes its tree head, last of all; a log that does not extend the earlier backup's history gives neither.
//! The network is read on one thread while another encodes, hashes and writes; between them stand a few batches.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Summary, WriteError, Writer};
use trstctl_formats::container::{self, Compression, Recipient};
use trstctl_formats::head::{Head, NewHistory};
use trstctl_formats::{Class, Failure, StoreTime, StoredMessage};
use trstctl_ledger::log::{EventLog, LogReader, LogState};

use crate::history::{self, Against, Compared, Comparison, Expected};
use crate::internal;
use crate::output::{Existing, Output};
use crate::plan::{Plan, rates};
use crate::progress::{Phase, Phases, Progress, Unit};
use crate::words;

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
    /// The tree head beside the file; `None` in version 1.
    pub head: Option<PathBuf>,
    /// What the comparison with the earlier backup has shown; `None` when there was none.
    pub compared: Option<Compared>,
    /// The break that was accepted, when there was one to accept.
    pub new_history: Option<NewHistory>,
    /// What the file says.
    pub summary: Summary,
    /// Length of the file on disk.
    pub file_bytes: u64,
    /// What took how long.
    pub phases: Vec<Phase>,
}

/// Writes a backup of the log that is held against no earlier one. Dropping the future, or a failure, leaves nothing behind.
pub async fn backup<L: EventLog>(
    log: &L,
    options: BackupOptions,
    progress: Arc<dyn Progress>,
) -> Result<BackupReport, Failure> {
    backup_after(log, options, Expected::default(), progress).await
}

/// Writes a backup of the log that extends the earlier one, and its tree head. Dropping the future, or a failure, leaves
/// nothing behind.
///
/// # Errors
/// `history_differs` when the log does not extend the earlier backup, unless that was accepted.
pub async fn backup_after<L: EventLog>(
    log: &L,
    options: BackupOptions,
    expected: Expected,
    progress: Arc<dyn Progress>,
) -> Result<BackupReport, Failure> {
    let state = log.state().await?;
    let header = header(&state, &options)?;
    if let Some((path, earlier)) = &expected.earlier {
        history::same_log(path, earlier.head(), &options.stream, options.deployment_id.as_deref())?;
    }
    let head_path = history::head_path(&options.output);
    let output = Output::create(&options.output, options.existing)?;
    let mut phases = Phases::new(progress);
    let running = phases.begin("back up", Some(state.messages), Unit::Events);
    let key = options.key.clone();
    let name = options.output.file_name().map(|name| name.to_string_lossy().into_owned());
    let job = Job { header, options, expected };
    let written = copy(log, job, state.last_sequence, output, running.progress()).await?;
    running.end(written.summary.records);
    if written.new_history.is_none() {
        keeps_reach(&head_path, &written.summary.header)?;
    }
    let Written { summary, output, compared, new_history } = written;
    let running = phases.begin("flush to disk", None, Unit::Bytes);
    let head = Head::of(&summary, &name.unwrap_or_default(), new_history.clone());
    let head = head.map(|head| (head_path, head.write(key.as_ref())));
    // Not to be dropped halfway: a stopped run must not leave a file that it does not report.
    let file_bytes = tokio::task::block_in_place(|| publish(output, head.as_ref()))?;
    running.end(file_bytes);
    let head = head.map(|(path, _)| path);
    Ok(BackupReport { head, compared, new_history, summary, file_bytes, phases: phases.into_report() })
}

/// What [`backup_after`] would do with this log, or why it would be refused. Writes nothing.
pub async fn plan<L: EventLog>(
    log: &L,
    options: &BackupOptions,
    expected: &Expected,
) -> Result<Plan, Failure> {
    let state = log.state().await?;
    let header = header(&state, options)?;
    Output::check(&options.output, options.existing)?;
    let head_path = history::head_path(&options.output);
    if expected.break_accepted.is_none() {
        keeps_reach(&head_path, &header)?;
    }
    let mut plan = Plan::default();
    let earlier_cut = expected.earlier.as_ref().map_or(0, |(_, earlier)| earlier.head().event_cut_sequence);
    let through = read_through(header.event_cut_sequence, earlier_cut, state.last_sequence);
    let (about, events) = match through < state.last_sequence {
        true => ("at most ", state.messages.min((through + 1).saturating_sub(state.first_sequence))),
        false => ("", state.messages),
    };
    let what = format!("read {about}{events} events of {}, up to sequence {through}", options.stream);
    plan.reads(what, rates::estimate_ms(events, rates::BACKUP_EVENTS));
    if let Some((path, earlier)) = &expected.earlier {
        history::same_log(path, earlier.head(), &options.stream, options.deployment_id.as_deref())?;
        let Head { records, event_cut_sequence, .. } = earlier.head();
        let or = if expected.break_accepted.is_some() { ", or take that they do not" } else { "" };
        let earlier = format!("{} ({records} events up to sequence {event_cut_sequence})", path.display());
        plan.reads(format!("prove that they extend {earlier}{or}"), None);
    }
    plan.writes("file", format!("write {}, {}", options.output.display(), form(options)), None);
    if options.version == FormatVersion::V2 {
        plan.writes("file", format!("write its tree head, {}", head_path.display()), None);
    }
    if options.key.is_none() {
        plan.warnings.push(UNKEYED.into());
    }
    Ok(plan)
}

/// What a backup without a key cannot show.
pub const UNKEYED: &str = "no audit signing key is configured, so this backup detects damage, not tampering.";

fn form(options: &BackupOptions) -> String {
    let version = if options.version == FormatVersion::V1 { 1 } else { 2 };
    let mut form = format!("version {version}");
    if options.compression == Compression::Zstd {
        form.push_str(", compressed");
    }
    if !options.recipients.is_empty() {
        form.push_str(&format!(
            ", encrypted to {}",
            words::plural(options.recipients.len() as u64, "recipient")
        ));
    }
    form
}

/// The head of a file that is replaced must not reach further than the new one: the next backup would have less to extend.
fn keeps_reach(head_path: &Path, header: &Header) -> Result<(), Failure> {
    if header.version == FormatVersion::V1 || !head_path.is_file() {
        return Ok(());
    }
    // One that cannot be read was accepted by the operator, or is no head.
    let Ok(old) = history::read_head(head_path) else { return Ok(()) };
    let old = old.claims();
    if !old.is_of(&header.stream, header.deployment_id.as_deref())
        || old.event_cut_sequence <= header.event_cut_sequence
    {
        return Ok(());
    }
    let name = head_path.display().to_string();
    let message = format!(
        "{name} reaches up to sequence {}, and this backup only up to {}",
        old.event_cut_sequence, header.event_cut_sequence
    );
    let hint = "Write it to a file of another name: later backups must still extend what the other one held.";
    Err(Failure::new(Class::Usage, message, hint).in_file(name))
}

/// Gives the backup its name, then its head: what can fail in the head's writing fails before.
fn publish(output: Output, head: Option<&(PathBuf, Vec<u8>)>) -> Result<u64, Failure> {
    let Some((path, bytes)) = head else { return output.publish() };
    let mut head = Output::create(path, Existing::Replace)?;
    let name = path.display().to_string();
    head.write_all(bytes).map_err(|error| crate::output::failed(&name, &error))?;
    head.sync()?;
    let file_bytes = output.publish()?;
    head.publish().map_err(|failure| {
        let message = format!("the backup is whole and has its name, but its tree head has not: {failure}");
        let hint = "The backup can be used. Make room for its head, and take another backup: until then the next one is held \
                    against the head before.";
        Failure::new(Class::OutputFailed, message, hint).in_file(name)
    })?;
    Ok(file_bytes)
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

/// What the writing thread works on.
struct Job {
    header: Header,
    options: BackupOptions,
    expected: Expected,
}

/// What it gives back.
struct Written {
    summary: Summary,
    output: Output,
    compared: Option<Compared>,
    new_history: Option<NewHistory>,
}

/// What lies behind the cut is read too, as far as the earlier backup reaches, which must be a prefix of it.
fn read_through(cut: u64, earlier_cut: u64, log_last: u64) -> u64 {
    cut.max(earlier_cut.min(log_last))
}

/// Reads here, writes on a thread of its own, and waits for both. What lies behind the cut (`--through`) is read as far as
/// the earlier backup went: it is compared, and not written.
async fn copy<L: EventLog>(
    log: &L,
    job: Job,
    log_last: u64,
    output: Output,
    progress: &dyn Progress,
) -> Result<Written, Failure> {
    let (from, cut) = (job.header.first_sequence, job.header.event_cut_sequence);
    let earlier_cut =
        job.expected.earlier.as_ref().map_or(0, |(_, earlier)| earlier.head().event_cut_sequence);
    let through = read_through(cut, earlier_cut, log_last);
    let (batches, queue) = mpsc::channel(QUEUE);
    let writer = tokio::task::spawn_blocking(move || write(queue, job, through, output));
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

/// Writes what comes out of the queue, and holds it against the earlier backup; the log was read up to `through`.
fn write(
    mut queue: mpsc::Receiver<Batch>,
    job: Job,
    through: u64,
    output: Output,
) -> Result<Written, Failure> {
    let Job { header, options, expected } = job;
    let path = options.output.display().to_string();
    let failed = |error| write_failure(error, &path);
    let sealed = container::seal(output, options.compression, &options.recipients)
        .map_err(|error| failed(error.into()))?;
    let mut writer = Writer::create(sealed, &header, options.key.as_ref()).map_err(failed)?;
    let mut comparison = Comparison::new(expected)?;
    let mut against = comparison.begin()?;
    loop {
        match queue.blocking_recv() {
            Some(Batch::Messages(batch)) => {
                batch
                    .iter()
                    .try_for_each(|message| take(message, &header, &mut writer, &mut against, &failed))?;
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
    against.push_written(writer.write_through().map_err(failed)?)?;
    let difference = against.finish(through)?;
    let (compared, new_history) = comparison.conclude(difference);
    let (sealed, summary) = writer.finish().map_err(failed)?;
    let output = sealed.finish().map_err(|error| failed(error.into()))?;
    Ok(Written { summary, output, compared, new_history })
}

/// Writes a message, unless it lies behind the cut, and compares what has a leaf by now.
fn take(
    message: &StoredMessage,
    header: &Header,
    writer: &mut Writer<impl Write>,
    against: &mut Against<'_>,
    failed: &impl Fn(WriteError) -> Failure,
) -> Result<(), Failure> {
    let is_written = message.sequence <= header.event_cut_sequence;
    let leaves = if is_written { writer.append(message) } else { writer.write_through() };
    against.push_written(leaves.map_err(failed)?)?;
    // Version 1 has no leaves of its own.
    if is_written && header.version == FormatVersion::V2 { Ok(()) } else { against.push(message) }
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
