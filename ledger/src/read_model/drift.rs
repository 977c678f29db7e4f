//! Drift: where the read model differs from the fold of the log, by table, tenant and key; and references of the model to
//! rows that are not there, which no key enforces. Nothing is changed.
//!
//! The log is folded into a throw-away shadow, with the bounded memory of a rebuild, and compared set-wise in one snapshot
//! in which the model's checkpoint and the shadow's position are the same sequence. What the model has not applied yet is
//! lag, not drift, and is told apart.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::TryStreamExt;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::ReadModel;
use super::apply::{check_ahead, read_checkpoint};
use super::compare;
use super::dangling::dangling;
use super::error::{During, ReadModelError};
use super::rebuild::{Exclusive, OnProgress, Progress, RebuildOptions};
use super::report::DanglingCount;
use super::schema::Schema;
use super::session::Session;
use super::swap::{self, Position, Through};
use crate::log::EventLog;
use crate::projection::{Row, Table};

/// How often the projection lock is asked for.
const ATTEMPTS: u32 = 200;

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffOptions {
    /// Memory for folded rows, in bytes.
    pub memory_bytes: usize,
    /// Rows of each table that the report lists one by one; all are counted.
    pub max_listed: usize,
}

impl Default for DiffOptions {
    /// As a rebuild; ten thousand rows a table.
    fn default() -> Self {
        Self { memory_bytes: RebuildOptions::default().memory_bytes, max_listed: 10_000 }
    }
}

/// What is wrong with a row of the read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The log makes it, and the model does not have it.
    Missing,
    /// The model has it, and the log does not make it.
    Extra,
    /// Its values are others than the log makes.
    Changed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Changed => "changed",
        })
    }
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftedRow {
    /// Its table.
    pub table: Table,
    /// Its tenant; only a fault may have none.
    pub tenant: Option<Uuid>,
    /// Its key, one value a column of [`Table::key`].
    pub key: Row,
    /// What is wrong with it.
    pub kind: Kind,
    /// The columns that differ, of a changed row.
    pub columns: Vec<String>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriftReport {
    /// The sequence at which model and log were compared: the model's checkpoint.
    pub checkpoint: u64,
    /// The log's last sequence; beyond the checkpoint the model merely lags.
    pub last_sequence: u64,
    /// Messages of the log that were folded.
    pub events: u64,
    /// How many rows differ, by table, tenant and kind; tables and tenants without drift are left out.
    pub counts: BTreeMap<(Table, Option<Uuid>, Kind), u64>,
    /// The first of each table, by table and key.
    pub rows: Vec<DriftedRow>,
    /// References of the model, as it is, to rows that are not there.
    pub dangling: Vec<DanglingCount>,
}

impl DriftReport {
    /// How many rows differ.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Not all rows that differ are listed.
    pub fn is_cut(&self) -> bool {
        self.total() > self.rows.len() as u64
    }

    /// Something needs a person: rows that differ, dangling references.
    pub fn has_findings(&self) -> bool {
        self.total() > 0 || !self.dangling.is_empty()
    }
}

impl ReadModel {
    /// Compares the read model with the fold of the log up to the model's checkpoint. Holds the rebuild lock; readers and
    /// the live tail go on.
    ///
    /// # Errors
    /// [`ReadModelError::CheckpointAhead`] when the model has applied what the log does not hold.
    pub async fn diff<L: EventLog>(
        &self,
        log: &L,
        options: DiffOptions,
        progress: OnProgress<'_>,
    ) -> Result<DriftReport, ReadModelError> {
        let (mut exclusive, checkpoint) = self.begin_comparing(log).await?;
        let outcome = self.diff_in(&mut exclusive, log, checkpoint, options, progress).await;
        exclusive.end_without_shadow(outcome).await
    }

    /// Takes the rebuild lock, for a fold of the log up to the model's checkpoint, which is answered.
    pub(super) async fn begin_comparing<L: EventLog>(
        &self,
        log: &L,
    ) -> Result<(Exclusive, u64), ReadModelError> {
        let checkpoint = self.checkpoint().await?;
        check_ahead(checkpoint, log.state().await?.last_sequence)?;
        Ok((Exclusive::begin(&self.target).await?, checkpoint))
    }

    async fn diff_in<L: EventLog>(
        &self,
        exclusive: &mut Exclusive,
        log: &L,
        checkpoint: u64,
        options: DiffOptions,
        progress: OnProgress<'_>,
    ) -> Result<DriftReport, ReadModelError> {
        let rebuild = RebuildOptions { memory_bytes: options.memory_bytes, ..RebuildOptions::default() };
        let mut built = exclusive.build(&self.target, log, checkpoint, rebuild, progress).await?;
        compare_at_checkpoint(exclusive, log, &mut built.position, options.max_listed, progress).await
    }
}

/// Compares model and shadow in one snapshot, at the model's checkpoint.
pub(super) async fn compare_at_checkpoint<L: EventLog>(
    exclusive: &mut Exclusive,
    log: &L,
    position: &mut Position,
    max_listed: usize,
    progress: OnProgress<'_>,
) -> Result<DriftReport, ReadModelError> {
    progress(Progress::Checking);
    let Exclusive { session, shadow, .. } = exclusive;
    let snapshot = snapshot_at_checkpoint(session, shadow, log, position).await?;
    let mut report = DriftReport {
        checkpoint: position.sequence,
        last_sequence: log.state().await?.last_sequence,
        events: position.events,
        ..DriftReport::default()
    };
    for table in Table::ALL {
        compare(&snapshot, table, shadow, max_listed, &mut report, progress).await?;
    }
    report.dangling = dangling(&snapshot, &Schema::live()).await?;
    Ok(report)
}

/// Brings the shadow to the model's checkpoint and takes a snapshot in which both stand there. The projection lock is held
/// only for that moment, and asked for with a timeout, so that a live tail is hardly delayed.
pub(super) async fn snapshot_at_checkpoint<'s, L: EventLog>(
    session: &'s mut Session,
    shadow: &Schema,
    log: &L,
    position: &mut Position,
) -> Result<Transaction<'s>, ReadModelError> {
    let mut slow = 0;
    for _ in 0..ATTEMPTS {
        let checkpoint = read_checkpoint(session.client()).await?;
        swap::advance(session, shadow, log, position, checkpoint).await?;
        swap::prove_rebuild_lock(session.client()).await?;
        if swap::try_lock_projection(session).await? {
            let checkpoint = read_checkpoint(session.client()).await?;
            let Some(read) = swap::read_locked(log, position.sequence, Through::Sequence(checkpoint)).await?
            else {
                swap::unlock_projection(session.client()).await?;
                slow += 1;
                continue;
            };
            swap::apply_read(session, shadow, position, read).await?;
            let snapshot = session.begin_snapshot().await?;
            read_checkpoint(&snapshot).await?; // The first statement takes the snapshot.
            swap::unlock_projection(&snapshot).await?;
            return Ok(snapshot);
        }
    }
    Err(ReadModelError::Blocked { what: "compare model and log", locked: ATTEMPTS - slow, slow })
}

async fn compare(
    snapshot: &Transaction<'_>,
    table: Table,
    shadow: &Schema,
    max_listed: usize,
    report: &mut DriftReport,
    progress: OnProgress<'_>,
) -> Result<(), ReadModelError> {
    let what = "comparing rows";
    let sql = compare::all_sql(table, &Schema::live().table(table), &shadow.table(table));
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = snapshot.query_raw(&sql, none).await.during(what)?;
    futures_util::pin_mut!(rows);
    let mut listed = 0;
    while let Some(row) = rows.try_next().await.during(what)? {
        // The server does not count what it hands over.
        progress(Progress::Checking);
        let row = compare::drifted(table, &row);
        *report.counts.entry((row.table, row.tenant, row.kind)).or_default() += 1;
        if listed < max_listed {
            listed += 1;
            report.rows.push(row);
        }
    }
    Ok(())
}
