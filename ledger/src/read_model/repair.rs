//! Repair: rows of the read model that differ from the fold of the log become what the log makes of them, and no others
//! are touched.
//!
//! The order: the fold beside the model, as for a diff; the keys that differ, noted in temporary tables; then, batch by
//! batch, one transaction: the projection lock, the fold brought to the model's checkpoint, the batch's rows compared
//! again, what still differs written by the path that writes every batch of events. Then model and fold are compared once
//! more, and mended again if a live tail has folded new events over rows that were damaged then.
//!
//! Invariant: what is written is the fold at the checkpoint that the model has in the same transaction, under the lock that
//! a live tail takes. So nothing that the tail did is undone, and a killed repair leaves fewer differences, never others.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;
use uuid::Uuid;

use super::ReadModel;
use super::apply::{fold_into, lock_projection, read_checkpoint};
use super::compare;
use super::drift::{
    DiffOptions, DriftReport, DriftedRow, Kind, compare_at_checkpoint, snapshot_at_checkpoint,
};
use super::error::{During, ReadModelError};
use super::rebuild::{Exclusive, OnProgress, Progress, RebuildOptions};
use super::schema::Schema;
use super::session::{Session, Statements};
use super::store::Store;
use super::swap::{self, LOCK_TIMEOUT, PAUSE, Position, Through};
use crate::log::EventLog;
use crate::projection::{Changes, Counts, Row, Table, TableChanges};

/// Rows mended in one transaction: few enough that the projection lock is held for a moment.
const BATCH_ROWS: i64 = 1_000;
/// How often all is compared and mended: what a live tail makes of a damaged row, before that row is mended, is damage too.
const ROUNDS: u32 = 10;
/// How often a batch is tried before the repair gives up.
const ATTEMPTS: u32 = 200;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// How many rows were mended, by table, tenant and what was wrong with them: a missing row was inserted, a changed one
    /// was given its values back, an extra one was deleted.
    pub mended: BTreeMap<(Table, Option<Uuid>, Kind), u64>,
    /// The first of each table.
    pub rows: Vec<DriftedRow>,
    /// Rows that differed at first and were right when their turn came: a live tail had written them anew.
    pub settled: u64,
    /// What differs now: nothing, unless somebody writes into the model at the same time. Dangling references stay.
    pub after: DriftReport,
}

impl RepairReport {
    /// How many rows were mended.
    pub fn total(&self) -> u64 {
        self.mended.values().sum()
    }

    /// Not all rows that were mended are listed.
    pub fn is_cut(&self) -> bool {
        self.total() > self.rows.len() as u64
    }
}

impl ReadModel {
    /// Makes the rows that differ from the fold of the log, up to the model's checkpoint, equal to it. Holds the rebuild
    /// lock; readers and the live tail go on. Dropped or killed anywhere, the next run mends what is left.
    ///
    /// # Errors
    /// As [`ReadModel::diff`]; [`ReadModelError::CheckpointBehind`] when the model says that it has applied less than its rows
    /// show; [`ReadModelError::RepairBlocked`] when somebody keeps rows locked.
    pub async fn repair<L: EventLog>(
        &self,
        log: &L,
        options: DiffOptions,
        progress: OnProgress<'_>,
    ) -> Result<RepairReport, ReadModelError> {
        let (mut exclusive, checkpoint) = self.begin_comparing(log).await?;
        let outcome = self.repair_in(&mut exclusive, log, checkpoint, options, progress).await;
        exclusive.end_without_shadow(outcome).await
    }

    async fn repair_in<L: EventLog>(
        &self,
        exclusive: &mut Exclusive,
        log: &L,
        checkpoint: u64,
        options: DiffOptions,
        progress: OnProgress<'_>,
    ) -> Result<RepairReport, ReadModelError> {
        check_behind(&exclusive.session).await?;
        let rebuild = RebuildOptions { memory_bytes: options.memory_bytes, ..RebuildOptions::default() };
        let mut built = exclusive.build(&self.target, log, checkpoint, rebuild, progress).await?;
        let mut report = RepairReport::default();
        make_notes(&exclusive.session).await?;
        for _ in 0..ROUNDS {
            progress(Progress::Checking);
            let noted = note(exclusive, log, &mut built.position).await?;
            progress(Progress::Repairing);
            let Exclusive { session, shadow, .. } = &mut *exclusive;
            let position = &mut built.position;
            let mut repair =
                Repair { session, shadow, log, position, max_listed: options.max_listed, report };
            for (table, rows) in noted {
                repair.mend_table(table, rows).await?;
            }
            report = repair.report;
            let max_listed = options.max_listed;
            report.after =
                compare_at_checkpoint(exclusive, log, &mut built.position, max_listed, progress).await?;
            if report.after.total() == 0 {
                break;
            }
        }
        Ok(report)
    }
}

/// The fold at a checkpoint that was set back, or restored without the model, is not what the model should be.
async fn check_behind(session: &Session) -> Result<(), ReadModelError> {
    // One statement, so that a live tail does not come between.
    let sql = "SELECT COALESCE((SELECT sequence FROM public.projection_checkpoint), 0),
                      GREATEST((SELECT max(sequence) FROM read_model.identity_transitions),
                               (SELECT max(sequence) FROM read_model.projection_faults),
                               (SELECT 1 FROM read_model.tenants LIMIT 1))::bigint";
    let row = session.client().query_one(sql, &[]).await.during("looking for the latest row")?;
    let (checkpoint, found): (i64, Option<i64>) = (row.get(0), row.get(1));
    match found {
        Some(found) if found > checkpoint => Err(ReadModelError::CheckpointBehind {
            checkpoint: checkpoint.unsigned_abs(),
            found: found.unsigned_abs(),
        }),
        _ => Ok(()),
    }
}

/// Makes the tables for keys that differ.
async fn make_notes(session: &Session) -> Result<(), ReadModelError> {
    for table in Table::ALL {
        let keys = table.key().join(", ");
        let sql = format!(
            "CREATE TEMP TABLE {} AS SELECT 0::bigint AS number, {keys} FROM {} WITH NO DATA",
            noted_name(table),
            Schema::live().table(table)
        );
        session.client().batch_execute(&sql).await.during("making a temporary table")?;
    }
    Ok(())
}

/// Notes the keys that differ, and answers how many of each table.
async fn note<L: EventLog>(
    exclusive: &mut Exclusive,
    log: &L,
    position: &mut Position,
) -> Result<Vec<(Table, u64)>, ReadModelError> {
    let what = "noting rows that differ";
    let Exclusive { session, shadow, .. } = exclusive;
    let live = Schema::live();
    let names = Table::ALL.map(|table| format!("pg_temp.{}", noted_name(table))).join(", ");
    session.client().batch_execute(&format!("TRUNCATE {names}")).await.during(what)?;
    let snapshot = snapshot_at_checkpoint(session, shadow, log, position).await?;
    let mut noted = Vec::new();
    for table in Table::ALL {
        let keys = compare::numbered_keys_sql(table, &live.table(table), &shadow.table(table));
        let sql = format!("INSERT INTO pg_temp.{} {keys}", noted_name(table));
        noted.push((table, snapshot.execute(&sql, &[]).await.during(what)?));
    }
    snapshot.commit().await.during(what)?;
    Ok(noted)
}

fn noted_name(table: Table) -> String {
    format!("trstctl_drift_{}", table.name())
}

/// A repair under way.
struct Repair<'r, L> {
    session: &'r mut Session,
    shadow: &'r Schema,
    log: &'r L,
    position: &'r mut Position,
    max_listed: usize,
    report: RepairReport,
}

impl<L: EventLog> Repair<'_, L> {
    async fn mend_table(&mut self, table: Table, rows: u64) -> Result<(), ReadModelError> {
        let listed_before = self.report.rows.len();
        let mut done = 0;
        while done < rows {
            let keys = self.noted_after(table, done).await?;
            done += BATCH_ROWS.unsigned_abs();
            let mended = self.mend(table, &keys).await?;
            self.report.settled += (keys.len() - mended.len()) as u64;
            for row in &mended {
                *self.report.mended.entry((row.table, row.tenant, row.kind)).or_default() += 1;
            }
            let room = self.max_listed.saturating_sub(self.report.rows.len() - listed_before);
            self.report.rows.extend(mended.into_iter().take(room));
        }
        Ok(())
    }

    async fn noted_after(&self, table: Table, number: u64) -> Result<Vec<Row>, ReadModelError> {
        let name = noted_name(table);
        let keys = table.key().join(", ");
        let sql = format!(
            "SELECT {keys} FROM pg_temp.{name} WHERE number > $1 AND number <= $1 + {BATCH_ROWS} ORDER BY number"
        );
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let rows = self.session.client().query(&sql, &[&number]).await;
        Ok(rows.during("reading noted rows")?.iter().map(|row| compare::key(table, row, 0)).collect())
    }

    /// Mends these rows, and answers those that still differed.
    async fn mend(&mut self, table: Table, keys: &[Row]) -> Result<Vec<DriftedRow>, ReadModelError> {
        for _ in 0..ATTEMPTS {
            match self.try_mend(table, keys).await {
                Ok(Some(mended)) => return Ok(mended),
                Ok(None) => self.follow_the_tail().await?,
                Err(error) if swap::is_lock_timeout(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Err(ReadModelError::RepairBlocked { table: table.name(), attempts: ATTEMPTS })
    }

    /// Brings the fold near to the model's checkpoint, without a lock.
    async fn follow_the_tail(&mut self) -> Result<(), ReadModelError> {
        let checkpoint = read_checkpoint(self.session.client()).await?;
        swap::advance(self.session, self.shadow, self.log, self.position, checkpoint).await
    }

    /// One transaction; `None` when the fold is too far behind the model to be brought there under the lock.
    async fn try_mend(
        &mut self,
        table: Table,
        keys: &[Row],
    ) -> Result<Option<Vec<DriftedRow>>, ReadModelError> {
        let (transaction, statements) = self.session.begin().await?;
        let timeout = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
        transaction.batch_execute(&timeout).await.during("mending rows")?;
        lock_projection(&transaction).await.during("mending rows")?;
        swap::prove_rebuild_lock(&transaction).await?;
        let checkpoint = read_checkpoint(&transaction).await?;
        if checkpoint < self.position.sequence {
            // Somebody set it back: what the fold holds is then not what the model should.
            return Err(ReadModelError::Hole { checkpoint, after: self.position.sequence });
        }
        let through = Through::Sequence(checkpoint);
        let Some((_, steps)) = swap::read_locked(self.log, self.position.sequence, through).await? else {
            return Ok(None);
        };
        let events = steps.len() as u64;
        let counts = match events {
            0 => Counts::default(),
            _ => fold_into(&mut Store::new(&transaction, self.shadow, statements), steps).await?,
        };
        let mended = mend_in(&transaction, statements, self.shadow, table, keys).await?;
        transaction.commit().await.during("committing mended rows")?;
        self.position.sequence = checkpoint;
        self.position.events += events;
        self.position.counts.add(&counts);
        Ok(Some(mended))
    }
}

/// Compares these rows once more and writes those that differ, in this transaction.
async fn mend_in(
    transaction: &Transaction<'_>,
    statements: &mut Statements,
    shadow: &Schema,
    table: Table,
    keys: &[Row],
) -> Result<Vec<DriftedRow>, ReadModelError> {
    let live = Schema::live();
    let differing = compare::of_keys(transaction, statements, table, (&live, shadow), keys).await?;
    let (extra, wanted): (Vec<_>, Vec<_>) = differing.iter().partition(|row| row.kind == Kind::Extra);
    let wanted: Vec<&Row> = wanted.into_iter().map(|row| &row.key).collect();
    let upserts = Store::new(transaction, shadow, statements).rows_of(table, &wanted).await?;
    let deletes = extra.into_iter().map(|row| row.key.clone()).collect();
    let tables = BTreeMap::from([(table, TableChanges { upserts, deletes })]);
    let changes = Changes { tables, ..Changes::default() };
    let mut store = Store::new(transaction, &live, statements);
    // The fold may have been advanced in this transaction.
    store.empty_staging(table).await?;
    store.merge(changes).await?;
    Ok(differing)
}
