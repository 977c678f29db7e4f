//! A migrated database for each test, logs in memory that can be bent, and the reference model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio_postgres::{Client, NoTls};
use trstctl_engines::Postgres;
use trstctl_formats::StoredMessage;
use trstctl_ledger::history::{History, HistoryOptions};
use trstctl_ledger::log::{
    Accounting, Appended, EventLog, Expected, LogError, LogReader, LogState, NewMessage,
};
use trstctl_ledger::projection::{MemoryModel, ModelDigest};
use trstctl_ledger::read_model::{Progress, ReadModel, RebuildOptions, RebuildReport};
use trstctl_migrations::Runner;
use trstctl_migrations::connect::connect;

/// A fresh database with all migrations applied, as its superuser.
pub fn migrated() -> String {
    let dsn = Postgres::shared().create_database().expect("a database");
    migrate(dsn.clone());
    dsn
}

/// The synchronous client must not run inside the test's runtime.
pub fn migrate(dsn: String) {
    let run = move || Runner::default().run(&mut connect(&dsn).expect("a session")).map(drop);
    std::thread::spawn(run).join().expect("no panic").expect("migrations run");
}

/// A plain session as superuser.
pub async fn client(dsn: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

pub async fn model(dsn: &str) -> ReadModel {
    ReadModel::connect(dsn).await.expect("a read model")
}

pub async fn rebuild<L: EventLog>(model: &ReadModel, log: &L) -> RebuildReport {
    model.rebuild(log, RebuildOptions::default(), &silent).await.expect("a rebuild")
}

pub fn silent(_: Progress) {}

/// A log in memory whose end can be moved, and whose readers can be made to append or to fail.
#[derive(Clone, Default)]
pub struct BentLog {
    pub messages: Arc<Mutex<Vec<StoredMessage>>>,
    pub last_sequence: Arc<AtomicU64>,
    /// Appended one after the other, each time a reading begins.
    pub arriving: Arc<Mutex<Vec<Vec<StoredMessage>>>>,
    /// Readings begun.
    pub readings: Arc<AtomicU64>,
    /// The reading of this number, from 1, never answers.
    pub hanging_reading: u64,
    /// Readers fail after this many batches.
    pub fail_after_batches: Option<usize>,
}

impl BentLog {
    pub fn of(messages: Vec<StoredMessage>) -> Self {
        let log = Self::default();
        log.push(messages);
        log
    }

    /// A history without what its gaps delete at the end: the log ends at its last message.
    pub fn history(seed: u64, events: u64) -> Self {
        Self::of(history(seed, events))
    }

    pub fn push(&self, more: Vec<StoredMessage>) {
        let last = more.last().map_or(0, |message| message.sequence);
        self.messages.lock().unwrap().extend(more);
        self.last_sequence.fetch_max(last, Ordering::SeqCst);
    }

    pub fn all(&self) -> Vec<StoredMessage> {
        self.messages.lock().unwrap().clone()
    }
}

impl EventLog for BentLog {
    type Reader = BentReader;

    async fn state(&self) -> Result<LogState, LogError> {
        let messages = self.messages.lock().unwrap();
        let last_sequence = self.last_sequence.load(Ordering::SeqCst);
        Ok(LogState {
            first_sequence: messages.first().map_or(last_sequence + 1, |message| message.sequence),
            last_sequence,
            messages: messages.len() as u64,
            len_bytes: 0,
        })
    }

    async fn append(&self, _: NewMessage, _: Expected) -> Result<Appended, LogError> {
        panic!("the read model appends nothing")
    }

    async fn read(&self, from: u64, through: u64) -> Result<BentReader, LogError> {
        assert!(through <= self.last_sequence.load(Ordering::SeqCst), "a reading beyond the end");
        if self.readings.fetch_add(1, Ordering::SeqCst) + 1 == self.hanging_reading {
            std::future::pending::<()>().await;
        }
        let wanted = |message: &&StoredMessage| (from..=through).contains(&message.sequence);
        let messages = self.messages.lock().unwrap().iter().filter(wanted).cloned().collect();
        let arriving = self.arriving.lock().unwrap().pop();
        if let Some(more) = arriving {
            self.push(more);
        }
        Ok(BentReader {
            messages,
            batches: 0,
            fail_after: self.fail_after_batches,
            accounting: Accounting::default(),
        })
    }
}

pub struct BentReader {
    messages: Vec<StoredMessage>,
    batches: usize,
    fail_after: Option<usize>,
    accounting: Accounting,
}

impl LogReader for BentReader {
    async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
        if self.fail_after == Some(self.batches) {
            return Err(LogError::Unaccounted { first: 1, last: 2 });
        }
        self.batches += 1;
        let batch: Vec<_> = self.messages.drain(..self.messages.len().min(137)).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn accounting(&self) -> &Accounting {
        &self.accounting
    }
}

/// A history with odd messages, gaps and poison.
pub fn history(seed: u64, events: u64) -> Vec<StoredMessage> {
    let options = HistoryOptions { poison_events: events / 50, ..HistoryOptions::default() };
    History::with_options(seed, events, options).stored().collect()
}

/// The model that these messages make, by the reference.
pub fn reference(messages: &[StoredMessage]) -> MemoryModel {
    let mut model = MemoryModel::new();
    model.apply(messages).expect("the reference applies everything");
    model
}

pub fn reference_digest(messages: &[StoredMessage]) -> ModelDigest {
    reference(messages).digest()
}

/// Says where two models differ instead of printing both.
pub fn assert_same(found: &ModelDigest, expected: &ModelDigest) {
    assert_eq!(found.differences(expected), [], "tables and tenants that differ");
    assert!(found.iter().next().is_some(), "an empty model proves nothing");
}
