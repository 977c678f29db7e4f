//! Fills a bare shadow from the log: reading, parsing and folding overlap; memory is bounded whatever the log's size.
//!
//! While everything fits, rows are folded to their final form and copied once into bare tables. When the fold passes
//! its bound it is written, the tables get their keys, and from then on each fold loads the rows that it touches and is
//! merged: the same rows, slower.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use trstctl_formats::StoredMessage;
use trstctl_migrations::connect::Target;
use trstctl_migrations::files::Phase;

use super::apply::fold_more;
use super::error::{During, ReadModelError};
use super::rebuild::Progress;
use super::schema::Schema;
use super::session::Session;
use super::store::{Append, Store};
use crate::log::LogReader;
use crate::projection::{Changes, Counts, Fold, Row, Step, Table};

/// Connections that copy at once.
const COPIERS: usize = 2;
/// Batches that are read ahead of the fold; each is some MB.
const READ_AHEAD: usize = 2;
/// Durable before the swap, not before: a killed rebuild leaves nothing that anybody needs.
const LAZY_COMMIT: &str = "SET synchronous_commit = off; SET maintenance_work_mem = '128MB'";

/// What filling a shadow did.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) counts: Counts,
    pub(super) events: u64,
    pub(super) spills: u64,
    pub(super) read_and_fold: Duration,
    pub(super) write: Duration,
}

/// A shadow being filled.
pub(super) struct Loading<'a> {
    schema: &'a Schema,
    copiers: Vec<Session>,
    memory_bytes: usize,
    fold: Fold,
    tables: Tables,
    loaded: Loaded,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    total_events: u64,
}

/// What the shadow's tables are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    /// Without rows and keys.
    Bare,
    /// With rows and keys.
    Keyed,
}

impl<'a> Loading<'a> {
    /// Opens the connections that fill `schema`, whose tables are bare.
    pub(super) async fn begin(
        target: &Target,
        schema: &'a Schema,
        memory_bytes: usize,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
        total_events: u64,
    ) -> Result<Self, ReadModelError> {
        let copiers = try_join_all((0..COPIERS).map(|_| Session::open(target))).await?;
        for copier in &copiers {
            copier.client().batch_execute(LAZY_COMMIT).await.during("preparing a session")?;
        }
        Ok(Self {
            schema,
            copiers,
            memory_bytes,
            fold: Fold::of_empty_model(),
            tables: Tables::Bare,
            loaded: Loaded::default(),
            progress,
            total_events,
        })
    }

    /// Reads to the end, and writes everything. The tables have rows and keys then.
    pub(super) async fn run<R: LogReader>(mut self, reader: Option<R>) -> Result<Loaded, ReadModelError> {
        let begun = Instant::now();
        if let Some(reader) = reader {
            let (send, receive) = mpsc::channel(READ_AHEAD);
            tokio::try_join!(read(reader, send), self.fold_all(receive))?;
        }
        self.loaded.read_and_fold = begun.elapsed();
        let begun = Instant::now();
        self.write().await?;
        self.loaded.write = begun.elapsed();
        Ok(self.loaded)
    }

    async fn fold_all(
        &mut self,
        mut batches: mpsc::Receiver<JoinHandle<Vec<Step>>>,
    ) -> Result<(), ReadModelError> {
        while let Some(steps) = batches.recv().await {
            let steps =
                steps.await.map_err(|error| ReadModelError::Panicked { reason: error.to_string() })?;
            self.loaded.events += steps.len() as u64;
            self.fold(steps).await?;
            (self.progress)(Progress::Reading { events: self.loaded.events, total: self.total_events });
            if self.fold.len_bytes() > self.memory_bytes {
                self.loaded.spills += 1;
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn fold(&mut self, steps: Vec<Step>) -> Result<(), ReadModelError> {
        if self.tables == Tables::Bare {
            steps.into_iter().for_each(|step| self.fold.apply(step));
            return Ok(());
        }
        let (transaction, statements) = self.copiers[0].begin().await?;
        fold_more(&mut Store::new(&transaction, self.schema, statements), &mut self.fold, steps).await?;
        transaction.commit().await.during("reading rows")
    }

    async fn write(&mut self) -> Result<(), ReadModelError> {
        let changes = std::mem::take(&mut self.fold).into_changes();
        self.loaded.counts.add(&changes.counts);
        let rows = changes.tables.values().map(|table| table.upserts.len() as u64).sum();
        (self.progress)(Progress::Writing { rows });
        match self.tables {
            Tables::Bare => self.fill(changes).await?,
            Tables::Keyed => self.merge(changes).await?,
        }
        Ok(())
    }

    /// Every copier takes its share of each table.
    async fn fill(&mut self, changes: Changes) -> Result<(), ReadModelError> {
        let tables: Vec<(Table, Vec<Row>)> =
            changes.tables.into_iter().map(|(table, changes)| (table, changes.upserts)).collect();
        let schema = self.schema;
        let copying = self.copiers.iter_mut().enumerate().map(|(at, copier)| {
            let shares = tables.iter().map(move |(table, rows)| (*table, share(rows, at)));
            fill_share(copier, schema, shares.collect())
        });
        try_join_all(copying).await?;
        schema.add(self.copiers[0].client(), Phase::Keys).await?;
        self.tables = Tables::Keyed;
        Ok(())
    }

    async fn merge(&mut self, changes: Changes) -> Result<(), ReadModelError> {
        let (transaction, statements) = self.copiers[0].begin().await?;
        Store::new(&transaction, self.schema, statements).merge(changes, Append::Direct).await?;
        transaction.commit().await.during("merging rows")
    }
}

fn share(rows: &[Row], copier: usize) -> &[Row] {
    let size = rows.len().div_ceil(COPIERS).max(1);
    rows.chunks(size).nth(copier).unwrap_or_default()
}

async fn fill_share(
    copier: &mut Session,
    schema: &Schema,
    shares: Vec<(Table, &[Row])>,
) -> Result<(), ReadModelError> {
    let (transaction, statements) = copier.begin().await?;
    let mut store = Store::new(&transaction, schema, statements);
    for (table, rows) in shares.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        store.fill(table, rows).await?;
    }
    transaction.commit().await.during("copying rows")
}

/// Reads batches and has them parsed, by as many threads as there are batches ahead, handed on in order.
async fn read<R: LogReader>(
    mut reader: R,
    send: mpsc::Sender<JoinHandle<Vec<Step>>>,
) -> Result<(), ReadModelError> {
    while let Some(messages) = reader.next_batch().await? {
        let parsing = spawn_blocking(move || messages.iter().map(step).collect());
        if send.send(parsing).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn step(message: &StoredMessage) -> Step {
    Step::read(message)
}
