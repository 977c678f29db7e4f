//! Live tail and catch-up.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use trstctl_ledger::projection::Table;
use trstctl_ledger::read_model::{BatchSize, ReadModel, ReadModelError};

use crate::support::*;

fn of(size: usize) -> BatchSize {
    BatchSize(NonZeroUsize::new(size).unwrap())
}

async fn caught_up(log: &BentLog, size: usize) -> ReadModel {
    let mut model = model(&migrated()).await;
    let applied = model.catch_up(log, of(size)).await.unwrap();
    assert_eq!(applied.checkpoint, log.last_sequence.load(Ordering::SeqCst));
    model
}

#[tokio::test]
async fn live_tail_event_by_event_equals_the_reference() {
    let messages = history(1, 400);
    let mut model = model(&migrated()).await;
    let mut after = 0;
    for message in &messages {
        let applied = model.apply(after, std::slice::from_ref(message), message.sequence).await.unwrap();
        after = applied.checkpoint;
    }
    let (checkpoint, digests) = model.digests().await.unwrap();
    assert_eq!(checkpoint, after);
    assert_same(&digests, &reference_digest(&messages));
}

#[tokio::test]
async fn catch_up_in_any_batch_size_equals_the_reference() {
    for (seed, size) in [(2, 3), (3, 50), (4, 999), (5, 100_000)] {
        let log = BentLog::history(seed, 2_000);
        let mut model = caught_up(&log, size).await;
        let (_, digests) = model.digests().await.unwrap();
        assert_same(&digests, &reference_digest(&log.all()));
    }
}

#[tokio::test]
async fn applying_again_changes_nothing() {
    let log = BentLog::history(6, 500);
    let mut model = caught_up(&log, 100).await;
    let before = model.digests().await.unwrap();
    let last = before.0;
    let applied = model.apply(0, &log.all(), last).await.unwrap();
    assert_eq!((applied.checkpoint, applied.counts.total()), (last, 0));
    assert_eq!(model.digests().await.unwrap(), before);
}

#[tokio::test]
async fn batch_that_overlaps_the_checkpoint_applies_what_is_new() {
    let messages = history(7, 500);
    let mut model = model(&migrated()).await;
    let last = messages.last().unwrap().sequence;
    model.apply(0, &messages[..300], last).await.unwrap();
    let applied = model.apply(messages[99].sequence, &messages[100..], last).await.unwrap();
    assert_eq!(applied.counts.total(), messages.len() as u64 - 300);
    assert_same(&model.digests().await.unwrap().1, &reference_digest(&messages));
}

#[tokio::test]
async fn batch_that_leaves_events_out_is_refused() {
    let messages = history(8, 300);
    let mut model = model(&migrated()).await;
    let last = messages.last().unwrap().sequence;
    let error = model.apply(messages[10].sequence, &messages[11..], last).await.unwrap_err();
    assert!(matches!(error, ReadModelError::Hole { checkpoint: 0, .. }), "{error}");
    assert_eq!(model.checkpoint().await.unwrap(), 0);
}

#[tokio::test]
async fn checkpoint_above_the_log_is_refused_instead_of_skipping_new_events() {
    let log = BentLog::history(9, 300);
    let mut model = caught_up(&log, 100).await;
    let shorter = BentLog::of(log.all()[..100].to_vec());
    for error in [
        model.catch_up(&shorter, of(100)).await.unwrap_err(),
        model.apply(0, &shorter.all(), shorter.last_sequence.load(Ordering::SeqCst)).await.unwrap_err(),
        model.diff(&shorter, Default::default(), &silent).await.unwrap_err(),
    ] {
        assert!(matches!(error, ReadModelError::CheckpointAhead { .. }), "{error}");
    }
}

#[tokio::test]
async fn poison_event_stops_nothing_and_is_kept_as_a_fault() {
    let log = BentLog::history(10, 1_000);
    let mut model = model(&migrated()).await;
    let applied = model.catch_up(&log, of(200)).await.unwrap();
    assert!(applied.counts.quarantined > 10, "{:?}", applied.counts);
    let expected = reference(&log.all()).rows(Table::ProjectionFaults).count();
    let faults = model.faults(3).await.unwrap();
    assert_eq!((faults.total, faults.first.len()), (expected as u64, 3));
    assert!(faults.first.is_sorted_by_key(|fault| fault.sequence) && !faults.first[0].reason.is_empty());
    assert_eq!(model.faults(0).await.unwrap().first, []);
}

#[tokio::test]
async fn deleted_messages_at_the_end_do_not_leave_the_model_behind() {
    let log = BentLog::history(11, 300);
    log.last_sequence.fetch_add(5, Ordering::SeqCst);
    let model = caught_up(&log, 100).await;
    assert_eq!(model.checkpoint().await.unwrap(), log.last_sequence.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_catch_up_at_once_apply_every_event_once() {
    let (log, dsn) = (BentLog::history(12, 2_000), migrated());
    let runs = (0..3).map(|_| {
        let (log, dsn) = (log.clone(), dsn.clone());
        tokio::spawn(async move { model(&dsn).await.catch_up(&log, of(37)).await.unwrap().counts.total() })
    });
    let mut applied = 0;
    for run in runs.collect::<Vec<_>>() {
        applied += run.await.unwrap();
    }
    assert_eq!(applied, log.all().len() as u64);
    assert_same(&model(&dsn).await.digests().await.unwrap().1, &reference_digest(&log.all()));
}

#[tokio::test]
async fn lost_connection_in_the_middle_leaves_rows_and_checkpoint_together() {
    let (log, dsn) = (BentLog::history(13, 2_000), migrated());
    let mut broken = model(&dsn).await;
    let killer = client(&dsn).await;
    let killing = async {
        loop {
            let done = model(&dsn).await.checkpoint().await.unwrap() > 0;
            if done {
                break;
            }
        }
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
        killer.query_one(kill, &[]).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(broken.catch_up(&log, of(10)), killing);
    assert!(outcome.is_err());
    let mut model = model(&dsn).await;
    let checkpoint = model.checkpoint().await.unwrap();
    let applied: Vec<_> = log.all().into_iter().filter(|message| message.sequence <= checkpoint).collect();
    assert_same(&model.digests().await.unwrap().1, &reference_digest(&applied));
    model.catch_up(&log, of(500)).await.unwrap();
    assert_same(&model.digests().await.unwrap().1, &reference_digest(&log.all()));
}
