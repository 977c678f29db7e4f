//! Rebuild: a new read model from the whole log, beside the old one, swapped in when it is complete.
//!
//! The order: the rebuild lock; what killed runs left is dropped; a shadow with bare tables; the log, folded, copied;
//! keys, indexes, policies; what arrived meanwhile; the swap; the old model is dropped. Until the swap the old model is
//! what it was, whatever happens.

use std::time::{Duration, Instant};

use trstctl_migrations::connect::Target;
use trstctl_migrations::files::Phase;
use trstctl_migrations::lock_keys;

use super::ReadModel;
use super::apply;
use super::dangling::dangling;
use super::digests::digest;
use super::error::{During, ReadModelError};
use super::load::Loading;
use super::report::{DanglingCount, Leftover, RebuildReport, Timings};
use super::schema::{self, Additions, Schema};
use super::session::Session;
use super::swap::{self, Dropped, Position};
use crate::log::EventLog;
use crate::projection::{ModelDigest, Table};

/// How often, and after which pauses, the rebuild lock is tried: for fifteen seconds, within which the server has noticed that a
/// killed rebuild is gone.
const LOCK_ATTEMPTS: u32 = 75;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// How to rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildOptions {
    /// Memory for folded rows, in bytes; beyond it they are written and merged later. Batches in flight come on top.
    pub memory_bytes: usize,
    /// What becomes of what others have hung on the old model.
    pub additions: Additions,
}

impl Default for RebuildOptions {
    /// 512 MiB: about as many rows as a log of two million events leaves are folded without a pause.
    fn default() -> Self {
        Self { memory_bytes: 512 * 1024 * 1024, additions: Additions::Keep }
    }
}

/// How far a rebuild, a diff or a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Events read and folded, of how many the log held at the start.
    Reading {
        /// Read so far.
        events: u64,
        /// In the log.
        total: u64,
    },
    /// Folded rows are being copied or merged, and keys made.
    Writing,
    /// Other indexes, policies.
    Indexing,
    /// Events that arrived meanwhile.
    CatchingUp,
    /// The new model is about to take the old one's place.
    Swapping,
    /// Digests and references are being checked, or rows compared.
    Checking,
    /// Rows that differ are being made what the log makes of them.
    Repairing,
}

/// Where progress goes.
pub(super) type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

impl ReadModel {
    /// The same as [`rebuild()`], on connections of its own.
    pub async fn rebuild<L: EventLog>(
        &self,
        log: &L,
        options: RebuildOptions,
        progress: OnProgress<'_>,
    ) -> Result<RebuildReport, ReadModelError> {
        rebuild(&self.target, log, options, progress).await
    }
}

/// Makes the read model equal to the fold of the log, without disturbing its readers. Of the model that is there it needs
/// nothing: it may be lost, or changed by hand. Dropping the future stops it; the old model stays then, and the next
/// run cleans up.
///
/// # Errors
/// [`ReadModelError::RebuildRunning`] when another one is running; [`ReadModelError::Blocked`] when every
/// attempt of the swap was in vain; [`ReadModelError::AfterSwap`] when the new model is in place all the same.
pub async fn rebuild<L: EventLog>(
    target: &Target,
    log: &L,
    options: RebuildOptions,
    progress: OnProgress<'_>,
) -> Result<RebuildReport, ReadModelError> {
    let mut session = Exclusive::begin(target).await?;
    let outcome = session.rebuild(target, log, options, progress).await;
    session.end(outcome).await
}

/// A session that holds the rebuild lock, and the shadow that it builds.
pub(super) struct Exclusive {
    pub(super) session: Session,
    pub(super) shadow: Schema,
    /// What earlier runs left and could not be dropped.
    leftovers: Vec<Leftover>,
}

impl Exclusive {
    /// Takes the lock and drops what killed runs left, but for replaced models that others need.
    pub(super) async fn begin(target: &Target) -> Result<Self, ReadModelError> {
        let session = Session::open(target).await?;
        lock(&session).await?;
        let mut leftovers = Vec::new();
        for leftover in schema::leftovers(session.client()).await? {
            let additions = if leftover.is_shadow() { Additions::Drop } else { Additions::Keep };
            let dropped = swap::drop_gently(&session, &leftover, additions).await?;
            leftovers.extend(Leftover::of(&leftover, dropped));
        }
        session.client().batch_execute("RESET lock_timeout").await.during("preparing the session")?;
        swap::prove_rebuild_lock(session.client()).await?;
        Ok(Self { session, shadow: Schema::shadow(), leftovers })
    }

    /// Drops what is left of the shadow after a failure and gives the lock back.
    pub(super) async fn end<T>(self, outcome: Result<T, ReadModelError>) -> Result<T, ReadModelError> {
        let client = self.session.client();
        if outcome.is_err() {
            // Where this fails too, the next run does it.
            let _ = swap::drop_gently(&self.session, &self.shadow, Additions::Drop).await;
        }
        // The session ends in any case, and its lock with it.
        let _ = client.batch_execute(&format!("SELECT pg_advisory_unlock({})", lock_keys::REBUILD)).await;
        outcome
    }

    /// The same when the shadow has served, whatever came of it.
    pub(super) async fn end_without_shadow<T>(
        self,
        outcome: Result<T, ReadModelError>,
    ) -> Result<T, ReadModelError> {
        let dropped = swap::drop_gently(&self.session, &self.shadow, Additions::Drop).await;
        self.end(outcome.and_then(|value| dropped.map(|_| value))).await
    }

    async fn rebuild<L: EventLog>(
        &mut self,
        target: &Target,
        log: &L,
        options: RebuildOptions,
        progress: OnProgress<'_>,
    ) -> Result<RebuildReport, ReadModelError> {
        let begun = Instant::now();
        let state = log.state().await?;
        let mut built = self.build(target, log, state.last_sequence, options, progress).await?;
        let mut lap = Instant::now();
        self.session.prove_owner_of(self.shadow.as_str()).await?;
        progress(Progress::CatchingUp);
        swap::catch_up(&mut self.session, &self.shadow, log, &mut built.position).await?;
        built.timings.catch_up = take_lap(&mut lap);
        progress(Progress::Swapping);
        let swap_attempts = swap::swap(&mut self.session, &self.shadow, log, &mut built.position).await?;
        built.timings.swap = take_lap(&mut lap);
        let checkpoint = built.position.sequence;
        let after = self.after_swap(target, options.additions, progress, &mut built.timings, lap).await;
        let checked =
            after.map_err(|source| ReadModelError::AfterSwap { checkpoint, source: Box::new(source) })?;
        built.timings.total = begun.elapsed();
        Ok(RebuildReport {
            checkpoint: built.position.sequence,
            events: built.position.events,
            projected: built.position.counts.projected,
            not_projected: built.position.counts.not_projected,
            faults: built.position.counts.quarantined,
            digests: checked.digests,
            digests_checkpoint: checked.checkpoint,
            dangling: checked.dangling,
            spills: built.spills,
            swap_attempts,
            leftovers: std::mem::take(&mut self.leftovers),
            timings: built.timings,
        })
    }

    /// Drops the old model and reads the new one back.
    async fn after_swap(
        &mut self,
        target: &Target,
        additions: Additions,
        progress: OnProgress<'_>,
        timings: &mut Timings,
        mut lap: Instant,
    ) -> Result<Checked, ReadModelError> {
        let retired = self.shadow.retired();
        let dropped = swap::drop_gently(&self.session, &retired, additions).await?;
        self.leftovers.extend(Leftover::of(&retired, dropped));
        timings.drop = take_lap(&mut lap);
        progress(Progress::Checking);
        let (checked, ()) = tokio::try_join!(check(&mut self.session, target), analyze(target))?;
        timings.check = take_lap(&mut lap);
        Ok(checked)
    }

    /// Builds the whole shadow up to this sequence.
    pub(super) async fn build<L: EventLog>(
        &mut self,
        target: &Target,
        log: &L,
        through: u64,
        options: RebuildOptions,
        progress: OnProgress<'_>,
    ) -> Result<Built, ReadModelError> {
        self.shadow.create(self.session.client()).await?;
        schema::check_columns(self.session.client(), &self.shadow).await?;
        let total = log.state().await?.messages;
        let reader = if through > 0 { Some(log.read(1, through).await?) } else { None };
        let loading = Loading::begin(target, &self.shadow, options.memory_bytes, progress, total).await?;
        let loaded = loading.run(reader).await?;
        progress(Progress::Indexing);
        let mut lap = Instant::now();
        self.shadow.add(self.session.client(), Phase::Access).await?;
        let timings = Timings {
            read_and_fold: loaded.read_and_fold,
            write: loaded.write,
            index: take_lap(&mut lap),
            ..Timings::default()
        };
        let position = Position { sequence: through, counts: loaded.counts, events: loaded.events };
        Ok(Built { position, spills: loaded.spills, timings })
    }
}

impl Leftover {
    fn of(schema: &Schema, dropped: Dropped) -> Option<Self> {
        match dropped {
            Dropped::Yes => None,
            Dropped::No(kept_for) => Some(Self { schema: schema.to_string(), kept_for }),
        }
    }
}

/// What the new model holds, read back.
struct Checked {
    checkpoint: u64,
    digests: ModelDigest,
    dangling: Vec<DanglingCount>,
}

/// Digests and references side by side, in one snapshot.
async fn check(session: &mut Session, target: &Target) -> Result<Checked, ReadModelError> {
    let live = Schema::live();
    let snapshot = session.begin_snapshot().await?;
    let what = "sharing a snapshot";
    let id: String = snapshot.query_one("SELECT pg_export_snapshot()", &[]).await.during(what)?.get(0);
    let checkpoint = apply::read_checkpoint(&snapshot).await?;
    let dangling = async {
        let mut session = Session::open(target).await?;
        let same = session.begin_snapshot().await?;
        same.batch_execute(&format!("SET TRANSACTION SNAPSHOT '{id}'")).await.during(what)?;
        dangling(&same, &live).await
    };
    let (digests, dangling) = tokio::try_join!(digest(&snapshot, &live), dangling)?;
    Ok(Checked { checkpoint, digests, dangling })
}

/// First statistics of the new tables, from small samples: the server refines them by itself.
async fn analyze(target: &Target) -> Result<(), ReadModelError> {
    let session = Session::open(target).await?;
    let tables = Table::ALL.map(|table| Schema::live().table(table)).join(", ");
    let sql = format!("SET default_statistics_target = 20; ANALYZE {tables}");
    session.client().batch_execute(&sql).await.during("gathering statistics")
}

/// Takes the rebuild lock. It is tried for some seconds, since the server notices within one that a killed run is gone.
async fn lock(session: &Session) -> Result<(), ReadModelError> {
    let sql = format!("SELECT pg_try_advisory_lock({})", lock_keys::REBUILD);
    for _ in 0..LOCK_ATTEMPTS {
        let locked = session.client().query_one(&sql, &[]).await.during("taking the rebuild lock")?;
        if locked.get(0) {
            return Ok(());
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(ReadModelError::RebuildRunning)
}

/// A shadow that holds the fold of the log up to a position.
pub(super) struct Built {
    pub(super) position: Position,
    pub(super) spills: u64,
    pub(super) timings: Timings,
}

fn take_lap(lap: &mut Instant) -> Duration {
    let elapsed = lap.elapsed();
    *lap = Instant::now();
    elapsed
}
