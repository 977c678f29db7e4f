//! Rebuild against the fastest thing PostgreSQL offers: COPY BINARY of the same rows into the same tables and indexes.
//!
//! `cargo bench -p trstctl-ledger --bench rebuild -- [EVENTS [MEMORY_MIB]]`; 200,000 events and 256 MiB by default. Starts a
//! PostgreSQL of its own. Also measures readers during the rebuild, live tail and catch-up, diff, and peak memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use tokio_postgres::{Client, NoTls};
use trstctl_engines::Postgres;
use trstctl_formats::StoredMessage;
use trstctl_ledger::history::{Gaps, History, HistoryOptions};
use trstctl_ledger::log::{
    Accounting, Appended, EventLog, Expected, LogError, LogReader, LogState, NewMessage,
};
use trstctl_ledger::projection::{Fold, Step, Table};
use trstctl_ledger::read_model::{ReadModel, RebuildOptions};
use trstctl_migrations::files::{Phase, read_model_sql};
use trstctl_migrations::{Runner, connect};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let events = arguments.next().unwrap_or(200_000);
    let memory_bytes = arguments.next().map_or(256, |mib| mib as usize) << 20;
    let dsn = Postgres::shared().create_database().expect("a database");
    Runner::default().run(&mut connect::connect(&dsn).expect("a session")).expect("migrations");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&dsn, events, RebuildOptions { memory_bytes }));
}

async fn run(dsn: &str, events: u64, options: RebuildOptions) {
    let log = Memory::of(events);
    println!("the log takes {} MiB of this process", peak_mib());
    let idle = readers_while(dsn, tokio::time::sleep(Duration::from_secs(3))).await.1;
    let mut model = ReadModel::connect(dsn).await.expect("a read model");
    let (report, _) = readers_while(dsn, model.rebuild(&log, options, &|_| {})).await;
    let warm = report.expect("a rebuild");
    println!("with a reader beside: {:?}", warm.timings);
    let cpu = cpu_s();
    let report = model.rebuild(&log, options, &|_| {}).await.expect("a rebuild");
    println!("processor time of this process {:.2} s", cpu_s() - cpu);
    let rows: u64 = report.rows().iter().map(|(_, rows)| rows).sum();
    let timings = report.timings;
    let swapped = timings.total - timings.drop - timings.check;
    println!("{events} events, {rows} rows, {} spills, {} faults", report.spills, report.faults);
    println!("{:?}", report.rows().iter().map(|(t, n)| (t.name(), *n)).collect::<Vec<_>>());
    println!("{timings:?}");
    rate("rebuild until swapped", rows, swapped);
    rate("rebuild with checks and drop", rows, timings.total);
    println!("peak memory {} MiB", peak_mib());
    let data = copy_out(dsn).await;
    let indexed = copy_in(dsn, &data, Indexes::Before).await;
    rate("bare COPY into tables with indexes", rows, indexed);
    let bare = copy_in(dsn, &data, Indexes::After).await;
    rate("bare COPY, then indexes", rows, bare);
    println!(
        "ratio {:.2} to COPY into indexed tables, {:.2} to COPY then indexes",
        indexed.as_secs_f64() / swapped.as_secs_f64(),
        bare.as_secs_f64() / swapped.as_secs_f64()
    );
    let busy = readers_while(dsn, model.rebuild(&log, options, &|_| {})).await.1;
    println!("reader alone: {idle}; during a rebuild: {busy}");
    let begun = Instant::now();
    let drift = model.diff(&log, Default::default(), &|_| {}).await.expect("a diff");
    rate("diff", rows, begun.elapsed());
    assert_eq!(drift.total(), 0);
    catch_up(&mut model, dsn, events).await;
    parts(&log.0);
}

/// Processor time of the parts of a rebuild that need no server.
fn parts(messages: &[StoredMessage]) {
    let begun = cpu_s();
    let steps: Vec<Step> = messages.iter().map(Step::read).collect();
    let parsed = cpu_s();
    let mut fold = Fold::of_empty_model();
    steps.into_iter().for_each(|step| fold.apply(step));
    let folded = cpu_s();
    let changes = fold.into_changes();
    println!(
        "processor time: parse {:.2} s, fold {:.2} s, to rows {:.2} s ({} tables)",
        parsed - begun,
        folded - parsed,
        cpu_s() - folded,
        changes.tables.len()
    );
}

/// From an empty model, in the usual batches.
async fn catch_up(model: &mut ReadModel, dsn: &str, events: u64) {
    model.rebuild(&Memory::of(0), RebuildOptions::default(), &|_| {}).await.expect("a rebuild");
    let _ = dsn;
    let begun = Instant::now();
    let log = Memory::of(events.min(20_000));
    model.catch_up(&log, Default::default()).await.expect("catching up");
    rate("catch-up, events", log.0.len() as u64, begun.elapsed());
}

fn rate(what: &str, count: u64, elapsed: Duration) {
    println!("{what}: {:.2} s, {:.0}/s", elapsed.as_secs_f64(), count as f64 / elapsed.as_secs_f64());
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// User and system time so far, in ticks of 10 ms.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

async fn client(dsn: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Point queries, one after the other, while something else runs.
async fn readers_while<T>(dsn: &str, work: impl Future<Output = T>) -> (T, String) {
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (client, stop) = (client(dsn).await, stop.clone());
        async move {
            let sql = "SELECT name FROM read_model.owners WHERE tenant_id = gen_random_uuid() AND id = gen_random_uuid()";
            let statement = client.prepare(sql).await.expect("prepared");
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.query(&statement, &[]).await.expect("a reader is never refused");
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            times
        }
    });
    let outcome = work.await;
    stop.store(true, Ordering::Relaxed);
    let times = reader.await.expect("a reader");
    let at = |permille: usize| times.get(times.len() * permille / 1000).copied().unwrap_or_default();
    let text = format!("p50 {:?}, p99 {:?}, max {:?} of {}", at(500), at(990), times.last(), times.len());
    (outcome, text)
}

async fn copy_out(dsn: &str) -> Vec<(Table, Vec<Bytes>)> {
    let client = client(dsn).await;
    let mut all = Vec::new();
    for table in Table::ALL {
        let sql = format!("COPY read_model.{} TO STDOUT (FORMAT binary)", table.name());
        let chunks: Vec<Bytes> =
            client.copy_out(&sql).await.expect("copied").try_collect().await.expect("copied");
        // One message a row otherwise: as large as a client would send them.
        let joined: Bytes = chunks.concat().into();
        let pieces = (0..joined.len())
            .step_by(256 << 10)
            .map(|at| joined.slice(at..joined.len().min(at + (256 << 10))));
        all.push((table, pieces.collect()));
    }
    all
}

#[derive(Clone, Copy, PartialEq)]
enum Indexes {
    Before,
    After,
}

async fn copy_in(dsn: &str, data: &[(Table, Vec<Bytes>)], indexes: Indexes) -> Duration {
    let client = client(dsn).await;
    let only_indexes = |phase| -> Vec<String> {
        let statements = read_model_sql(phase).flat_map(|text| text.split(';'));
        statements.filter(|s| s.contains("INDEX") || s.contains("PRIMARY KEY")).map(str::to_owned).collect()
    };
    let keys = [only_indexes(Phase::Keys), only_indexes(Phase::Access)].concat().join(";");
    let tables: String = read_model_sql(Phase::Tables).collect();
    let start = format!(
        "DROP SCHEMA IF EXISTS yardstick CASCADE; CREATE SCHEMA yardstick; SET search_path = yardstick; {tables}"
    );
    client.batch_execute(&start).await.expect("a schema");
    if indexes == Indexes::Before {
        client.batch_execute(&keys).await.expect("indexes");
    }
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
    if indexes == Indexes::After {
        client.batch_execute(&keys).await.expect("indexes");
    }
    begun.elapsed()
}

/// A log in memory.
struct Memory(Arc<Vec<StoredMessage>>);

struct Reading {
    messages: Arc<Vec<StoredMessage>>,
    at: usize,
    end: usize,
    accounting: Accounting,
}

impl Memory {
    fn of(events: u64) -> Self {
        let options = HistoryOptions { gaps: Gaps::None, ..HistoryOptions::default() };
        // Without what empties a tenant, so that about as many rows as events are left.
        let leaves =
            |message: &StoredMessage| message.payload.windows(17).any(|text| text == b"tenant.offboarded");
        let kept = History::with_options(7, events, options).stored().filter(|message| !leaves(message));
        let numbered = kept.zip(1..).map(|(message, sequence)| StoredMessage { sequence, ..message });
        Self(Arc::new(numbered.collect()))
    }
}

impl EventLog for Memory {
    type Reader = Reading;

    async fn state(&self) -> Result<LogState, LogError> {
        let messages = self.0.len() as u64;
        Ok(LogState { first_sequence: 1, last_sequence: messages, messages, len_bytes: 0 })
    }

    async fn append(&self, _: NewMessage, _: Expected) -> Result<Appended, LogError> {
        panic!("nothing is appended")
    }

    async fn read(&self, from: u64, through: u64) -> Result<Reading, LogError> {
        let messages = self.0.clone();
        Ok(Reading {
            messages,
            at: from as usize - 1,
            end: through as usize,
            accounting: Accounting::default(),
        })
    }
}

impl LogReader for Reading {
    async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
        let end = self.end.min(self.at + 4_000);
        let batch = self.messages[self.at..end].to_vec();
        self.at = end;
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn accounting(&self) -> &Accounting {
        &self.accounting
    }
}
