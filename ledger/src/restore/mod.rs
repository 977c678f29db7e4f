//! Putting a verified backup into an empty log, and proving that the log then holds it.
//!
//! [`Restore::plan`] looks at the target and refuses what must not be touched; [`Restore::write`] sends the log as an
//! archive (the default) or publishes it message by message (on request); [`Restore::read_back`] reads the live log and
//! compares, for the server's own word is worth nothing (trap 20); [`Restore::accept`] takes the stream's mark away, and
//! only a proof from the read-back lets it. Stopped anywhere, the same four steps converge.

mod archive;
mod compare;
mod limits;
mod place;
mod publish;
mod read_back;
mod refusal;
mod replicas;
#[cfg(test)]
mod samples;
mod server;
mod source;
mod stop;
mod target;
mod upload;

use std::future::Future;
use std::io::{Read, Seek};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trstctl_formats::backup::{Allow, Content, Lines};
use trstctl_formats::{Class, Failure, StoreTime};

pub use compare::Difference;
pub use publish::Numbering;
pub use source::Source;
pub use target::TargetState;

use crate::log::{EventLog, JetStreamLog, StreamConfig};
use crate::wire::Connection;
use place::Place;
use publish::Published;
use server::Server;
use stop::Stop;

/// How a log enters the server. Never chosen by this program: a refused archive is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Whole: keeps sequences, gaps, store times.
    #[default]
    Archive,
    /// Message by message: keeps no store time, and sequences only without gaps.
    Publish,
}

/// What a restore is to do.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The stream to make; its mark and duplicate window are the restore's own business.
    pub config: StreamConfig,
    /// How.
    pub method: Method,
    /// Publishing may give new sequences (`--accept-new-sequences`).
    pub new_sequences: Allow,
    /// When the stream counts as created.
    pub now: StoreTime,
    /// Told how many messages were handled.
    pub progress: Progress,
    /// Flips one bit of the archive on its way, this many bytes from its start before compression: shows in tests and
    /// drills that the read-back catches it.
    #[doc(hidden)]
    pub flip_bit_at: Option<u64>,
}

impl RestoreOptions {
    /// An archive restore into this stream.
    pub fn new(config: StreamConfig, now: StoreTime) -> Self {
        Self {
            config,
            method: Method::default(),
            new_sequences: Allow::No,
            now,
            progress: Progress::default(),
            flip_bit_at: None,
        }
    }
}

/// Where progress is reported to: the number of messages handled in the present step.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl Progress {
    /// Messages between two reports of the steps that count singly.
    const EVERY: u64 = 1_024;

    /// Reports to `to`, from any thread.
    pub fn to(to: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(to)))
    }

    fn report(&self, messages: u64) {
        if let Some(to) = &self.0 {
            to(messages);
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// What was written and is not believed yet.
#[derive(Clone, Debug)]
pub struct Written {
    /// Messages written by this run.
    pub messages: u64,
    /// Messages that an earlier run had written.
    pub messages_before: u64,
    /// Sequences of the restored log.
    pub numbering: Numbering,
    /// Stored `Nats-Expected-*` header lines that were left out.
    pub expectations_left_out: u64,
    /// When the archive was sent, or found, if it was one: the others fetch it later.
    arrived: Option<Instant>,
    /// What the live log must hold now, under `lines`.
    expected: Content,
    lines: Lines,
}

impl Written {
    /// What the live log must hold now: under other lines than the backup's, and perhaps other sequences, after publishing.
    pub fn expected(&self) -> &Content {
        &self.expected
    }

    /// The log is to be the same bit for bit; not after publishing.
    pub fn is_exact(&self) -> bool {
        self.lines == Lines::Exact
    }

    fn by_publishing(published: Published, numbering: Numbering, messages_before: u64) -> Self {
        Self {
            arrived: None,
            messages: published.content.records - messages_before,
            messages_before,
            numbering,
            expectations_left_out: published.expectations_left_out,
            expected: published.content,
            lines: numbering.lines(),
        }
    }
}

/// The live log holds what was verified: only [`Restore::read_back`] says so.
#[derive(Clone, Debug)]
pub struct Proven {
    /// What was read.
    pub live: Content,
    /// The log is the same bit for bit; `false` after publishing.
    pub exact: bool,
    /// When the archive was written, at the latest, if it was one.
    arrived: Option<Instant>,
}

/// The restore of one backup into one stream.
pub struct Restore<S> {
    server: Server,
    log: JetStreamLog,
    source: Source<S>,
    options: RestoreOptions,
}

impl<S: Read + Seek + Send + 'static> Restore<S> {
    /// A restore into the server of `connection`; further connections are made as this one was.
    pub fn new(connection: Connection, source: Source<S>, options: RestoreOptions) -> Self {
        let stream = &options.config.name;
        let log = JetStreamLog::of(connection.clone(), stream);
        let server = Server::new(connection, stream);
        Self { server, log, source, options }
    }

    /// Looks at the target, and whether the server can take the log. Changes nothing.
    ///
    /// # Errors
    /// `target_not_empty` and `target_differs` when no restore may go there, `refused` when publishing cannot keep what
    /// it would have to or when replicas, streams, storage or a message's size are beyond what the server takes, and what
    /// reading the backup or the log gives.
    pub async fn plan(&self) -> Result<TargetState, Failure> {
        let lines = self.lines()?;
        let state = self.place().state(&self.log, &self.source, lines).await?;
        if !matches!(state, TargetState::Equal | TargetState::EqualUnverified) {
            self.check_writable().await?;
        }
        Ok(state)
    }

    async fn check_writable(&self) -> Result<(), Failure> {
        if self.options.method == Method::Archive {
            archive::check_messages(&self.source).await?;
        }
        self.place().limits().await.map(|_| ())
    }

    /// Writes the log where `state`, just planned, allows it. The stream carries the mark of an unverified restore.
    ///
    /// When `stop` completes, the connection is closed and, in a cluster, what was begun is deleted, which takes at most
    /// [`LONGEST_REMOVAL`]. Dropping the future instead is safe too, but leaves the name taken in a cluster: the next run
    /// then waits until the cluster shows what is there, up to two minutes, and removes it.
    ///
    /// # Errors
    /// As [`Restore::plan`], what the server refuses, and `interrupted` after `stop`. What is left then is known by its
    /// mark: the same command goes on.
    pub async fn write(
        &self,
        state: &TargetState,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Written, Failure> {
        let stop = pin!(stop);
        let mut stop = Stop::new(stop);
        match self.options.method {
            Method::Archive => self.write_archive(state, &mut stop).await,
            Method::Publish => self.write_by_publishing(state, &mut stop).await,
        }
    }

    /// The log lives on several servers: [`Restore::replicate`] has something to wait for.
    pub fn is_replicated(&self) -> bool {
        self.server.is_clustered() && self.options.config.replicas > 1
    }

    /// Waits until so many replicas have the log that the death of one server costs nothing.
    ///
    /// # Errors
    /// `unreachable` when no replica came nearer for a minute; the stream then keeps its mark.
    pub async fn replicate(&self) -> Result<(), Failure> {
        replicas::wait_for_majority(&self.server, self.content().records, &self.options.progress, None).await
    }

    /// Reads the live log whole and compares it with what was to be written.
    ///
    /// # Errors
    /// `readback_differs` with the first differing sequence; the stream then keeps its mark.
    pub async fn read_back(&self, written: &Written) -> Result<Proven, Failure> {
        let live = read_back::read_live(&self.log, written.lines, &self.options.progress).await?;
        if read_back::is_same(&live, &written.expected, written.lines) {
            return Ok(Proven { live, exact: written.lines == Lines::Exact, arrived: written.arrived });
        }
        let (log, source, expected) = (&self.log, &self.source, &written.expected);
        Err(read_back::name_difference(log, source, written.lines, &live, expected).await)
    }

    /// What an earlier run has written, where [`Restore::plan`] found all of it: what the live log must hold, and how. A log
    /// that is the same bit for bit is told as such, whatever the method of this run.
    ///
    /// # Errors
    /// What reading the backup or the log gives.
    pub async fn written_earlier(&self) -> Result<Written, Failure> {
        if self.options.method == Method::Archive || self.is_there_exactly().await? {
            return Ok(self.written(0));
        }
        let numbering = self.numbering()?;
        let published = publish::folded(&self.source, numbering).await?;
        Ok(Written::by_publishing(published, numbering, self.content().records))
    }

    /// Takes the mark away, and gives the stream its lasting duplicate window: from now on it is the log. Replicas must
    /// have it by then (see [`Restore::replicate`]).
    ///
    /// # Errors
    /// When the server refuses or replicas lack the log; the same command then only does this again.
    pub async fn accept(&self, proof: &Proven) -> Result<(), Failure> {
        let (records, progress) = (self.content().records, &self.options.progress);
        let arrived = proof.arrived.filter(|_| self.is_replicated());
        // Reading back takes long, and goes on with another server when one dies.
        let server = &self.server.open().await?;
        replicas::wait_for_majority(server, records, progress, arrived).await?;
        Place { server, ..self.place() }.clear_mark(&proof.live).await
    }

    /// Of a log that was published, the first message shows that it is not.
    async fn is_there_exactly(&self) -> Result<bool, Failure> {
        let content = self.content();
        if self.log.state().await?.last_sequence != content.last_sequence {
            return Ok(false);
        }
        let is_empty = content.records == 0;
        Ok(is_empty || read_back::first_difference(&self.log, &self.source, Lines::Exact).await?.is_none())
    }

    /// The sequences that the log gets.
    ///
    /// # Errors
    /// `refused` when publishing cannot keep them and nobody has accepted new ones.
    pub fn numbering(&self) -> Result<Numbering, Failure> {
        let content = self.content();
        match self.options.method {
            Method::Archive => Ok(Numbering::Kept { first: content.first_sequence }),
            Method::Publish => {
                let version = self.server.connection.server().version;
                Numbering::decide(content, version, self.options.new_sequences)
            }
        }
    }

    /// What a restore makes, in the backup's sequences.
    pub fn content(&self) -> &Content {
        self.source.content()
    }

    async fn write_archive(&self, state: &TargetState, stop: &mut Stop<'_>) -> Result<Written, Failure> {
        match self.send_archive(state, stop).await {
            Err(failure) if failure.class == Class::TargetNotEmpty => self.take_up(failure, stop).await,
            written => written,
        }
    }

    /// A run that was killed behind its last chunk leaves a server that still unpacks: its stream appears after the next run's plan. It is
    /// that run's own work, and this one goes on with it as if the plan had seen it; all else that appeared is refused.
    async fn take_up(&self, failure: Failure, stop: &mut Stop<'_>) -> Result<Written, Failure> {
        match stop.interrupts(self.plan()).await {
            Ok(TargetState::EqualUnverified) => Ok(self.written(0)),
            Ok(
                left @ (TargetState::Unfinished { .. } | TargetState::Broken(_) | TargetState::Leaderless),
            ) => self.send_archive(&left, stop).await,
            // Nobody knows what stands there while the servers elect, and it may be this restore's own work.
            Err(unseen) if matches!(unseen.class, Class::Interrupted | Class::Unreachable) => Err(unseen),
            _ => Err(failure),
        }
    }

    async fn send_archive(&self, state: &TargetState, stop: &mut Stop<'_>) -> Result<Written, Failure> {
        let place = self.place();
        // Before anything goes, and with what goes: its room may be given back late.
        let limits = stop.interrupts(place.limits()).await?;
        place.make_free(state).await?;
        match archive::send(&self.server, &self.source, &self.options, limits, stop).await {
            Ok(stats) => Ok(self.written(stats.messages)),
            Err(stopped) => Err(place.clean_up_after(stopped).await),
        }
    }

    /// The whole log as an archive makes it, of which this run has sent so much.
    fn written(&self, messages: u64) -> Written {
        let expected = self.source.content().clone();
        Written {
            arrived: Some(Instant::now()),
            messages,
            messages_before: expected.records.saturating_sub(messages),
            numbering: Numbering::Kept { first: expected.first_sequence },
            expectations_left_out: 0,
            expected,
            lines: Lines::Exact,
        }
    }

    async fn write_by_publishing(
        &self,
        state: &TargetState,
        stop: &mut Stop<'_>,
    ) -> Result<Written, Failure> {
        let numbering = self.numbering()?;
        let place = self.place();
        let messages_before = match state {
            TargetState::Unfinished { records } if *records > 0 => *records,
            _ => 0,
        };
        stop.interrupts(place.limits()).await?;
        place.make_publishable(state, numbering, messages_before).await?;
        let connection = self.server.connect_again().await?;
        let progress = &self.options.progress;
        let publishing = publish::publish(&connection, &self.source, numbering, messages_before, progress);
        let published = stop.interrupts(publishing).await?;
        Ok(Written::by_publishing(published, numbering, messages_before))
    }

    fn place(&self) -> Place<'_> {
        Place { server: &self.server, options: &self.options, content: self.source.content() }
    }

    fn lines(&self) -> Result<Lines, Failure> {
        match self.options.method {
            Method::Archive => Ok(Lines::Exact),
            Method::Publish => self.numbering().map(Numbering::lines),
        }
    }
}

/// Longest time that removing an archive restore which was stopped in a cluster takes.
pub const LONGEST_REMOVAL: Duration = Duration::from_secs(40);

/// Longest wait for a name that a cluster lists without showing its stream.
const NAME_WITHOUT_STREAM: Duration = Duration::from_secs(40);
