//! Repair: rows that differ become what the log makes of them, and nothing else is touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use trstctl_ledger::projection::Table;
use trstctl_ledger::read_model::{DiffOptions, DriftKind, ReadModelError, RepairReport};
use trstctl_migrations::lock_keys;

use crate::support::*;

/// Alters, removes and invents rows of several tables and tenants.
const DAMAGE: &str = "
    UPDATE read_model.owners SET email = 'x' || email WHERE right(id::text, 1) < '4';
    UPDATE read_model.certificates SET sans = sans || 'evil.example'::text, status = 'active', not_after = NULL
        WHERE right(id::text, 1) < '2';
    UPDATE read_model.identities SET attributes = '{\"a\": 1.50}' WHERE right(id::text, 1) = '7';
    DELETE FROM read_model.identities WHERE right(id::text, 1) < '3';
    DELETE FROM read_model.identity_transitions WHERE sequence % 5 = 0;
    DELETE FROM read_model.tenants WHERE tenant_id = (SELECT min(tenant_id::text)::uuid FROM read_model.tenants);
    INSERT INTO read_model.tenants VALUES ('99999999-0000-4000-8000-000000000000', 'nobody', '2026-01-01');
    INSERT INTO read_model.ca_crls (tenant_id, ca_id, crl_number, crl_der, this_update, next_update, revoked_count)
        VALUES ('99999999-0000-4000-8000-000000000000', '99999999-0000-4000-8000-000000000001', 9, '\\x00', now(), now(), 1);
    DELETE FROM read_model.projection_faults WHERE sequence % 2 = 0;
    INSERT INTO read_model.projection_faults (sequence, reason) VALUES (1, 'invented');
";

async fn repair(dsn: &str, log: &BentLog) -> RepairReport {
    model(dsn).await.repair(log, DiffOptions::default(), &silent).await.unwrap()
}

/// A model of a history, rebuilt, then damaged.
async fn damaged(log: &BentLog) -> String {
    let dsn = migrated();
    rebuild(&model(&dsn).await, log).await;
    client(&dsn).await.batch_execute(DAMAGE).await.unwrap();
    dsn
}

async fn assert_is_the_fold(dsn: &str, log: &BentLog) {
    let mut model = model(dsn).await;
    let drift = model.diff(log, DiffOptions::default(), &silent).await.unwrap();
    assert_eq!(drift.total(), 0, "{:?}", drift.rows);
    let (_, digests) = model.digests().await.unwrap();
    assert_same(&digests, &reference_digest(&log.all()));
}

/// Which transaction wrote each row: a row that a repair did not touch keeps its own.
async fn writers(dsn: &str) -> Vec<(String, String, u32)> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let key = table.key().join(", ");
        let sql = format!("SELECT ROW({key})::text, xmin::text::bigint FROM read_model.{}", table.name());
        for row in client(dsn).await.query(&sql, &[]).await.unwrap() {
            found.push((table.name().to_owned(), row.get(0), u32::try_from(row.get::<_, i64>(1)).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn altered_missing_and_extra_rows_are_mended_listed_and_no_other_row_is_written() {
    let log = BentLog::history(60, 3_000);
    let dsn = damaged(&log).await;
    let drift = model(&dsn).await.diff(&log, DiffOptions::default(), &silent).await.unwrap();
    let before = writers(&dsn).await;
    let report = repair(&dsn, &log).await;
    assert_eq!(report.mended, drift.counts, "what was found is what was mended");
    assert!(report.rows == drift.rows, "each row is listed");
    assert_eq!((report.settled, report.after.total()), (0, 0));
    let tables: std::collections::BTreeSet<_> = report.mended.keys().map(|key| key.0).collect();
    let tenants: std::collections::BTreeSet<_> = report.mended.keys().map(|key| key.1).collect();
    assert!(tables.len() >= 6 && tenants.len() >= 4, "{tables:?} {tenants:?}");
    let after = writers(&dsn).await;
    let written = after.iter().filter(|row| !before.contains(row)).count() as u64;
    let deleted: u64 =
        report.mended.iter().filter(|(key, _)| key.2 == DriftKind::Extra).map(|(_, rows)| rows).sum();
    assert_eq!(written, report.total() - deleted, "rows that were right were left alone");
    assert_is_the_fold(&dsn, &log).await;
    assert_eq!(repair(&dsn, &log).await.total(), 0, "there is nothing left to mend");
}

#[tokio::test]
async fn repair_in_a_tiny_memory_and_with_a_short_list_mends_all() {
    let log = BentLog::history(61, 2_000);
    let dsn = damaged(&log).await;
    let options = DiffOptions { memory_bytes: 50_000, max_listed: 1 };
    let report = model(&dsn).await.repair(&log, options, &silent).await.unwrap();
    assert!(report.is_cut() && report.rows.len() <= Table::ALL.len(), "{:?}", report.rows);
    assert_is_the_fold(&dsn, &log).await;
}

#[tokio::test]
async fn model_that_lags_is_mended_up_to_its_checkpoint_only() {
    let log = BentLog::history(62, 2_000);
    let dsn = migrated();
    let (all, last) = (log.all(), log.all().last().unwrap().sequence);
    model(&dsn).await.apply(0, &all[..900], last).await.unwrap();
    client(&dsn).await.batch_execute(DAMAGE).await.unwrap();
    let report = repair(&dsn, &log).await;
    assert_eq!((report.after.total(), report.after.checkpoint), (0, all[899].sequence));
    let mut model = model(&dsn).await;
    model.catch_up(&log, Default::default()).await.unwrap();
    assert_same(&model.digests().await.unwrap().1, &reference_digest(&all));
}

#[tokio::test]
async fn reader_with_an_open_snapshot_neither_waits_nor_makes_the_repair_wait() {
    let log = BentLog::history(63, 2_000);
    let dsn = damaged(&log).await;
    let reader = client(&dsn).await;
    reader.batch_execute("SET lock_timeout = '1ms'; BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let count = "SELECT count(*) FROM read_model.owners WHERE email LIKE 'x%'";
    let seen: i64 = reader.query_one(count, &[]).await.unwrap().get(0);
    assert!(seen > 0);
    assert_eq!(repair(&dsn, &log).await.after.total(), 0);
    assert_eq!(reader.query_one(count, &[]).await.unwrap().get::<_, i64>(0), seen, "its snapshot stays");
    reader.batch_execute("COMMIT").await.unwrap();
    assert!(reader.query_one(count, &[]).await.unwrap().get::<_, i64>(0) < seen);
}

/// A session that holds a damaged row of this table until it ends its transaction.
async fn holding_a_row(dsn: &str, table: Table) -> tokio_postgres::Client {
    let holder = client(dsn).await;
    let name = table.name();
    let sql = format!(
        "BEGIN; UPDATE read_model.{name} SET id = id
                    WHERE (tenant_id, id) = (SELECT tenant_id, id FROM read_model.{name}
                                             WHERE right(id::text, 1) < '2' ORDER BY 1, 2 LIMIT 1)"
    );
    holder.batch_execute(&sql).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn row_that_the_tail_changes_after_it_was_noted_is_mended_to_what_it_is_now() {
    let all = history(67, 4_000);
    let log = BentLog::of(all[..2_000].to_vec());
    let dsn = damaged(&log).await;
    // All keys are noted when the repair comes to the owners, and waits there.
    let holder = holding_a_row(&dsn, Table::Owners).await;
    let running = tokio::spawn({
        let (log, dsn) = (log.clone(), dsn.clone());
        async move { repair(&dsn, &log).await }
    });
    let looking = client(&dsn).await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let begun = std::time::Instant::now();
    while !looking.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < Duration::from_secs(60) && !running.is_finished(), "it never waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let of_certificates = |message: &&trstctl_formats::StoredMessage| {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        ["revoked", "superseded"].iter().any(|what| text.contains(&format!("\"certificate.{what}\"")))
    };
    log.push(all[2_000..].iter().filter(of_certificates).cloned().collect());
    let applied = model(&dsn).await.catch_up(&log, Default::default()).await.unwrap();
    assert!(applied.counts.projected > 20, "{applied:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let report = running.await.unwrap();
    let mut keys: Vec<_> = report.rows.iter().map(|row| (row.table, &row.key)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), report.rows.len(), "no row had to be mended twice");
    assert_eq!(report.after.checkpoint, applied.checkpoint);
    assert_is_the_fold(&dsn, &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_that_is_killed_in_the_middle_leaves_less_and_the_next_one_ends_it() {
    let log = BentLog::history(64, 3_000);
    let dsn = damaged(&log).await;
    // Certificates come after owners: the repair mends these, and waits at those.
    let holder = holding_a_row(&dsn, Table::Certificates).await;
    let running: JoinHandle<_> = tokio::spawn({
        let (log, dsn) = (log.clone(), dsn.clone());
        async move { repair(&dsn, &log).await }
    });
    let looking = client(&dsn).await;
    let left = "SELECT (SELECT count(*) FROM read_model.owners WHERE email LIKE 'x%'),
                       (SELECT count(*) FROM read_model.certificates WHERE 'evil.example' = ANY (sans))";
    let begun = std::time::Instant::now();
    loop {
        let row = looking.query_one(left, &[]).await.unwrap();
        if row.get::<_, i64>(0) == 0 {
            assert!(row.get::<_, i64>(1) > 0, "it is in the middle");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the owners are not mended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    holder.batch_execute("ROLLBACK").await.unwrap();
    let report = repair(&dsn, &log).await;
    assert!(
        report.total() > 0 && report.mended.keys().all(|key| key.0 != Table::Owners),
        "{:?}",
        report.mended
    );
    assert_is_the_fold(&dsn, &log).await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'read_model%'";
    assert_eq!(looking.query_one(schemas, &[]).await.unwrap().get::<_, i64>(0), 1, "no shadow is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_beside_a_live_tail_undoes_nothing_of_it() {
    let all = history(65, 4_000);
    let log = BentLog::of(all[..1_000].to_vec());
    let dsn = damaged(&log).await;
    let rounds = Arc::new(AtomicU32::new(0));
    let tail = tokio::spawn({
        let (log, dsn, rest, rounds) = (log.clone(), dsn.clone(), all[1_000..].to_vec(), rounds.clone());
        async move {
            let mut model = model(&dsn).await;
            for (number, messages) in rest.chunks(20).enumerate() {
                log.push(messages.to_vec());
                model.catch_up(&log, Default::default()).await.unwrap();
                // The last ones wait for a repair that they outlive.
                while number > rest.len() / 40 && rounds.load(Ordering::SeqCst) < 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    });
    // All rows at once, as the tail does its own: in turn with it, or each could wait for the other's rows.
    let damage = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({}); UPDATE read_model.owners SET name = name || '!'; COMMIT",
        lock_keys::PROJECTION
    );
    while !tail.is_finished() {
        assert_eq!(repair(&dsn, &log).await.after.total(), 0, "nobody but the tail writes");
        client(&dsn).await.batch_execute(&damage).await.unwrap();
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    tail.await.unwrap();
    repair(&dsn, &log).await;
    assert_is_the_fold(&dsn, &log).await;
}

#[tokio::test]
async fn repair_of_a_model_ahead_of_the_log_writes_nothing() {
    let log = BentLog::history(66, 1_000);
    let dsn = damaged(&log).await;
    client(&dsn)
        .await
        .batch_execute("UPDATE public.projection_checkpoint SET sequence = sequence + 9")
        .await
        .unwrap();
    let before = writers(&dsn).await;
    let error = model(&dsn).await.repair(&log, DiffOptions::default(), &silent).await.unwrap_err();
    assert!(matches!(error, ReadModelError::CheckpointAhead { .. }), "{error}");
    assert_eq!(writers(&dsn).await, before);
}

#[tokio::test]
async fn model_whose_checkpoint_was_set_back_is_not_mended() {
    let log = BentLog::history(70, 600);
    let dsn = damaged(&log).await;
    let before = writers(&dsn).await;
    for sql in
        ["UPDATE public.projection_checkpoint SET sequence = 20", "DELETE FROM public.projection_checkpoint"]
    {
        client(&dsn).await.batch_execute(sql).await.unwrap();
        let error = model(&dsn).await.repair(&log, DiffOptions::default(), &silent).await.unwrap_err();
        assert!(matches!(error, ReadModelError::CheckpointBehind { found: 21.., .. }), "{sql}: {error}");
    }
    assert_eq!(writers(&dsn).await, before);
}
