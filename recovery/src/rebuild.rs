//! Rebuild: make the read model equal to the fold of the log, after the migrations that it needs.
//!
//! Before a restore writes anything, [`Database::check`] proves that all of this can be done: it rehearses roles and
//! migrations in one transaction that is taken back, proves that the owner sees every row, and that no rebuild is running.
//! What is there of the read model does not matter.

use std::sync::{Arc, Mutex, PoisonError};

use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::{EventLog, LogState};
use trstctl_ledger::read_model::{
    self, Additions, DiffOptions, DriftReport, ReadModel, ReadModelError, RebuildOptions, RepairReport, Watch,
};
use trstctl_migrations::connect::Target;
use trstctl_migrations::{Addition, Error, Rehearsal, Runner, roles};

use crate::plan::{Plan, rates};
use crate::progress::{Phases, Progress, Unit};
use crate::{blocking, in_session};

/// Additions of others that are named.
const SHOWN_ADDITIONS: usize = 8;

/// The database of the read model, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Database {
    /// How to reach it.
    pub target: Target,
    /// Whether pending migrations are applied.
    pub migrate: Migrate,
    /// Memory for folded rows, in bytes.
    pub memory_bytes: usize,
    /// What becomes of what others have hung on the read model; where it is to be kept, [`Database::check`] refuses.
    pub additions: Additions,
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
    rehearsal: Rehearsal,
    warnings: Vec<String>,
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
    /// What the operator should know: logins that see every tenant's rows without SET ROLE.
    pub warnings: Vec<String>,
    /// Version of the database server, as it says it.
    pub postgres_version: String,
}

/// What a database is like once its migrations were applied.
struct Migrated {
    applied: Vec<&'static str>,
    warnings: Vec<String>,
    postgres_version: String,
}

impl Database {
    /// Proves that the server answers, is new enough, takes roles and migrations, shows the owner every row, that nothing of
    /// others would go with the old read model, and that no rebuild is running. Changes nothing.
    pub async fn check(&self) -> Result<Checked, Failure> {
        let database = self.clone();
        in_session(&self.target, move |client| {
            let rehearsal = Runner::default().rehearse(client)?;
            if database.migrate == Migrate::Refuse {
                refuse_pending(&rehearsal)?;
            }
            if database.additions == Additions::Keep {
                refuse_additions(&rehearsal)?;
            }
            if !Runner::default().rebuild_may_begin(client)? {
                return Err(ReadModelError::RebuildRunning.into());
            }
            let warnings = inheriting(roles::inheriting_logins(client)?);
            Ok(Checked { database, rehearsal, warnings })
        })
        .await
    }

    /// The model, for whoever only looks at it.
    async fn model(&self) -> Result<ReadModel, Failure> {
        Ok(ReadModel::open(self.target.clone()).await?)
    }
}

fn refuse_pending(rehearsal: &Rehearsal) -> Result<(), Failure> {
    let pending: Vec<_> = rehearsal.pending.iter().map(|migration| migration.name.to_owned()).collect();
    let missing = [pending, rehearsal.roles.clone()].concat();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Class::Refused,
        format!(
            "migrations, roles or grants are pending, and TRSTCTL_MIGRATE_AUTO is false: {}",
            missing.join("; ")
        ),
        "Run them with trstctl-server --migrate, or unset TRSTCTL_MIGRATE_AUTO.",
    ))
}

/// A rebuild makes the schema anew.
fn refuse_additions(rehearsal: &Rehearsal) -> Result<(), Failure> {
    if rehearsal.additions.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Class::Refused,
        format!(
            "a rebuild would drop what others have hung on the read model: {}",
            named(&rehearsal.additions)
        ),
        "Nothing was changed. Keep their definitions (pg_dump --schema-only), run the same command with --drop-additions, and make them anew.",
    ))
}

fn named(additions: &[Addition]) -> String {
    let (shown, more) = additions.split_at(additions.len().min(SHOWN_ADDITIONS));
    let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    match more.len() {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

fn inheriting(logins: Vec<roles::InheritingLogin>) -> Vec<String> {
    logins.iter().map(|login| format!("{login}. {}", login.remedy())).collect()
}

impl Checked {
    /// The plan of [`migrate_and_rebuild`] alone.
    pub async fn plan_of<L: EventLog>(&self, log: &L) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        self.plan(&mut plan, log.state().await?.messages);
        Ok(plan)
    }

    /// Adds what [`migrate_and_rebuild`] will do with a log of so many events.
    pub fn plan(&self, plan: &mut Plan, events: u64) {
        let Rehearsal { roles, pending, additions } = &self.rehearsal;
        for statement in roles {
            plan.writes("postgres", format!("run {statement}"), None);
        }
        if let Some(first) = pending.first() {
            let what = format!("apply {} migrations ({} …)", pending.len(), first.name);
            plan.writes("postgres", what, None);
        }
        let what = format!(
            "rebuild read_model from {events} events beside its readers, and swap it in; public stays as it is"
        );
        plan.writes("postgres", what, rates::estimate_ms(events, rates::REBUILD_EVENTS));
        if !additions.is_empty() {
            let what =
                format!("drop with the old read_model what others have hung on it: {}", named(additions));
            plan.writes("postgres", what, None);
        }
        plan.warnings.extend(self.warnings.iter().cloned());
    }
}

/// Makes missing roles and grants, applies pending migrations, then makes the read model anew.
pub async fn migrate_and_rebuild<L: EventLog>(
    log: &L,
    checked: Checked,
    phases: &mut Phases,
) -> Result<RebuildReport, Failure> {
    let watch = Watch::of(&checked.database.target);
    watch.over(watched_rebuild(&watch.log(log), checked.database, phases, &watch)).await
}

async fn watched_rebuild<L: EventLog>(
    log: &L,
    database: Database,
    phases: &mut Phases,
    watch: &Watch,
) -> Result<RebuildReport, Failure> {
    let running = phases.begin("migrate", None, Unit::Steps);
    let Migrated { applied: migrated, warnings, postgres_version } = migrate(&database).await?;
    running.end(migrated.len() as u64);
    let state = log.state().await?;
    let running = phases.begin("rebuild", Some(state.messages), Unit::Events);
    let steps = Steps::new(running.shared_progress(), watch);
    let options = RebuildOptions { memory_bytes: database.memory_bytes, additions: database.additions };
    let report =
        read_model::rebuild(&database.target, log, options, &|progress| steps.tell(progress)).await?;
    running.end(report.events);
    let public_rows = public_rows(&database.target).await.map_err(|source| ReadModelError::AfterSwap {
        checkpoint: report.checkpoint,
        source: Box::new(source),
    })?;
    Ok(RebuildReport { model: report, migrated, public_rows, warnings, postgres_version })
}

async fn public_rows(target: &Target) -> Result<Vec<(String, u64)>, ReadModelError> {
    ReadModel::open(target.clone()).await?.public_row_counts().await
}

/// Runs always, since roles and grants may be missing where no migration is.
async fn migrate(database: &Database) -> Result<Migrated, Failure> {
    let target = database.target.clone();
    blocking(move || {
        let mut client = target.open()?;
        let applied = Runner::default().run(&mut client)?;
        let warnings = inheriting(roles::inheriting_logins(&mut client)?);
        Ok(Migrated {
            applied: applied.iter().map(|migration| migration.name).collect(),
            warnings,
            postgres_version: server_version(&mut client)?,
        })
    })
    .await
}

fn server_version(client: &mut postgres::Client) -> Result<String, Failure> {
    let version = client
        .query_one("SELECT current_setting('server_version')", &[])
        .map_err(|error| Error::from_statement("the server's version cannot be read", &error))?;
    Ok(version.get(0))
}

/// Compares the read model with the fold of the log; changes nothing.
pub async fn diff<L: EventLog>(
    log: &L,
    database: &Database,
    max_listed: usize,
    phases: &mut Phases,
) -> Result<Difference, Failure> {
    let watch = Watch::of(&database.target);
    watch.over(watched_diff(&watch.log(log), database, max_listed, phases, &watch)).await
}

async fn watched_diff<L: EventLog>(
    log: &L,
    database: &Database,
    max_listed: usize,
    phases: &mut Phases,
    watch: &Watch,
) -> Result<Difference, Failure> {
    let mut model = database.model().await?;
    let LogState { messages, .. } = log.state().await?;
    let running = phases.begin("compare", Some(messages), Unit::Events);
    let steps = Steps::new(running.shared_progress(), watch);
    let options = DiffOptions { memory_bytes: database.memory_bytes, max_listed };
    let drift = model.diff(log, options, &|progress| steps.tell(progress)).await?;
    running.end(drift.events);
    let (_, digests) = model.digests().await?;
    Ok(Difference { drift, digests })
}

/// Makes the rows that differ from the fold of the log equal to it, readers undisturbed.
pub async fn repair<L: EventLog>(
    log: &L,
    database: &Database,
    max_listed: usize,
    phases: &mut Phases,
) -> Result<Repaired, Failure> {
    let watch = Watch::of(&database.target);
    watch.over(watched_repair(&watch.log(log), database, max_listed, phases, &watch)).await
}

async fn watched_repair<L: EventLog>(
    log: &L,
    database: &Database,
    max_listed: usize,
    phases: &mut Phases,
    watch: &Watch,
) -> Result<Repaired, Failure> {
    let target = database.target.clone();
    let pending = blocking(move || Ok(Runner::default().pending(&mut target.open()?)?)).await?;
    if let Some(first) = pending.first() {
        return Err(outdated(first.name));
    }
    let mut model = database.model().await?;
    let LogState { messages, .. } = log.state().await?;
    let running = phases.begin("repair", Some(messages), Unit::Events);
    let steps = Steps::new(running.shared_progress(), watch);
    let options = DiffOptions { memory_bytes: database.memory_bytes, max_listed };
    let repair = model.repair(log, options, &|progress| steps.tell(progress)).await?;
    running.end(repair.after.events);
    let (_, digests) = model.digests().await?;
    Ok(Repaired { repair, digests })
}

/// What this program makes of the log is not what such a model should hold.
fn outdated(first: &str) -> Failure {
    Failure::new(
        Class::Refused,
        format!("migrations are pending, from {first} on: rows would be mended to those of another release"),
        "Use the release that the servers run, or run trstctl-dr rebuild, which migrates.",
    )
}

/// What a repair gives.
#[derive(Debug)]
pub struct Repaired {
    /// What was mended, and what differs now.
    pub repair: RepairReport,
    /// State digests of the model as it is now.
    pub digests: trstctl_ledger::projection::ModelDigest,
}

/// What a comparison of model and log gives.
#[derive(Debug)]
pub struct Difference {
    /// What differs.
    pub drift: DriftReport,
    /// State digests of the model as it is.
    pub digests: trstctl_ledger::projection::ModelDigest,
}

/// Passes the ledger's progress on: events counted while the log is read, the other steps by name. The watch hears of both.
struct Steps<'a> {
    progress: Arc<dyn Progress>,
    step: Mutex<&'static str>,
    watch: &'a Watch,
}

impl<'a> Steps<'a> {
    fn new(progress: Arc<dyn Progress>, watch: &'a Watch) -> Self {
        Self { progress, step: Mutex::new(""), watch }
    }

    fn tell(&self, progress: read_model::Progress) {
        self.watch.work_moves();
        let step = match progress {
            read_model::Progress::Reading { events, .. } => return self.progress.done(events),
            read_model::Progress::Writing => "writing rows",
            read_model::Progress::Indexing => "making indexes",
            read_model::Progress::CatchingUp => "catching up",
            read_model::Progress::Swapping => "swapping in",
            read_model::Progress::Checking => "checking",
            read_model::Progress::Repairing => "mending rows",
        };
        let mut last = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != step {
            *last = step;
            self.progress.step(step);
        }
    }
}
