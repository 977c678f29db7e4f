//! The read model in PostgreSQL: one apply path for live tail, catch-up and rebuild; checkpoint, faults, shadow rebuild
//! with atomic swap, state digests, and the difference between the model and the fold of the log.
//!
//! Invariant: the rows of `read_model` are the fold of the log's messages up to the checkpoint, because rows and
//! checkpoint are written in one transaction, under one lock, and messages at or below the checkpoint are skipped.
//! Persistence is driven by [`crate::projection::Table`] and knows nothing of what a column means.

mod apply;
mod binary;
mod compare;
mod copy;
mod dangling;
mod digests;
mod drift;
mod error;
mod faults;
mod fill;
mod load;
mod rebuild;
mod repair;
mod report;
mod schema;
mod session;
mod store;
mod swap;
mod watch;

use trstctl_migrations::connect::Target;
use trstctl_migrations::{Manifest, PUBLIC, RecoveryClass};

pub use self::apply::{Applied, BatchSize};
pub use self::drift::{DiffOptions, DriftReport, DriftedRow, Kind as DriftKind};
use self::error::During;
pub use self::error::ReadModelError;
pub use self::faults::{Fault, Faults};
pub use self::rebuild::{Progress, RebuildOptions, rebuild};
pub use self::repair::RepairReport;
pub use self::report::{DanglingCount, KeptFor, Leftover, RebuildReport, Timings};
pub use self::schema::Additions;
use self::schema::Schema;
use self::session::Session;
pub use self::watch::{Watch, WatchedLog, WatchedReader};

/// The read model of one database, through one session that acts as the owner role.
#[derive(Debug)]
pub struct ReadModel {
    target: Target,
    session: Session,
    schema: Schema,
}

impl ReadModel {
    /// Connects and proves what everything else relies on: the session acts as the owner, the owner's policy shows it
    /// every row of every tenant table (trap 7), and the tables are those that the projection fills.
    pub async fn connect(dsn: &str) -> Result<Self, ReadModelError> {
        Self::open(Target::from_dsn(dsn)?).await
    }

    /// The same for a target that was read before.
    pub async fn open(target: Target) -> Result<Self, ReadModelError> {
        let session = Session::open(&target).await?;
        let schema = Schema::live();
        session.prove_owner_of(schema.as_str()).await?;
        schema::check_columns(session.client(), &schema).await?;
        Ok(Self { target, session, schema })
    }

    /// The last sequence that was applied.
    pub async fn checkpoint(&self) -> Result<u64, ReadModelError> {
        apply::read_checkpoint(self.session.client()).await
    }

    /// Rows of the read model in all, by table, in the order of [`crate::projection::Table::ALL`].
    pub async fn row_counts(&self) -> Result<Vec<(String, u64)>, ReadModelError> {
        let tables = crate::projection::Table::ALL.map(|table| self.schema.table(table));
        self.count(tables.to_vec()).await
    }

    /// Rows of the tables of `public`, which no rebuild touches: for the report of a restore.
    pub async fn public_row_counts(&self) -> Result<Vec<(String, u64)>, ReadModelError> {
        let manifest = Manifest::embedded();
        let independent = manifest.of_class(RecoveryClass::PostgresBackup);
        let ephemeral = manifest.of_class(RecoveryClass::Ephemeral);
        self.count(independent.chain(ephemeral).map(|table| format!("{PUBLIC}.{table}")).collect()).await
    }

    async fn count(&self, tables: Vec<String>) -> Result<Vec<(String, u64)>, ReadModelError> {
        let mut counts = Vec::with_capacity(tables.len());
        for table in tables {
            let sql = format!("SELECT count(*) FROM {table}");
            let row = self.session.client().query_one(&sql, &[]).await.during("counting rows")?;
            counts.push((table, u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()));
        }
        Ok(counts)
    }
}
