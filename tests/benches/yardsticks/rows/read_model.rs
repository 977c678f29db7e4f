//! Rebuild against the fastest thing that PostgreSQL offers, COPY BINARY of the same rows into the same tables with their
//! indexes; its memory; and readers during it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use serde_json::Value;
use tokio_postgres::{Client, NoTls, Statement};
use trstctl_ledger::projection::Table;
use trstctl_migrations::files::{Phase, read_model_sql};
use trstctl_tests::{Run, Site};

use super::{backups, child};
use crate::figures::{Figures, Unit, alternate, seconds};
use crate::row::{Reach, Row, Yardstick};
use crate::setting::Setting;

const MIB: f64 = 1024.0 * 1024.0;
/// What the rebuild whose memory is measured may keep, and 64 MiB.
const BOUND_MIB: u32 = 256;
const MEMORY: f64 = (BOUND_MIB as f64 + 64.0) * MIB;
const IDLE: Duration = Duration::from_secs(5);

fn site_with_log(setting: &Setting, events: u64) -> Site {
    let site = Site::start();
    let file = backups::without_offboarding(setting, events);
    let mut command = site.command(&["restore", "--quiet"]);
    command.arg(file).env("TRSTCTL_AUDIT_SIGNING_KEY_FILE", backups::key_file(setting));
    child::succeeds(&mut command);
    site
}

/// Dangling references are told, and are no failure.
fn rebuild(site: &Site) -> Value {
    let run = Run::of(&mut site.command(&["rebuild", "--json"]));
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
    run.json()
}

/// The whole process: start, reading the log, folding, tables, indexes, swap, digests.
pub fn speed(setting: &Setting) -> Vec<Row> {
    let site = site_with_log(setting, setting.events);
    let report = rebuild(&site);
    let rows: u64 = report["rows"].as_object().expect("rows").values().filter_map(Value::as_u64).sum();
    let data = site.block_on(copy_out(site.dsn()));
    let copy = || rows as f64 / site.block_on(copy_in(site.dsn(), &data));
    let ours = || rows as f64 / seconds(|| drop(rebuild(&site)));
    let (theirs, ours) = alternate(Unit::RowsPerSecond, setting.rounds, copy, ours);
    vec![Row {
        name: String::new(),
        what: format!(
            "rebuild, {:.1} M events, {:.1} M rows",
            setting.events as f64 / 1e6,
            rows as f64 / 1e6
        ),
        yardstick: Some(Yardstick { name: String::from("bare COPY BINARY"), figures: theirs }),
        ours,
        reach: Reach::AtLeastTimes(0.7),
        limit: String::from(
            "both cores: the server's delivery, parsing and folding, PostgreSQL's COPY and keys, and reading back for digests.",
        ),
    }]
}

/// A tenth of the events, and all of them.
pub fn memory(setting: &Setting) -> Vec<Row> {
    let peak = |events: u64| {
        let site = site_with_log(setting, events);
        let bytes = child::peak_bytes(
            site.command(&["rebuild", "--json", "--memory-mib"]).arg(BOUND_MIB.to_string()),
        );
        Row {
            name: String::new(),
            what: format!("memory of rebuild, {:.1} M events", events as f64 / 1e6),
            yardstick: None,
            ours: Figures::once(Unit::Bytes, bytes),
            reach: Reach::AtMost(MEMORY),
            limit: String::from("the bound on folded rows, here 256 MiB, and a few batches under way."),
        }
    };
    [setting.events / 10, setting.events].map(peak).into()
}

/// A point query by key, again and again, with and without a rebuild beside it.
pub fn readers(setting: &Setting) -> Vec<Row> {
    let site = site_with_log(setting, setting.events);
    rebuild(&site);
    let idle = site.block_on(async { read_while(site.dsn(), tokio::time::sleep(IDLE)).await });
    let busy = site.block_on(async {
        let mut command = site.command(&["rebuild", "--json"]);
        let rebuilding = tokio::task::spawn_blocking(move || Run::of(&mut command).code);
        read_while(site.dsn(), async { assert!(matches!(rebuilding.await, Ok(Some(0 | 1)))) }).await
    });
    let figure = |value: Duration| Figures::once(Unit::Seconds, value.as_secs_f64());
    let limit = "two cores for the server, PostgreSQL, the rebuild and the reader.";
    vec![
        Row {
            name: String::new(),
            what: String::from("readers during rebuild, p99"),
            yardstick: Some(Yardstick { name: String::from("without"), figures: figure(idle.p99) }),
            ours: figure(busy.p99),
            reach: Reach::AtMostTimes(3.0),
            limit: limit.to_owned(),
        },
        Row {
            name: String::new(),
            what: String::from("readers during rebuild, longest wait"),
            yardstick: None,
            ours: figure(busy.longest),
            reach: Reach::AtMost(0.1),
            limit: limit.to_owned(),
        },
    ]
}

struct Waits {
    p99: Duration,
    longest: Duration,
}

async fn client(dsn: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

async fn read_while(dsn: &str, work: impl Future<Output = ()>) -> Waits {
    let client = client(dsn).await;
    let owner =
        client.query_one("SELECT tenant_id::text, id::text FROM read_model.owners LIMIT 1", &[]).await;
    let owner = owner.expect("there are owners");
    let key: (String, String) = (owner.get(0), owner.get(1));
    let sql = "SELECT name FROM read_model.owners WHERE tenant_id = $1::text::uuid AND id = $2::text::uuid";
    let statement = client.prepare(sql).await.expect("a statement");
    let is_done = AtomicBool::new(false);
    let working = async {
        work.await;
        is_done.store(true, Ordering::Relaxed);
    };
    let (mut waits, ()) = tokio::join!(read_until(&is_done, &client, &statement, &key), working);
    waits.sort_unstable();
    Waits { p99: waits[waits.len() * 99 / 100], longest: waits[waits.len() - 1] }
}

async fn read_until(
    is_done: &AtomicBool,
    client: &Client,
    statement: &Statement,
    key: &(String, String),
) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !is_done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.query_one(statement, &[&key.0, &key.1]).await.expect("a reader always finds its row");
        waits.push(begun.elapsed());
    }
    waits
}

/// The rows of each table, as COPY BINARY gives them, in the order of a log: what comes after each other in it has
/// nothing to do with the order of the keys, which are of many tenants and random. Who copies rows as they come meets the
/// indexes in that order; to sort them first is a part of a rebuild.
async fn copy_out(dsn: &str) -> Vec<(Table, Vec<Bytes>)> {
    const PIECE: usize = 256 << 10;
    let client = client(dsn).await;
    let mut all = Vec::new();
    for table in Table::ALL {
        let order = if table == Table::IdentityTransitions { "sequence" } else { "md5(t::text)" };
        let rows = format!("SELECT * FROM read_model.{} t ORDER BY {order}", table.name());
        let sql = format!("COPY ({rows}) TO STDOUT (FORMAT binary)");
        let chunks: Vec<Bytes> =
            client.copy_out(&sql).await.expect("a copy").try_collect().await.expect("a copy");
        // One message a row otherwise: as large as a client would send them.
        let joined = Bytes::from(chunks.concat());
        let pieces =
            (0..joined.len()).step_by(PIECE).map(|at| joined.slice(at..joined.len().min(at + PIECE)));
        all.push((table, pieces.collect()));
    }
    all
}

/// Seconds of copying them into new tables that have their indexes.
async fn copy_in(dsn: &str, data: &[(Table, Vec<Bytes>)]) -> f64 {
    let client = client(dsn).await;
    let is_index = |statement: &&str| statement.contains("INDEX") || statement.contains("PRIMARY KEY");
    let indexes = [Phase::Keys, Phase::Access].map(|phase| {
        let statements = read_model_sql(phase).flat_map(|text| text.split(';'));
        statements.filter(is_index).collect::<Vec<_>>().join(";")
    });
    let tables: String = read_model_sql(Phase::Tables).collect();
    let schema =
        "DROP SCHEMA IF EXISTS yardstick CASCADE; CREATE SCHEMA yardstick; SET search_path = yardstick";
    let begin = format!("{schema}; {tables}; {}", indexes.join(";"));
    client.batch_execute(&begin).await.expect("tables with indexes");
    let begun = Instant::now();
    for (table, chunks) in data {
        let sql = format!("COPY {} FROM STDIN (FORMAT binary)", table.name());
        let sink = client.copy_in(&sql).await.expect("a copy");
        pin_mut!(sink);
        for chunk in chunks {
            sink.feed(chunk.clone()).await.expect("a copy");
        }
        sink.finish().await.expect("a copy");
    }
    let elapsed = begun.elapsed().as_secs_f64();
    client.batch_execute("DROP SCHEMA yardstick CASCADE").await.expect("it is dropped");
    elapsed
}
