//! Drift: found by table, tenant and key, and nothing is changed.

use std::collections::BTreeSet;

use trstctl_ledger::projection::{Table, Value};
use trstctl_ledger::read_model::{DiffOptions, DriftKind, DriftReport};

use crate::support::*;

async fn diff(dsn: &str, log: &BentLog) -> DriftReport {
    model(dsn).await.diff(log, DiffOptions::default(), &silent).await.unwrap()
}

async fn rebuilt(log: &BentLog) -> String {
    let dsn = migrated();
    rebuild(&model(&dsn).await, log).await;
    dsn
}

#[tokio::test]
async fn model_that_is_the_fold_has_no_drift() {
    let log = BentLog::history(40, 2_000);
    let report = diff(&rebuilt(&log).await, &log).await;
    assert_eq!(report.total(), 0, "{:?}", report.rows);
    assert_eq!(report.checkpoint, report.last_sequence);
    assert_eq!(report.events, log.all().len() as u64);
}

#[tokio::test]
async fn changed_missing_and_extra_rows_are_found_by_table_tenant_and_key() {
    let log = BentLog::history(41, 2_000);
    let dsn = rebuilt(&log).await;
    let client = client(&dsn).await;
    client
        .batch_execute(
            "UPDATE read_model.owners SET email = 'x' || email, kind = 'y' || kind
                 WHERE (tenant_id, id) = (SELECT tenant_id, id FROM read_model.owners ORDER BY 1, 2 LIMIT 1);
             DELETE FROM read_model.identities
                 WHERE (tenant_id, id) = (SELECT tenant_id, id FROM read_model.identities ORDER BY 1, 2 LIMIT 1);
             INSERT INTO read_model.tenants
                 VALUES ('99999999-0000-4000-8000-000000000000', 'nobody', '2026-01-01');
             DELETE FROM read_model.projection_faults
                 WHERE sequence = (SELECT min(sequence) FROM read_model.projection_faults WHERE tenant_id IS NULL);",
        )
        .await
        .unwrap();
    let before = model(&dsn).await.digests().await.unwrap();
    let report = diff(&dsn, &log).await;
    let found: Vec<_> = report.rows.iter().map(|row| (row.table, row.kind)).collect();
    assert_eq!(
        found,
        [
            (Table::Tenants, DriftKind::Extra),
            (Table::Owners, DriftKind::Changed),
            (Table::Identities, DriftKind::Missing),
            (Table::ProjectionFaults, DriftKind::Missing),
        ]
    );
    let [tenant, owner, identity, fault] = &report.rows[..] else { panic!("four rows") };
    assert_eq!(tenant.key, [Value::Uuid(tenant.tenant.unwrap())]);
    assert_eq!(owner.columns, ["kind", "email"]);
    assert_eq!((owner.key.len(), identity.key.len()), (2, 2));
    assert_eq!((fault.tenant, fault.key.len()), (None, 1));
    assert_eq!(report.total(), 4);
    assert_eq!(model(&dsn).await.digests().await.unwrap(), before, "nothing was changed");
}

#[tokio::test]
async fn only_so_many_rows_of_a_table_are_listed_and_all_are_counted() {
    let log = BentLog::history(42, 2_000);
    let dsn = rebuilt(&log).await;
    let client = client(&dsn).await;
    let mut gone = client.execute("DELETE FROM read_model.certificates", &[]).await.unwrap();
    gone += client.execute("DELETE FROM read_model.owners", &[]).await.unwrap();
    let options = DiffOptions { max_listed: 3, ..DiffOptions::default() };
    let report = model(&dsn).await.diff(&log, options, &silent).await.unwrap();
    assert_eq!((report.total(), report.rows.len()), (gone, 6));
    assert_eq!(report.rows.iter().filter(|row| row.table == Table::Owners).count(), 3);
    assert!(report.is_cut());
    let tenants: BTreeSet<_> = report.counts.keys().map(|(_, tenant, _)| *tenant).collect();
    assert!(tenants.len() > 1, "counted by tenant");
}

#[tokio::test]
async fn model_that_lags_has_no_drift() {
    let log = BentLog::history(43, 2_000);
    let dsn = migrated();
    let all = log.all();
    let mut lagging = model(&dsn).await;
    let last = all.last().unwrap().sequence;
    lagging.apply(0, &all[..700], last).await.unwrap();
    let report = diff(&dsn, &log).await;
    assert_eq!((report.total(), report.checkpoint, report.last_sequence), (0, all[699].sequence, last));
}

#[tokio::test]
async fn diff_in_a_tiny_memory_finds_the_same() {
    let log = BentLog::history(44, 2_000);
    let dsn = rebuilt(&log).await;
    client(&dsn).await.batch_execute("UPDATE read_model.issuers SET name = name || '!'").await.unwrap();
    let full = diff(&dsn, &log).await;
    let options = DiffOptions { memory_bytes: 50_000, ..DiffOptions::default() };
    let tiny = model(&dsn).await.diff(&log, options, &silent).await.unwrap();
    assert!(full.total() > 0);
    assert_eq!(tiny, full);
}

#[tokio::test]
async fn diff_leaves_no_shadow_behind() {
    let log = BentLog::history(45, 300);
    let dsn = rebuilt(&log).await;
    diff(&dsn, &log).await;
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'read_model%'";
    assert_eq!(client(&dsn).await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_beside_a_live_tail_finds_no_drift() {
    let all = history(46, 3_000);
    let log = BentLog::of(all[..500].to_vec());
    let dsn = rebuilt(&log).await;
    let tail = tokio::spawn({
        let (log, dsn, rest) = (log.clone(), dsn.clone(), all[500..].to_vec());
        async move {
            let mut model = model(&dsn).await;
            for messages in rest.chunks(5) {
                log.push(messages.to_vec());
                model.catch_up(&log, Default::default()).await.unwrap();
            }
        }
    });
    while !tail.is_finished() {
        let report = diff(&dsn, &log).await;
        assert_eq!(report.total(), 0, "{:?}", report.rows);
    }
    tail.await.unwrap();
}

#[tokio::test]
async fn dangling_references_of_the_model_are_reported() {
    let log = BentLog::history(47, 2_000);
    let dsn = rebuilt(&log).await;
    let of_the_log = reference(&log.all()).dangling().len() as u64;
    let count = |report: &DriftReport| report.dangling.iter().map(|count| count.rows).sum::<u64>();
    assert_eq!(count(&diff(&dsn, &log).await), of_the_log, "an event may refer to nothing: no drift");
    client(&dsn).await.batch_execute("DELETE FROM read_model.owners").await.unwrap();
    let report = diff(&dsn, &log).await;
    assert!(count(&report) > of_the_log, "{:?}", report.dangling);
    assert!(report.dangling.iter().any(|count| count.reference.parent == Table::Owners));
}
