//! The one apply path: messages become steps, steps are folded over the rows that they touch, the outcome is written
//! set-wise, in one transaction with the checkpoint.
//!
//! Live tail, catch-up and the end of a rebuild differ only in the size of the batch. The order inside a live
//! transaction: the projection lock, the checkpoint under it, then rows, then the checkpoint. So two processes may
//! apply the same log at once, and every event is applied once.

use std::num::NonZeroUsize;

use tokio_postgres::{GenericClient, Transaction};
use trstctl_formats::StoredMessage;
use trstctl_migrations::lock_keys;

use super::ReadModel;
use super::error::{During, ReadModelError};
use super::store::Store;
use crate::log::{EventLog, LogReader};
use crate::projection::{Counts, Fold, Step};

/// A batch is also ended when its messages reach this many bytes.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Messages applied in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize(pub NonZeroUsize);

impl Default for BatchSize {
    /// A thousand: catching up is no longer bound by transactions, and readers wait for none of them long.
    fn default() -> Self {
        Self(NonZeroUsize::new(1_000).expect("a thousand is not zero"))
    }
}

/// What became of some messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The model's checkpoint afterwards.
    pub checkpoint: u64,
    /// What became of the events that were new.
    pub counts: Counts,
}

/// Messages that follow `after` without any left out, up to `through`.
struct Batch {
    after: u64,
    through: u64,
    messages: Vec<StoredMessage>,
}

impl ReadModel {
    /// Applies messages that the log holds after sequence `after`, none left out between the first and the last given.
    /// Those at or below the checkpoint are skipped. `last_sequence` is the log's, asked for after `messages` were read.
    ///
    /// # Errors
    /// [`ReadModelError::CheckpointAhead`] also when another process has applied newer messages since `last_sequence`
    /// was asked for: ask again before believing it.
    pub async fn apply(
        &mut self,
        after: u64,
        messages: &[StoredMessage],
        last_sequence: u64,
    ) -> Result<Applied, ReadModelError> {
        let through = messages.last().map_or(after, |message| message.sequence);
        self.apply_batch(Batch { after, through, messages: messages.to_vec() }, last_sequence).await
    }

    /// Applies all that the log holds beyond the checkpoint.
    pub async fn catch_up<L: EventLog>(
        &mut self,
        log: &L,
        batch_size: BatchSize,
    ) -> Result<Applied, ReadModelError> {
        let mut counts = Counts::default();
        loop {
            let checkpoint = self.checkpoint().await?;
            // Asked for after the checkpoint, so that whoever moved that has not moved it beyond this.
            let last_sequence = log.state().await?.last_sequence;
            check_ahead(checkpoint, last_sequence)?;
            if checkpoint == last_sequence {
                return Ok(Applied { checkpoint, counts });
            }
            self.apply_span(log, checkpoint, last_sequence, batch_size, &mut counts).await?;
        }
    }

    async fn apply_span<L: EventLog>(
        &mut self,
        log: &L,
        mut after: u64,
        last_sequence: u64,
        batch_size: BatchSize,
        counts: &mut Counts,
    ) -> Result<(), ReadModelError> {
        let mut reader = Regrouped::new(log.read(after + 1, last_sequence).await?);
        while let Some(messages) = reader.next(batch_size).await? {
            let through = messages.last().map_or(after, |message| message.sequence);
            let known_last = self.known_last(log, last_sequence).await?;
            let applied = self.apply_batch(Batch { after, through, messages }, known_last).await?;
            counts.add(&applied.counts);
            after = through;
        }
        // The last sequences may be deleted ones; the reader has accounted for them.
        let end = Batch { after, through: last_sequence, messages: Vec::new() };
        let known_last = self.known_last(log, last_sequence).await?;
        self.apply_batch(end, known_last).await.map(|_| ())
    }

    /// The log's last sequence, asked for anew when another process has applied beyond what is known of it.
    async fn known_last<L: EventLog>(&self, log: &L, last_sequence: u64) -> Result<u64, ReadModelError> {
        match self.checkpoint().await? > last_sequence {
            true => Ok(log.state().await?.last_sequence),
            false => Ok(last_sequence),
        }
    }

    async fn apply_batch(&mut self, batch: Batch, last_sequence: u64) -> Result<Applied, ReadModelError> {
        let schema = self.schema.clone();
        let (transaction, statements) = self.session.begin().await?;
        let checkpoint = lock_checkpoint(&transaction).await?;
        check_ahead(checkpoint, last_sequence)?;
        if checkpoint < batch.after {
            return Err(ReadModelError::Hole { checkpoint, after: batch.after });
        }
        if checkpoint >= batch.through {
            return Ok(Applied { checkpoint, counts: Counts::default() });
        }
        let fresh = batch.messages.iter().filter(|message| message.sequence > checkpoint);
        let steps = fresh.map(Step::read).collect();
        let counts = fold_into(&mut Store::new(&transaction, &schema, statements), steps).await?;
        write_checkpoint(&transaction, batch.through).await?;
        transaction.commit().await.during("committing applied events")?;
        Ok(Applied { checkpoint: batch.through, counts })
    }
}

/// Folds steps over the rows that they touch and writes the outcome.
pub(super) async fn fold_into(store: &mut Store<'_>, steps: Vec<Step>) -> Result<Counts, ReadModelError> {
    let mut fold = Fold::new();
    fold_more(store, &mut fold, steps).await?;
    let counts = fold.counts().clone();
    store.merge(fold.into_changes()).await?;
    Ok(counts)
}

/// Loads what the steps touch and the fold does not know, and folds them.
pub(super) async fn fold_more(
    store: &mut Store<'_>,
    fold: &mut Fold,
    steps: Vec<Step>,
) -> Result<(), ReadModelError> {
    let lookups = fold.missing(&steps);
    let rows = store.look_up(&lookups).await?;
    fold.load(&lookups, rows)?;
    steps.into_iter().for_each(|step| fold.apply(step));
    Ok(())
}

pub(super) fn check_ahead(checkpoint: u64, last_sequence: u64) -> Result<(), ReadModelError> {
    match checkpoint > last_sequence {
        true => Err(ReadModelError::CheckpointAhead { checkpoint, last_sequence }),
        false => Ok(()),
    }
}

pub(super) async fn read_checkpoint(client: &impl GenericClient) -> Result<u64, ReadModelError> {
    let sql = "SELECT sequence FROM public.projection_checkpoint";
    let row = client.query_opt(sql, &[]).await.during("reading the checkpoint")?;
    let sequence: i64 = row.map_or(0, |row| row.get(0));
    Ok(u64::try_from(sequence).unwrap_or_default())
}

/// Takes the projection lock for the rest of the transaction, then reads the checkpoint under it.
async fn lock_checkpoint(transaction: &Transaction<'_>) -> Result<u64, ReadModelError> {
    lock_projection(transaction).await.during("waiting for the projection lock")?;
    read_checkpoint(transaction).await
}

/// Takes the projection lock for the rest of the transaction.
pub(super) async fn lock_projection(transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({})", lock_keys::PROJECTION)).await
}

pub(super) async fn write_checkpoint(
    transaction: &Transaction<'_>,
    sequence: u64,
) -> Result<(), ReadModelError> {
    let sql = "INSERT INTO public.projection_checkpoint (sequence) VALUES ($1)
               ON CONFLICT (singleton) DO UPDATE SET sequence = EXCLUDED.sequence, updated_at = now()";
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    transaction.execute(sql, &[&sequence]).await.during("writing the checkpoint")?;
    Ok(())
}

/// Hands out a reader's messages in batches of another size.
pub(super) struct Regrouped<R> {
    reader: R,
    waiting: std::vec::IntoIter<StoredMessage>,
}

impl<R: LogReader> Regrouped<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, waiting: Vec::new().into_iter() }
    }

    /// The next messages, never none; `None` after the last.
    pub(super) async fn next(
        &mut self,
        size: BatchSize,
    ) -> Result<Option<Vec<StoredMessage>>, ReadModelError> {
        let mut batch = Vec::new();
        let mut len_bytes = 0;
        while batch.len() < size.0.get() && len_bytes < BATCH_BYTES {
            match self.waiting.next() {
                Some(message) => {
                    len_bytes += message.len_bytes();
                    batch.push(message);
                }
                None => match self.reader.next_batch().await? {
                    Some(messages) => self.waiting = messages.into_iter(),
                    None => break,
                },
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
