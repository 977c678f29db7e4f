//! What the restore tests share: servers of every installed generation, logs to restore, a proxy that can be cut, and
//! the whole restore as a caller runs it.
#![allow(dead_code)]

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trstctl_engines::{NatsOptions, NatsServer, installed_nats_servers};
use trstctl_formats::backup::{
    Allow, FormatVersion, Header, Purpose, Verified, VerifyOptions, Writer, verify,
};
use trstctl_formats::{Class, Failure, StoreTime, StoredMessage};
use trstctl_ledger::log::{EventLog, JetStreamLog, LogReader, StreamConfig};
use trstctl_ledger::restore::{Method, Proven, Restore, RestoreOptions, Source, TargetState, Written};
use trstctl_ledger::wire::{ConnectOptions, Connection};

pub const STREAM: &str = "TRSTCTL_EVENTS";
pub const NOW: StoreTime = StoreTime(1_767_322_800_000_000_000);
pub const ANSWER: Duration = Duration::from_secs(10);
/// 2021-03-04, in nanoseconds.
const THEN: i64 = 1_614_835_415_943_074_242;

/// A server of each installed generation, one after the other.
pub fn servers() -> impl Iterator<Item = NatsServer> {
    let found = installed_nats_servers();
    assert!(!found.is_empty(), "no nats-server is installed");
    found.into_iter().map(|binary| start(NatsOptions { binary: Some(binary.path), ..NatsOptions::default() }))
}

pub fn start(options: NatsOptions) -> NatsServer {
    NatsServer::start(options).expect("a nats-server starts")
}

/// An ordinary message.
pub fn message(sequence: u64) -> StoredMessage {
    StoredMessage {
        sequence,
        stored_at: StoreTime(THEN + sequence as i64 * 1_000_003),
        subject: Bytes::from(format!("events.tenant.owner.{}", sequence % 17)),
        headers: Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: id-{sequence}\r\n\r\n")),
        payload: Bytes::from(vec![b'a' + (sequence % 26) as u8; (sequence * 37 % 900) as usize]),
    }
}

pub fn messages(sequences: impl IntoIterator<Item = u64>) -> Vec<StoredMessage> {
    sequences.into_iter().map(message).collect()
}

/// Messages as nobody would write them, with gaps between, beginning at `first`.
pub fn odd_messages(first: u64) -> Vec<StoredMessage> {
    let odd: [(&[u8], &[u8], Vec<u8>); 12] = [
        (b"events.x", b"", b"hello".to_vec()),
        (b"events.x", b"", Vec::new()),
        (b"events.x", b"NATS/1.0\r\n\r\n", b"empty header block".to_vec()),
        (b"events.x", b"NATS/1.0\r\nA:b\r\nA:  c \r\na: d\r\n\r\n", b"spelling and order".to_vec()),
        (b"events.x", b"NATS/1.0\r\nNats-Msg-Id: same\r\n\r\n", b"1".to_vec()),
        (b"events.x", b"NATS/1.0\r\nNats-Msg-Id: same\r\n\r\n", b"2".to_vec()),
        (
            b"events.x",
            b"NATS/1.0\r\nNats-Expected-Last-Sequence: 7\r\nNats-Rollup: all\r\n\r\n",
            b"{}".to_vec(),
        ),
        (b"events.\xff\xfe", b"NATS/1.0\r\nX: \xff\r\n\r\n", vec![0, 255, 13, 10]),
        ("events.Zürich.事件".as_bytes(), b"", "ünï".into()),
        (b"events.x", b"NATS/1.0 503\r\n\r\n", b"a status".to_vec()),
        (b"events.large", b"", vec![7; 900_000]),
        (b"events.x", b"NATS/1.0\r\nNats-TTL: 1s\r\n\r\n", b"{\"id\":1}".to_vec()),
    ];
    let stored = odd.into_iter().enumerate().map(|(index, (subject, headers, payload))| StoredMessage {
        sequence: first + index as u64 * 3,
        // Equal times, and times that go backwards.
        stored_at: StoreTime(THEN - (index as i64 / 2) * 1_000_000_007),
        subject: Bytes::copy_from_slice(subject),
        headers: Bytes::copy_from_slice(headers),
        payload: Bytes::from(payload),
    });
    stored.collect()
}

/// A backup of these messages.
pub fn backup(messages: &[StoredMessage], last_sequence: u64) -> Vec<u8> {
    let first = messages.first().map_or(last_sequence + 1, |message| message.sequence);
    let header = Header {
        version: FormatVersion::V2,
        created_at: NOW,
        deployment_id: None,
        stream: STREAM.to_owned(),
        first_sequence: first,
        event_cut_sequence: last_sequence,
    };
    let mut writer = Writer::create(Vec::new(), &header, None).expect("a backup begins");
    for message in messages {
        writer.append(message).expect("a backup takes every message");
    }
    writer.finish().expect("a backup ends").0
}

pub fn verified<S: Read + Seek + Send>(source: S) -> Verified<S> {
    let options =
        VerifyOptions { unkeyed: Allow::Yes, purpose: Purpose::Restore, ..VerifyOptions::default() };
    verify(source, &options).unwrap_or_else(|failure| panic!("{failure:?}"))
}

pub fn source(messages: &[StoredMessage], last_sequence: u64) -> Source<Cursor<Vec<u8>>> {
    Source::new(verified(Cursor::new(backup(messages, last_sequence))))
}

pub fn options() -> RestoreOptions {
    RestoreOptions::new(StreamConfig::new(STREAM, "events.>", 1), NOW)
}

pub fn publishing(new_sequences: Allow) -> RestoreOptions {
    RestoreOptions { method: Method::Publish, new_sequences, ..options() }
}

pub async fn connect(url: &str) -> Connection {
    Connection::connect(&ConnectOptions::new(url)).await.expect("the server is there")
}

pub async fn restore_of<S: Read + Seek + Send + 'static>(
    url: &str,
    source: Source<S>,
    options: RestoreOptions,
) -> Restore<S> {
    Restore::new(connect(url).await, source, options)
}

/// How a restore ended.
#[derive(Debug)]
pub struct Done {
    pub found: TargetState,
    pub written: Option<Written>,
    pub proven: Option<Proven>,
}

/// No stop.
pub fn never() -> std::future::Pending<()> {
    std::future::pending()
}

/// The whole restore, as a caller runs it.
pub async fn run<S: Read + Seek + Send + 'static>(restore: &Restore<S>) -> Result<Done, Failure> {
    let found = restore.plan().await?;
    let (written, proven) = match &found {
        TargetState::Equal => (None, None),
        TargetState::EqualUnverified => {
            let written = restore.written_earlier().await?;
            let proven = restore.read_back(&written).await?;
            (Some(written), Some(proven))
        }
        other => {
            let written = restore.write(other, never()).await?;
            let proven = restore.read_back(&written).await?;
            (Some(written), Some(proven))
        }
    };
    if let Some(proven) = &proven {
        restore.accept(proven).await?;
    }
    Ok(Done { found, written, proven })
}

pub async fn restore(
    url: &str,
    messages: &[StoredMessage],
    last_sequence: u64,
    options: RestoreOptions,
) -> Result<Done, Failure> {
    run(&restore_of(url, source(messages, last_sequence), options).await).await
}

/// Everything that the log holds, and its last sequence.
pub async fn read_all(url: &str) -> (Vec<StoredMessage>, u64) {
    let log = JetStreamLog::open(connect(url).await, STREAM).await.expect("the stream is there");
    let state = log.state().await.expect("the stream has a leader");
    let mut found = Vec::new();
    if state.messages > 0 {
        let mut reader =
            log.read(state.first_sequence, state.last_sequence).await.expect("the log can be read");
        while let Some(batch) = reader.next_batch().await.expect("every sequence is accounted for") {
            found.extend(batch);
        }
    }
    (found, state.last_sequence)
}

/// What the server holds when it was killed and has started again: a log that only reads well is gone then.
pub async fn read_after_kill(server: &mut NatsServer) -> (Vec<StoredMessage>, u64) {
    server.kill_9();
    server.restart().expect("it starts again");
    read_all(&server.url()).await
}

/// INFO of the stream; its error where there is none.
pub async fn info(url: &str) -> Value {
    let answer = connect(url).await.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), b"", ANSWER).await;
    serde_json::from_slice(answer.expect("JetStream answers").payload()).expect("INFO is JSON")
}

pub async fn exists(url: &str) -> bool {
    info(url).await.get("error").is_none()
}

pub async fn description(url: &str) -> String {
    info(url).await["config"]["description"].as_str().unwrap_or_default().to_owned()
}

pub async fn names(url: &str) -> Vec<String> {
    let answer: Value = connect(url).await.api("STREAM.NAMES", &json!({}), ANSWER).await.expect("names");
    let names = answer["streams"].as_array().cloned().unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub async fn create_stream(url: &str, config: &Value) {
    let endpoint = format!("STREAM.CREATE.{}", config["name"].as_str().expect("a name"));
    let created: Result<Value, _> = connect(url).await.api(&endpoint, config, ANSWER).await;
    created.unwrap_or_else(|error| panic!("{error:?}"));
}

/// A stream as a server creates it, with deletion allowed so that tests can make gaps.
pub fn live_config() -> Value {
    let mut config = StreamConfig::new(STREAM, "events.>", 1).to_json();
    config.insert("deny_delete".to_owned(), json!(false));
    config.insert("deny_purge".to_owned(), json!(false));
    Value::Object(config)
}

/// Publishes one message and gives back the answer.
pub async fn publish(url: &str, subject: &str, headers: &str, payload: &[u8]) -> Value {
    let connection = connect(url).await;
    let answer = connection.request_with_headers(subject, headers.as_bytes(), payload, ANSWER).await;
    serde_json::from_slice(answer.expect("the stream answers").payload()).expect("an acknowledgement")
}

/// Three servers on a busy machine may give a restore up that stalls for 5 s; what the operator is told then is to run the same
/// command again.
pub fn is_given_up(failure: &Failure, start: Instant) -> bool {
    let has_stalled = start.elapsed() >= Duration::from_secs(5);
    has_stalled && failure.class == Class::Refused && failure.message.contains("has given up the restore")
}

/// Everything but the store time.
pub fn without_times(messages: &[StoredMessage]) -> Vec<StoredMessage> {
    messages.iter().map(|message| StoredMessage { stored_at: StoreTime(0), ..message.clone() }).collect()
}

pub fn assert_same(found: &[StoredMessage], expected: &[StoredMessage]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected, "{found:?}\nis not\n{expected:?}");
    }
    assert_eq!(found.len(), expected.len());
}

/// A proxy to a server: forwards so many bytes to it, in all connections together, then cuts them all and refuses new ones.
pub struct CutProxy {
    url: String,
    cut: Arc<AtomicBool>,
}

impl CutProxy {
    pub async fn start(url: &str, bytes_to_server: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let (login, target) =
            url.strip_prefix("nats://").expect("a NATS URL").split_once('@').expect("a login");
        let proxy_url = format!("nats://{login}@127.0.0.1:{port}");
        let cut = Arc::new(AtomicBool::new(false));
        let left = Arc::new(AtomicU64::new(bytes_to_server));
        tokio::spawn(serve(listener, target.to_owned(), left, Arc::clone(&cut)));
        Self { url: proxy_url, cut }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, target: String, left: Arc<AtomicU64>, cut: Arc<AtomicBool>) {
    while let Ok((client, _)) = listener.accept().await {
        if cut.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        tokio::spawn(forward(client, server, Arc::clone(&left), Arc::clone(&cut)));
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, left: Arc<AtomicU64>, cut: Arc<AtomicBool>) {
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(count) if count > 0 => {
                    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        Some(left.saturating_sub(count as u64))
                    });
                    if before.unwrap_or(0) < count as u64 {
                        cut.store(true, Ordering::SeqCst);
                        return;
                    }
                    if server.write_all(&up[..count]).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(count) if count > 0 => if client.write_all(&down[..count]).await.is_err() { return },
                _ => return,
            },
        }
    }
}

/// A file that reads as another one, or slowly, as soon as the test says so.
pub struct Moody {
    file: Cursor<Vec<u8>>,
    later: Vec<u8>,
    rest_at: u64,
    rest: Duration,
    turned: Arc<AtomicBool>,
}

impl Moody {
    pub fn new(file: Vec<u8>) -> (Self, Arc<AtomicBool>) {
        let turned = Arc::new(AtomicBool::new(false));
        let later = file.clone();
        let (file, rest_at, rest) = (Cursor::new(file), u64::MAX, Duration::ZERO);
        (Self { file, later, rest_at, rest, turned: Arc::clone(&turned) }, turned)
    }

    /// Another store time near the end: still well-formed, only the digest tells.
    pub fn change_a_store_time(&mut self) {
        let at = self.later.windows(5).rposition(|window| window == b"2021-").expect("a store time");
        self.later[at + 3] = b'2';
    }

    pub fn rest_at_three_quarters(&mut self, rest: Duration) {
        self.rest_at = self.later.len() as u64 * 3 / 4;
        self.rest = rest;
    }
}

// Rests for real: what is tested is that a server is kept waiting.
#[allow(clippy::disallowed_methods)]
impl Read for Moody {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.turned.load(Ordering::SeqCst) {
            return Read::read(&mut self.file, buffer);
        }
        if self.file.position() >= self.rest_at {
            self.rest_at = u64::MAX;
            std::thread::sleep(self.rest);
        }
        let mut later = Cursor::new(&self.later);
        later.set_position(self.file.position());
        let count = Read::read(&mut later, buffer)?;
        self.file.set_position(later.position());
        Ok(count)
    }
}

impl Seek for Moody {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}
