//! The swap: in one short transaction the shadow becomes the read model, together with its checkpoint.
//!
//! Renaming schemas locks no table, so readers see the old model or the new one and are never blocked. The projection
//! lock is asked for with a timeout of 50 ms, again and again, so that a live tail is never blocked for longer either.

use std::time::Duration;

use tokio_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use trstctl_migrations::lock_keys;

use super::apply::{BatchSize, Regrouped, fold_into, lock_projection, write_checkpoint};
use super::error::{During, ReadModelError};
use super::report::KeptFor;
use super::schema::{Additions, Schema};
use super::session::Session;
use super::store::Store;
use crate::log::EventLog;
use crate::projection::{Counts, Step};

/// More messages than this are caught up with before the lock is taken.
const MAX_LOCKED_MESSAGES: u64 = 1_000;
/// How often the end of the log is caught up with before an attempt.
const MAX_ROUNDS: u32 = 100;
/// As many of them may leave no less than the best one did.
const MAX_ROUNDS_WITHOUT_GAIN: u32 = 5;
/// How long the log may take to answer while the projection lock is held; then the lock is given back and asked for again.
const LOCKED_READ_LIMIT: Duration = Duration::from_secs(1);
/// How often the swap is tried before it gives up.
const SWAP_ATTEMPTS: u32 = 200;
/// How often dropping the old schema is tried; the next run drops what is left.
const DROP_ATTEMPTS: u32 = 40;
/// Nobody is blocked by us, nor we by anybody, for longer.
pub(super) const LOCK_TIMEOUT: &str = "50ms";
pub(super) const PAUSE: Duration = Duration::from_millis(25);

/// How far a shadow has come.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) counts: Counts,
    pub(super) events: u64,
}

/// Applies what the log holds after the shadow's position, in batches, until little is left.
///
/// # Errors
/// [`ReadModelError::NotCaughtUp`] when the log grows faster than it is applied.
pub(super) async fn catch_up<L: EventLog>(
    session: &mut Session,
    shadow: &Schema,
    log: &L,
    position: &mut Position,
) -> Result<(), ReadModelError> {
    let (mut least, mut without_gain) = (u64::MAX, 0);
    for _ in 0..MAX_ROUNDS {
        let last_sequence = log.state().await?.last_sequence;
        let behind = last_sequence.saturating_sub(position.sequence);
        if behind <= MAX_LOCKED_MESSAGES {
            return Ok(());
        }
        without_gain = if behind < least { 0 } else { without_gain + 1 };
        least = least.min(behind);
        if without_gain >= MAX_ROUNDS_WITHOUT_GAIN {
            return Err(ReadModelError::NotCaughtUp { behind });
        }
        advance(session, shadow, log, position, last_sequence).await?;
    }
    Err(ReadModelError::NotCaughtUp { behind: least })
}

/// Applies the log up to `through`.
pub(super) async fn advance<L: EventLog>(
    session: &mut Session,
    shadow: &Schema,
    log: &L,
    position: &mut Position,
    through: u64,
) -> Result<(), ReadModelError> {
    if position.sequence >= through {
        return Ok(());
    }
    let mut reader = Regrouped::new(log.read(position.sequence + 1, through).await?);
    while let Some(messages) = reader.next(BatchSize::default()).await? {
        let (transaction, statements) = session.begin().await?;
        let steps: Vec<Step> = messages.iter().map(Step::read).collect();
        let counts = fold_into(&mut Store::new(&transaction, shadow, statements), steps).await?;
        transaction.commit().await.during("catching up")?;
        position.events += messages.len() as u64;
        position.sequence = messages.last().map_or(position.sequence, |message| message.sequence);
        position.counts.add(&counts);
    }
    position.sequence = through;
    Ok(())
}

/// Swaps the shadow in; tells how often it had to try.
pub(super) async fn swap<L: EventLog>(
    session: &mut Session,
    shadow: &Schema,
    log: &L,
    position: &mut Position,
) -> Result<u32, ReadModelError> {
    let mut slow = 0;
    for attempt in 1..=SWAP_ATTEMPTS {
        catch_up(session, shadow, log, position).await?;
        match try_swap(session, shadow, log, position).await {
            Ok(Outcome::Swapped) => return Ok(attempt),
            Ok(Outcome::TryAgain) => slow += 1,
            Err(error) if is_lock_timeout(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    Err(ReadModelError::Blocked { what: "swap the new read model in", locked: SWAP_ATTEMPTS - slow, slow })
}

enum Outcome {
    Swapped,
    TryAgain,
}

/// Up to where the log is read under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Its end.
    End,
    /// This sequence.
    Sequence(u64),
}

/// What the log holds after `after`, and its last sequence, while the projection lock is held; `None` when that is more
/// than a moment's work, or the log does not answer at once.
pub(super) async fn read_locked<L: EventLog>(
    log: &L,
    after: u64,
    through: Through,
) -> Result<Option<(u64, Vec<Step>)>, ReadModelError> {
    let reading = async {
        let last = match through {
            Through::End => log.state().await?.last_sequence,
            Through::Sequence(sequence) => sequence,
        };
        if last.saturating_sub(after) > MAX_LOCKED_MESSAGES {
            return Ok(None);
        }
        let mut steps = Vec::new();
        if last > after {
            let mut reader = Regrouped::new(log.read(after + 1, last).await?);
            while let Some(messages) = reader.next(BatchSize::default()).await? {
                steps.extend(messages.iter().map(Step::read));
            }
        }
        Ok(Some((last, steps)))
    };
    // Too slow is no error: the attempts are counted.
    tokio::time::timeout(LOCKED_READ_LIMIT, reading).await.unwrap_or(Ok(None))
}

/// Applies steps that were read up to `through`.
pub(super) async fn apply_read(
    session: &mut Session,
    shadow: &Schema,
    position: &mut Position,
    (through, steps): (u64, Vec<Step>),
) -> Result<(), ReadModelError> {
    let events = steps.len() as u64;
    if events > 0 {
        let (transaction, statements) = session.begin().await?;
        let counts = fold_into(&mut Store::new(&transaction, shadow, statements), steps).await?;
        transaction.commit().await.during("catching up")?;
        position.events += events;
        position.counts.add(&counts);
    }
    position.sequence = position.sequence.max(through);
    Ok(())
}

async fn try_swap<L: EventLog>(
    session: &mut Session,
    shadow: &Schema,
    log: &L,
    position: &mut Position,
) -> Result<Outcome, ReadModelError> {
    let (transaction, statements) = session.begin().await?;
    let timeout = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL synchronous_commit = on");
    transaction.batch_execute(&timeout).await.during("swapping")?;
    lock_projection(&transaction).await.during("swapping")?;
    prove_rebuild_lock(&transaction).await?;
    // Under the lock nobody applies; what the log holds now is what the new model must hold.
    let Some((last_sequence, steps)) = read_locked(log, position.sequence, Through::End).await? else {
        return Ok(Outcome::TryAgain);
    };
    let mut counts = Counts::default();
    let events = steps.len() as u64;
    if events > 0 {
        counts = fold_into(&mut Store::new(&transaction, shadow, statements), steps).await?;
    }
    shadow.become_live(&transaction).await.during("swapping")?;
    write_checkpoint(&transaction, last_sequence).await?;
    transaction.commit().await.map_err(unknown_unless_refused)?;
    position.sequence = last_sequence;
    position.events += events;
    position.counts.add(&counts);
    Ok(Outcome::Swapped)
}

/// A commit that the server did not answer may have been done.
fn unknown_unless_refused(error: tokio_postgres::Error) -> ReadModelError {
    let source = trstctl_migrations::Error::from_statement("swapping failed", &error);
    match error.code() {
        Some(_) => ReadModelError::Database(source),
        None => ReadModelError::SwapUnknown { source },
    }
}

/// Proves that this transaction runs in the session that took the rebuild lock: a pooler may give it another one.
pub(super) async fn prove_rebuild_lock(client: &impl GenericClient) -> Result<(), ReadModelError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_locks
                              WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
                                AND (classid::bigint << 32 | objid::bigint) = $1)";
    let held = client.query_one(sql, &[&lock_keys::REBUILD]).await.during("proving the rebuild lock")?;
    if held.get(0) { Ok(()) } else { Err(ReadModelError::LockLost) }
}

/// Takes the projection lock for the session, unless somebody holds it for longer than the timeout; then waits a little.
pub(super) async fn try_lock_projection(session: &Session) -> Result<bool, ReadModelError> {
    let sql =
        format!("SET lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_lock({})", lock_keys::PROJECTION);
    match session.client().batch_execute(&sql).await.during("taking the projection lock") {
        Ok(()) => Ok(true),
        Err(error) if is_lock_timeout(&error) => {
            tokio::time::sleep(PAUSE).await;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives the session's projection lock back.
pub(super) async fn unlock_projection(client: &impl GenericClient) -> Result<(), ReadModelError> {
    let sql = format!("SELECT pg_advisory_unlock({})", lock_keys::PROJECTION);
    client.batch_execute(&sql).await.during("giving the projection lock back")
}

/// Drops a schema as the swap locks: never waiting for a reader longer than 50 ms.
pub(super) async fn drop_gently(
    session: &Session,
    schema: &Schema,
    additions: Additions,
) -> Result<Dropped, ReadModelError> {
    let client = session.client();
    let timeout = format!("SET lock_timeout = '{LOCK_TIMEOUT}'");
    client.batch_execute(&timeout).await.during("dropping the old read model")?;
    for _ in 0..DROP_ATTEMPTS {
        match schema.drop(client, additions).await.during("dropping the old read model") {
            Ok(()) => return Ok(Dropped::Yes),
            Err(error) if is_lock_timeout(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) if has_code(&error, &SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
                return Ok(Dropped::No(KeptFor::Additions));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Dropped::No(KeptFor::Reader))
}

/// Whether a schema is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It is.
    Yes,
    /// It stays.
    No(KeptFor),
}

pub(super) fn is_lock_timeout(error: &ReadModelError) -> bool {
    has_code(error, &SqlState::LOCK_NOT_AVAILABLE)
}

fn has_code(error: &ReadModelError, code: &SqlState) -> bool {
    matches!(error, ReadModelError::Database(error) if error.code() == Some(code.code()))
}
