//! The least that a client must do to read a whole stream, or to write one: what log rows are measured against.
//!
//! Nothing is checked, counted by sequence, hashed or kept here.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trstctl_formats::StoredMessage;
use trstctl_ledger::log::{JetStreamLog, STREAM, StreamConfig};
use trstctl_ledger::wire::{ConnectOptions, Connection};

const ANSWER: Duration = Duration::from_secs(30);
const BATCH: u64 = 10_000;
/// Messages that a windowed publish leaves unacknowledged.
pub const WINDOW: u64 = 1024;

async fn connect(url: &str) -> Connection {
    Connection::connect(&ConnectOptions::new(url)).await.expect("the server answers")
}

/// Messages a second at which a continuous pull consumer, two pulls of 10,000 under way, gets this many messages.
pub async fn pull(url: &str, messages: u64) -> f64 {
    let connection = connect(url).await;
    let inbox = connection.new_inbox();
    let mut arriving = connection.subscribe(&inbox).expect("an inbox");
    let config = json!({"ack_policy": "none", "deliver_policy": "all", "inactive_threshold": 60_000_000_000_u64,
        "mem_storage": true, "num_replicas": 1});
    let request = json!({"stream_name": STREAM, "config": config});
    let begun = Instant::now();
    let consumer: Value = connection
        .api(&format!("CONSUMER.CREATE.{STREAM}"), &request, ANSWER)
        .await
        .expect("a consumer is created");
    let name = consumer["name"].as_str().expect("a consumer has a name");
    let next = connection.api_subject(&format!("CONSUMER.MSG.NEXT.{STREAM}.{name}"));
    let body = json!({"batch": BATCH, "expires": 30_000_000_000_u64}).to_string();
    let (mut received, mut asked_for) = (0, 0);
    while received < messages {
        while asked_for < received + 2 * BATCH {
            connection.publish(&next, &inbox, b"", body.as_bytes()).await.expect("a pull");
            asked_for += BATCH;
        }
        let batch = arriving.next_batch().await.expect("messages arrive");
        received += batch.iter().filter(|message| message.reply().starts_with(b"$JS.ACK")).count() as u64;
    }
    messages as f64 / begun.elapsed().as_secs_f64()
}

/// Messages a second at which they are published into a new stream, so many unacknowledged, each with the sequence that it
/// expects before it. The stream is deleted afterwards.
pub async fn publish(url: &str, replicas: u32, window: u64, messages: &[StoredMessage]) -> f64 {
    let connection = connect(url).await;
    let config = StreamConfig::new(STREAM, "events.>", replicas);
    JetStreamLog::create(connection.clone(), &config).await.expect("a stream is created");
    let inbox = connection.new_inbox();
    let mut acknowledgements = connection.subscribe(&inbox).expect("an inbox");
    let begun = Instant::now();
    let (mut sent, mut acknowledged) = (0_u64, 0);
    let mut headers = Vec::new();
    while acknowledged < messages.len() as u64 {
        while sent < (acknowledged + window).min(messages.len() as u64) {
            let message = &messages[sent as usize];
            expecting(&mut headers, message, sent);
            let subject = std::str::from_utf8(&message.subject).expect("subjects of events are text");
            connection.publish(subject, &inbox, &headers, &message.payload).await.expect("a publish");
            sent += 1;
        }
        let batch = acknowledgements.next_batch().await.expect("acknowledgements arrive");
        let is_stored = |payload: &[u8]| payload.windows(6).any(|text| text == b"\"seq\":");
        assert!(batch.iter().all(|message| is_stored(message.payload())), "a publish was refused");
        acknowledged += batch.len() as u64;
    }
    let rate = messages.len() as f64 / begun.elapsed().as_secs_f64();
    delete(url).await;
    rate
}

/// The message's header block with the sequence that must be the stream's last one.
fn expecting(headers: &mut Vec<u8>, message: &StoredMessage, last_sequence: u64) {
    headers.clear();
    headers.extend_from_slice(message.headers.strip_suffix(b"\r\n").unwrap_or(b"NATS/1.0\r\n"));
    headers.extend_from_slice(format!("Nats-Expected-Last-Sequence: {last_sequence}\r\n\r\n").as_bytes());
}

/// Deletes the log.
pub async fn delete(url: &str) {
    let connection = connect(url).await;
    let deleted = connection.api_get::<Value>(&format!("STREAM.DELETE.{STREAM}"), ANSWER).await;
    deleted.expect("the stream is deleted");
}
