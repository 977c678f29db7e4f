//! Fills a bare shadow from the log: reading, parsing, folding and copying overlap; memory is bounded whatever the
//! log's size.
//!
//! Rows that no later event changes are copied as they are read. All others are folded to their final form and copied
//! once, table by table, when the log has been read. If the fold passes its bound before, it is written, those tables get
//! their keys, and from then on each fold loads the rows that it touches and is merged: the same rows, slower.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use trstctl_formats::StoredMessage;
use trstctl_migrations::connect::Target;
use uuid::Uuid;

use super::apply::fold_more;
use super::error::{During, ReadModelError};
use super::fill::{Remaining, Tables, copy_final_rows, end_final_rows};
use super::rebuild::Progress;
use super::schema::Schema;
use super::session::Session;
use super::store::Store;
use crate::log::LogReader;
use crate::projection::{Counts, Fold, Row, Step};

/// Batches that are read ahead of the fold; each is some MB. As many wait to be copied.
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
    folding: Folding<'a>,
    /// Copies final rows while the log is read, and helps with the others then.
    second: Session,
}

/// The fold, and the connection that looks rows up and writes what passes the bound.
struct Folding<'a> {
    schema: &'a Schema,
    session: Session,
    memory_bytes: usize,
    fold: Fold,
    tables: Tables,
    offboarded: BTreeMap<Uuid, u64>,
    loaded: Loaded,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    total_events: u64,
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
        let (session, second) = tokio::try_join!(open(target), open(target))?;
        let folding = Folding {
            schema,
            session,
            memory_bytes,
            fold: Fold::of_empty_model(),
            tables: Tables::Bare,
            offboarded: BTreeMap::new(),
            loaded: Loaded::default(),
            progress,
            total_events,
        };
        Ok(Self { schema, folding, second })
    }

    /// Reads to the end, and writes everything. The tables have rows and keys then.
    pub(super) async fn run<R: LogReader>(self, reader: Option<R>) -> Result<Loaded, ReadModelError> {
        let Self { schema, mut folding, mut second } = self;
        let begun = Instant::now();
        if let Some(reader) = reader {
            let (send_steps, steps) = mpsc::channel(READ_AHEAD);
            let (send_rows, rows) = mpsc::channel(READ_AHEAD);
            let copying = copy_final_rows(&mut second, schema, rows);
            tokio::try_join!(read(reader, send_steps), folding.fold_all(steps, send_rows), copying)?;
        }
        folding.loaded.read_and_fold = begun.elapsed();
        let begun = Instant::now();
        let remaining = folding.remaining();
        let ending = async {
            end_final_rows(&second, schema, &folding.offboarded).await?;
            remaining.write(&mut second).await
        };
        tokio::try_join!(remaining.write(&mut folding.session), ending)?;
        folding.loaded.write = begun.elapsed();
        Ok(folding.loaded)
    }
}

async fn open(target: &Target) -> Result<Session, ReadModelError> {
    let session = Session::open(target).await?;
    session.client().batch_execute(LAZY_COMMIT).await.during("preparing a session")?;
    Ok(session)
}

impl<'a> Folding<'a> {
    async fn fold_all(
        &mut self,
        mut batches: mpsc::Receiver<JoinHandle<Vec<Step>>>,
        final_rows: mpsc::Sender<Vec<Row>>,
    ) -> Result<(), ReadModelError> {
        while let Some(steps) = batches.recv().await {
            let steps =
                steps.await.map_err(|error| ReadModelError::Panicked { reason: error.to_string() })?;
            self.loaded.events += steps.len() as u64;
            self.fold(steps).await?;
            if final_rows.send(self.fold.take_final_rows()).await.is_err() {
                // Copying has failed, and says so itself.
                break;
            }
            (self.progress)(Progress::Reading { events: self.loaded.events, total: self.total_events });
            if self.fold.len_bytes() > self.memory_bytes {
                self.loaded.spills += 1;
                self.remaining().write(&mut self.session).await?;
            }
        }
        Ok(())
    }

    async fn fold(&mut self, steps: Vec<Step>) -> Result<(), ReadModelError> {
        if self.tables == Tables::Bare {
            steps.into_iter().for_each(|step| self.fold.apply(step));
            return Ok(());
        }
        let (transaction, statements) = self.session.begin().await?;
        fold_more(&mut Store::new(&transaction, self.schema, statements), &mut self.fold, steps).await?;
        transaction.commit().await.during("reading rows")
    }

    /// What is folded so far, to be written. The next fold finds it in tables with keys.
    fn remaining(&mut self) -> Remaining<'a> {
        (self.progress)(Progress::Writing);
        let fold = std::mem::take(&mut self.fold);
        self.loaded.counts.add(fold.counts());
        self.offboarded.extend(fold.offboarded());
        Remaining::new(self.schema, std::mem::replace(&mut self.tables, Tables::Keyed), fold)
    }
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
