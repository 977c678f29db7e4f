//! Rebuild: make the read model equal to the fold of the log, after the migrations that it needs.
//!
//! Before a restore writes anything, [`Database::check`] proves that all of this can be done: it rehearses roles and
//! migrations in one transaction that is taken back.

use std::sync::{Arc, Mutex, PoisonError};

use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::{EventLog, LogState};
use trstctl_ledger::read_model::{self, DiffOptions, DriftReport, ReadModel, RebuildOptions};
use trstctl_migrations::Runner;
use trstctl_migrations::connect::Target;

use crate::blocking;
use crate::plan::{Plan, rates};
use crate::progress::{Phases, Progress, Unit};

/// The database of the read model, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Database {
    /// How to reach it.
    pub target: Target,
    /// Whether pending migrations are applied.
    pub migrate: Migrate,
    /// Memory for folded rows, in bytes.
    pub memory_bytes: usize,
}

/// What to do about pending migrations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migrate {
    /// Apply them.
    #[default]
    Auto,
    /// Refuse (`TRSTCTL_MIGRATE_AUTO=false`).
    Refuse,
}

/// A database that was checked.
pub struct Checked {
    database: Database,
    pending: Vec<&'static str>,
}

/// A finished rebuild.
#[derive(Debug)]
pub struct RebuildReport {
    /// What the read model holds now.
    pub model: read_model::RebuildReport,
    /// Migrations that were applied before.
    pub migrated: Vec<&'static str>,
    /// Rows of the tables of `public`, which were left as they are.
    pub public_rows: Vec<(String, u64)>,
}

impl Database {
    /// Proves that the server answers, is new enough, and takes roles and migrations. Changes nothing.
    pub async fn check(&self) -> Result<Checked, Failure> {
        let database = self.clone();
        blocking(move || {
            let mut client = database.target.open()?;
            let pending: Vec<_> = Runner::default()
                .rehearse(&mut client)?
                .pending
                .iter()
                .map(|migration| migration.name)
                .collect();
            if database.migrate == Migrate::Refuse && !pending.is_empty() {
                return Err(Failure::new(
                    Class::Refused,
                    format!(
                        "migrations are pending, and TRSTCTL_MIGRATE_AUTO is false: {}",
                        pending.join(", ")
                    ),
                    "Run them with trstctl-server --migrate, or unset TRSTCTL_MIGRATE_AUTO.",
                ));
            }
            Ok(Checked { database, pending })
        })
        .await
    }

    /// The model, for whoever only looks at it.
    async fn model(&self) -> Result<ReadModel, Failure> {
        Ok(ReadModel::open(self.target.clone()).await?)
    }
}

impl Checked {
    /// Adds what [`migrate_and_rebuild`] will do with a log of so many events.
    pub fn plan(&self, plan: &mut Plan, events: u64) {
        if !self.pending.is_empty() {
            plan.writes(
                "postgres",
                format!("apply {} migrations ({} …)", self.pending.len(), self.pending[0]),
                None,
            );
        }
        let what = format!(
            "rebuild read_model from {events} events beside its readers, and swap it in; public stays as it is"
        );
        plan.writes("postgres", what, rates::estimate_ms(events, rates::REBUILD_EVENTS));
    }
}

/// Applies pending migrations, then makes the read model anew.
pub async fn migrate_and_rebuild<L: EventLog>(
    log: &L,
    checked: Checked,
    phases: &mut Phases,
) -> Result<RebuildReport, Failure> {
    let Checked { database, pending } = checked;
    if !pending.is_empty() {
        let running = phases.begin("migrate", None, Unit::Steps);
        migrate(&database).await?;
        running.end(pending.len() as u64);
    }
    let model = database.model().await?;
    let state = log.state().await?;
    let running = phases.begin("rebuild", Some(state.messages), Unit::Events);
    let steps = Steps::new(running.shared_progress());
    let options = RebuildOptions { memory_bytes: database.memory_bytes };
    let report = model.rebuild(log, options, &|progress| steps.tell(progress)).await?;
    running.end(report.events);
    let public_rows = model.public_row_counts().await?;
    Ok(RebuildReport { model: report, migrated: pending, public_rows })
}

async fn migrate(database: &Database) -> Result<(), Failure> {
    let target = database.target.clone();
    blocking(move || {
        let mut client = target.open()?;
        Runner::default().run(&mut client)?;
        Ok(())
    })
    .await
}

/// Compares the read model with the fold of the log; changes nothing.
pub async fn diff<L: EventLog>(
    log: &L,
    database: &Database,
    max_listed: usize,
    phases: &mut Phases,
) -> Result<Difference, Failure> {
    let mut model = database.model().await?;
    let LogState { messages, .. } = log.state().await?;
    let running = phases.begin("compare", Some(messages), Unit::Events);
    let steps = Steps::new(running.shared_progress());
    let options = DiffOptions { memory_bytes: database.memory_bytes, max_listed };
    let drift = model.diff(log, options, &|progress| steps.tell(progress)).await?;
    running.end(drift.events);
    let (_, digests) = model.digests().await?;
    Ok(Difference { drift, digests })
}

/// What a comparison of model and log gives.
#[derive(Debug)]
pub struct Difference {
    /// What differs.
    pub drift: DriftReport,
    /// State digests of the model as it is.
    pub digests: trstctl_ledger::projection::ModelDigest,
}

/// Passes the ledger's progress on: events counted while the log is read, the other steps by name.
struct Steps {
    progress: Arc<dyn Progress>,
    step: Mutex<&'static str>,
}

impl Steps {
    fn new(progress: Arc<dyn Progress>) -> Self {
        Self { progress, step: Mutex::new("") }
    }

    fn tell(&self, progress: read_model::Progress) {
        let step = match progress {
            read_model::Progress::Reading { events, .. } => return self.progress.done(events),
            read_model::Progress::Writing { .. } => "writing rows",
            read_model::Progress::Indexing => "making indexes",
            read_model::Progress::CatchingUp => "catching up",
            read_model::Progress::Swapping => "swapping in",
            read_model::Progress::Checking => "checking",
        };
        let mut last = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != step {
            *last = step;
            self.progress.step(step);
        }
    }
}
