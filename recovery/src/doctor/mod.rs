//! The calm-day check before any disaster: everything that a recovery needs, looked at without writing anything.
//!
//! A file a thing that is looked at; a check a small function. None stops another: what cannot be looked at says why, and
//! an engine that does not answer leaves the checks of the other one as they are.
//!
//! Invariant: nothing is written, created, started or deleted, in no engine and no folder; subjects are tried with
//! requests that the server must refuse.

mod backups;
mod check;
mod clock;
mod database_disk;
mod keys;
mod log_server;
mod permissions;
mod postgres;
mod roles;
mod settings;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use trstctl_formats::Failure;
use trstctl_ledger::read_model::Watch;
use trstctl_ledger::wire::ConnectOptions;
use trstctl_migrations::connect::Target;

pub use self::check::{Check, State};
use crate::rebuild::Migrate;
use crate::source::Trust;

/// What is looked at: the settings of this host. A setting that cannot be used is a finding, not an error.
pub struct Site {
    /// How to reach the log's server.
    pub nats: Result<ConnectOptions, Failure>,
    /// Name of the stream.
    pub stream: String,
    /// Replicas that the settings ask for.
    pub replicas: Result<u32, Failure>,
    /// How late the log's server writes to disk.
    pub flush: Flush,
    /// How to reach the database.
    pub database: Result<Target, Failure>,
    /// What a restore does about pending migrations.
    pub migrate: Migrate,
    /// Secret files that the settings name.
    pub secrets: Vec<SecretFile>,
    /// Recipients of encrypted backups.
    pub recipients_file: Option<PathBuf>,
    /// The folder of backups.
    pub backup_dir: Option<PathBuf>,
    /// How old the newest backup may be.
    pub max_age: Duration,
    /// What this host may believe of a backup.
    pub trust: Result<Trust, Failure>,
    /// The clock of this host.
    pub clock: fn() -> Timestamp,
}

/// How late the log's server writes to disk, as far as this host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The server does not tell.
    Unknown,
    /// At most so late: an embedded server that was told so.
    Within(Duration),
    /// Before it acknowledges.
    Always,
}

/// A secret file of the settings.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// The check's name.
    pub name: &'static str,
    /// What it is: "audit signing key".
    pub what: &'static str,
    /// Where it is; `None` when none is configured.
    pub path: Option<PathBuf>,
}

/// What the checks of the log tell the others.
#[derive(Clone, Copy, Debug, Default)]
struct LogFacts {
    last_sequence: Option<u64>,
    len_bytes: Option<u64>,
}

/// Checks of the database, and its checkpoint where it could be read.
async fn examine_database(site: &Site) -> Result<(Vec<Check>, Option<u64>), Failure> {
    let (database, migrate, clock) = (site.database.clone(), site.migrate, site.clock);
    let checks = crate::blocking(move || Ok(postgres::examine(database, migrate, clock)));
    match &site.database {
        Ok(target) => Watch::of(target).over(checks).await,
        Err(_) => checks.await,
    }
}

/// Runs every check, in the order of the report.
pub async fn examine(site: Site) -> Vec<Check> {
    // The database first: what it has applied the log had by then, and only a log that is read later must have it.
    let (of_database, checkpoint) = match examine_database(&site).await {
        Ok(examined) => examined,
        Err(failure) => (postgres::unreachable_database(&failure), None),
    };
    let (mut checks, facts) = log_server::examine(&site).await;
    checks.extend(of_database);
    checks.extend(checkpoint.map(|checkpoint| postgres::projection(checkpoint, facts.last_sequence)));
    checks.extend(keys::examine(&site));
    checks.extend(backups::examine(&site, facts.len_bytes));
    checks
}
