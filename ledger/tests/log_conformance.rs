//! One contract, every log: in memory, on the newest nats-server installed, and on the oldest.
//!
//! Each fact is a function over a [`Bench`]; the macro at the end states it once for each kind of log.

use std::future::Future;

use bytes::Bytes;
use serde_json::json;
use trstctl_engines::{NatsOptions, NatsServer, installed_nats_servers};
use trstctl_formats::{Class, Failure, StoreTime, StoredMessage};
use trstctl_ledger::log::stream::StreamRequests;
use trstctl_ledger::log::{
    Accounting, Appended, EventLog, Expected, JetStreamLog, LogError, LogReader, MemoryLog, NewMessage,
    STREAM, StreamConfig,
};
use trstctl_ledger::wire::{ConnectOptions, Connection};

/// Largest message of the servers used here.
const MAX_PAYLOAD: u32 = 24 << 20;

/// A fresh log, with what a test needs besides the contract.
trait Bench: Sized {
    type Log: EventLog;

    /// `None` when this kind cannot be had here.
    fn start() -> impl Future<Output = Option<Self>>;

    fn log(&self) -> &Self::Log;

    /// Appends these bytes as they are.
    fn put(&self, subject: &[u8], headers: &[u8], payload: &[u8]) -> impl Future<Output = ()>;

    fn delete(&self, sequence: u64) -> impl Future<Output = ()>;
}

struct Memory(MemoryLog);

impl Bench for Memory {
    type Log = MemoryLog;

    async fn start() -> Option<Self> {
        Some(Self(MemoryLog::new()))
    }

    fn log(&self) -> &MemoryLog {
        &self.0
    }

    async fn put(&self, subject: &[u8], headers: &[u8], payload: &[u8]) {
        let sequence = self.0.state().await.unwrap().last_sequence + 1;
        let message = StoredMessage {
            sequence,
            stored_at: StoreTime(1_700_000_000_000_000_000 + sequence as i64),
            subject: Bytes::copy_from_slice(subject),
            headers: Bytes::copy_from_slice(headers),
            payload: Bytes::copy_from_slice(payload),
        };
        self.0.insert(message).unwrap();
    }

    async fn delete(&self, sequence: u64) {
        assert!(self.0.delete(sequence), "{sequence} was there");
    }
}

struct JetStream {
    log: JetStreamLog,
    connection: Connection,
    _server: NatsServer,
}

impl JetStream {
    async fn on(binary: trstctl_engines::Binary) -> Self {
        let options = NatsOptions {
            binary: Some(binary.path),
            max_payload: Some(MAX_PAYLOAD),
            ..NatsOptions::default()
        };
        let server = tokio::task::spawn_blocking(|| NatsServer::start(options)).await.unwrap().unwrap();
        let connection = Connection::connect(&ConnectOptions::new(server.url())).await.unwrap();
        let mut config = StreamConfig::new(STREAM, "events.>", 1).to_json();
        config.insert("deny_delete".to_owned(), json!(false));
        StreamRequests::new(&connection, STREAM).unwrap().create(&config).await.unwrap();
        let log = JetStreamLog::open(connection.clone(), STREAM).await.unwrap();
        Self { log, connection, _server: server }
    }

    async fn put(&self, subject: &[u8], headers: &[u8], payload: &[u8]) {
        let reply = self.connection.new_inbox();
        let mut answers = self.connection.subscribe(&reply).unwrap();
        self.connection.publish(subject, &reply, headers, payload).await.unwrap();
        let answer = answers.next().await.unwrap();
        let text = String::from_utf8_lossy(answer.payload()).into_owned();
        assert!(text.contains("\"seq\":"), "{text}");
    }

    async fn delete(&self, sequence: u64) {
        StreamRequests::new(&self.connection, STREAM).unwrap().delete_message(sequence).await.unwrap();
    }
}

struct Newest(JetStream);
struct Oldest(JetStream);

macro_rules! jetstream_bench {
    ($name:ident, $choose:expr) => {
        impl Bench for $name {
            type Log = JetStreamLog;

            async fn start() -> Option<Self> {
                let choose: fn(Vec<trstctl_engines::Binary>) -> Option<trstctl_engines::Binary> = $choose;
                Some(Self(JetStream::on(choose(installed_nats_servers())?).await))
            }

            fn log(&self) -> &JetStreamLog {
                &self.0.log
            }

            async fn put(&self, subject: &[u8], headers: &[u8], payload: &[u8]) {
                self.0.put(subject, headers, payload).await
            }

            async fn delete(&self, sequence: u64) {
                self.0.delete(sequence).await
            }
        }
    };
}

jetstream_bench!(Newest, |all| Some(all.into_iter().next().expect("a nats-server is installed")));
jetstream_bench!(Oldest, |all| if all.len() > 1 { all.into_iter().last() } else { None });

async fn read(log: &impl EventLog, from: u64, through: u64) -> (Vec<StoredMessage>, Accounting) {
    let mut reader = log.read(from, through).await.unwrap();
    let mut messages = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        assert!(!batch.is_empty());
        messages.extend(batch);
    }
    assert_eq!(reader.next_batch().await.unwrap(), None);
    (messages, reader.accounting().clone())
}

fn sequences(messages: &[StoredMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.sequence).collect()
}

fn message(subject: &str, id: &str, payload: &str) -> NewMessage {
    let headers = match id {
        "" => Bytes::new(),
        id => format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n").into(),
    };
    NewMessage { subject: subject.to_owned(), headers, payload: payload.to_owned().into() }
}

async fn filled(bench: &impl Bench, messages: u64) {
    for number in 1..=messages {
        bench.put(b"events.a", b"", format!("{number}").as_bytes()).await;
    }
}

async fn every_byte_comes_back_as_it_was_stored(bench: impl Bench) {
    let large = vec![7; (1 << 20) + 1];
    let cases: [(&[u8], &[u8], &[u8]); 9] = [
        (b"events.a", b"", b""),
        (b"events.a", b"", b"\r\nMSG x 1 0\r\n\r\n"),
        (b"events.\xff\xfe", b"", b"not UTF-8 in the subject"),
        ("events.ä.\u{1F600}".as_bytes(), b"", b"\x00\x01"),
        (b"events.a", b"NATS/1.0\r\nB: 2\r\nA: 1\r\nB:  3 \r\nb: 4\r\n\r\n", b"order, case and white space"),
        (b"events.a", b"NATS/1.0\r\n\r\n", b"no header in the block"),
        (b"events.a", b"NATS/1.0\r\nNo colon\r\n\xff: \x00\r\n\r\n", b"odd lines"),
        (b"events.a", b"no block at all", b"odd block"),
        (b"events.large", b"", &large),
    ];
    for (subject, headers, payload) in cases {
        bench.put(subject, headers, payload).await;
    }
    let (messages, accounting) = read(bench.log(), 1, cases.len() as u64).await;
    assert_eq!(accounting, Accounting { records: cases.len() as u64, gaps: vec![] });
    for ((subject, headers, payload), message) in cases.iter().zip(&messages) {
        assert_eq!(message.subject, *subject);
        assert_eq!(message.headers, *headers, "{}", String::from_utf8_lossy(headers));
        assert!(message.payload == *payload, "payload of {}", message.sequence);
    }
    assert!(messages.windows(2).all(|pair| pair[0].stored_at <= pair[1].stored_at));
    assert!(messages[0].stored_at > StoreTime(1_600_000_000_000_000_000));
}

/// A stored header block can look like any word of the server (newer servers cut such a status off when it is published,
/// not when it is restored).
async fn a_stored_block_that_looks_like_a_status_is_a_message(bench: impl Bench) {
    let blocks = [
        "NATS/1.0 503\r\n\r\n",
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    ];
    for block in blocks {
        bench.put(b"events.a", block.as_bytes(), b"").await;
    }
    let (messages, accounting) = read(bench.log(), 1, 3).await;
    assert_eq!((messages.len(), accounting.gaps.len()), (3, 0));
    for (message, block) in messages.iter().zip(blocks) {
        assert!(message.headers.is_empty() || message.headers == block, "{:?}", message.headers);
    }
}

async fn an_append_is_read_back_with_its_headers(bench: impl Bench) {
    let log = bench.log();
    let first = log.append(message("events.a", "one", "1"), Expected::LastOfSubject(0)).await.unwrap();
    assert_eq!(first, Appended { sequence: 1, duplicate: false });
    log.append(message("events.b", "", "2"), Expected::LastOfLog(1)).await.unwrap();
    let (messages, _) = read(log, 1, 2).await;
    assert_eq!(
        messages[0].headers,
        "NATS/1.0\r\nNats-Msg-Id: one\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n"
    );
    assert_eq!(messages[1].headers, "NATS/1.0\r\nNats-Expected-Last-Sequence: 1\r\n\r\n");
    assert_eq!(messages[1].payload, "2");
}

async fn an_expectation_that_does_not_hold_appends_nothing(bench: impl Bench) {
    let log = bench.log();
    for subject in ["events.a", "events.b", "events.a"] {
        log.append(message(subject, "", "x"), Expected::Any).await.unwrap();
    }
    for (expected, wrong, right) in [
        (Expected::LastOfSubject(1), 1, 3),
        (Expected::LastOfSubject(0), 0, 3),
        (Expected::LastOfLog(2), 2, 3),
    ] {
        let error = log.append(message("events.a", "", "y"), expected).await.unwrap_err();
        match error {
            LogError::WrongLastSequence { expected, actual } => {
                assert_eq!(expected, wrong);
                assert!(actual == right || actual == 0, "{actual}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(log.state().await.unwrap().last_sequence, 3);
    let appended = log.append(message("events.b", "", "y"), Expected::LastOfSubject(2)).await.unwrap();
    assert_eq!(appended.sequence, 4);
}

async fn a_repeated_message_id_appends_nothing(bench: impl Bench) {
    let log = bench.log();
    log.append(message("events.a", "one", "1"), Expected::LastOfSubject(0)).await.unwrap();
    // Also where the expectation holds no more: so an append may be repeated when its acknowledgement was lost.
    for expected in [Expected::Any, Expected::LastOfSubject(0)] {
        let again = log.append(message("events.a", "one", "2"), expected).await.unwrap();
        assert_eq!(again, Appended { sequence: 1, duplicate: true });
    }
    assert_eq!(log.state().await.unwrap().messages, 1);
}

async fn gaps_everywhere_are_accounted_for(bench: impl Bench) {
    filled(&bench, 20).await;
    for sequence in [1, 2, 6, 7, 8, 12, 19, 20] {
        bench.delete(sequence).await;
    }
    let log = bench.log();
    let state = log.state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (3, 20, 12));
    let (messages, accounting) = read(log, 1, 20).await;
    assert_eq!(sequences(&messages), [3, 4, 5, 9, 10, 11, 13, 14, 15, 16, 17, 18]);
    assert_eq!(accounting, Accounting { records: 12, gaps: vec![(1, 2), (6, 8), (12, 12), (19, 20)] });
    let (_, from_first) = read(log, 3, 20).await;
    assert_eq!(from_first.gaps, [(6, 8), (12, 12), (19, 20)]);
}

async fn a_cut_may_fall_anywhere(bench: impl Bench) {
    filled(&bench, 12).await;
    for sequence in [4, 5, 6, 12] {
        bench.delete(sequence).await;
    }
    let log = bench.log();
    for (from, through, expected, gaps) in [
        (1, 3, vec![1, 2, 3], vec![]),
        (1, 5, vec![1, 2, 3], vec![(4, 5)]),
        (2, 6, vec![2, 3], vec![(4, 6)]),
        (5, 8, vec![7, 8], vec![(5, 6)]),
        (4, 6, vec![], vec![(4, 6)]),
        (7, 11, vec![7, 8, 9, 10, 11], vec![]),
        (11, 12, vec![11], vec![(12, 12)]),
        (12, 12, vec![], vec![(12, 12)]),
        (9, 9, vec![9], vec![]),
        (5, 4, vec![], vec![]),
    ] {
        let (messages, accounting) = read(log, from, through).await;
        assert_eq!(sequences(&messages), expected, "{from}..={through}");
        assert_eq!(accounting.gaps, gaps, "{from}..={through}");
        assert_eq!(accounting.records, expected.len() as u64);
    }
}

async fn a_log_without_messages_is_read_to_its_end(bench: impl Bench) {
    let log = bench.log();
    let state = log.state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (1, 0, 0));
    assert_eq!(read(log, 1, 0).await, (vec![], Accounting::default()));
    filled(&bench, 3).await;
    for sequence in [2, 1, 3] {
        bench.delete(sequence).await;
    }
    let state = log.state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (4, 3, 0));
    assert_eq!(read(log, 1, 3).await, (vec![], Accounting { records: 0, gaps: vec![(1, 3)] }));
}

async fn reading_beyond_the_last_sequence_is_refused(bench: impl Bench) {
    filled(&bench, 2).await;
    let error = bench.log().read(1, 3).await.map(|_| ()).unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("the last one is 2"), "{}", failure.message);
}

async fn what_is_appended_meanwhile_is_not_read(bench: impl Bench) {
    filled(&bench, 5).await;
    let mut reader = bench.log().read(1, 5).await.unwrap();
    filled(&bench, 5).await;
    let mut messages = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        messages.extend(batch);
    }
    assert_eq!(sequences(&messages), [1, 2, 3, 4, 5]);
}

async fn many_messages_come_in_many_batches(bench: impl Bench) {
    const MESSAGES: u64 = 13_000;
    let payload = [b'x'; 700];
    for number in 1..=MESSAGES {
        bench.put(format!("events.{}", number % 7).as_bytes(), b"", &payload).await;
    }
    let deleted: Vec<u64> = (1..=MESSAGES).filter(|sequence| sequence % 97 < 3).collect();
    for &sequence in &deleted {
        bench.delete(sequence).await;
    }
    let (messages, accounting) = read(bench.log(), 1, MESSAGES).await;
    let expected: Vec<u64> = (1..=MESSAGES).filter(|sequence| sequence % 97 >= 3).collect();
    assert_eq!(sequences(&messages), expected);
    let missing: Vec<u64> = accounting.gaps.iter().flat_map(|&(first, last)| first..=last).collect();
    assert_eq!(missing, deleted);
}

async fn messages_larger_than_a_pull_are_read(bench: impl Bench) {
    let sizes = [10, 9 << 20, 20 << 20, 1 << 20, 5, (8 << 20) - 50, 8 << 20, 30];
    for (size, byte) in sizes.into_iter().zip(0..) {
        bench.put(b"events.large", b"", &vec![byte; size]).await;
    }
    let (messages, accounting) = read(bench.log(), 1, sizes.len() as u64).await;
    assert_eq!(accounting.gaps, []);
    for ((size, byte), message) in sizes.into_iter().zip(0..).zip(&messages) {
        assert_eq!(message.payload.len(), size);
        assert!(message.payload.iter().all(|&found| found == byte), "{}", message.sequence);
    }
}

macro_rules! conformance {
    ($($kind:ident: $bench:ty),*; $facts:tt) => {
        $(conformance!(@ $kind $bench $facts);)*
    };
    (@ $kind:ident $bench:ty { $($fact:ident)* }) => {
        mod $kind {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $fact() {
                    match <$bench>::start().await {
                        Some(bench) => super::$fact(bench).await,
                        None => eprintln!("only one nats-server is installed: left to the other kind"),
                    }
                }
            )*
        }
    };
}

conformance! {
    memory: Memory, newest: Newest, oldest: Oldest;
    {
        every_byte_comes_back_as_it_was_stored
        a_stored_block_that_looks_like_a_status_is_a_message
        an_append_is_read_back_with_its_headers
        an_expectation_that_does_not_hold_appends_nothing
        a_repeated_message_id_appends_nothing
        gaps_everywhere_are_accounted_for
        a_cut_may_fall_anywhere
        a_log_without_messages_is_read_to_its_end
        reading_beyond_the_last_sequence_is_refused
        what_is_appended_meanwhile_is_not_read
        many_messages_come_in_many_batches
        messages_larger_than_a_pull_are_read
    }
}
