//! The log on real JetStream servers where the contract alone does not reach: opening, restarts, lost consumers, replicas.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use trstctl_engines::{NatsAuth, NatsCluster, NatsOptions, NatsServer, installed_nats_servers};
use trstctl_formats::{Class, Digest, Failure};
use trstctl_ledger::log::stream::{DEADLINE, StreamRequests};
use trstctl_ledger::log::{
    EventLog, Expected, JetStreamLog, JetStreamReader, LogError, LogReader, Mark, NewMessage, STREAM,
    StreamConfig,
};
use trstctl_ledger::wire::{ConnectOptions, Connection};

fn every_server() -> Vec<NatsServer> {
    let start =
        |path| NatsServer::start(NatsOptions { binary: Some(path), ..NatsOptions::default() }).unwrap();
    installed_nats_servers().into_iter().map(|binary| start(binary.path)).collect()
}

async fn connect(url: String) -> Connection {
    Connection::connect(&ConnectOptions::new(url)).await.unwrap()
}

fn config(replicas: u32) -> StreamConfig {
    StreamConfig::new(STREAM, "events.>", replicas)
}

fn message(number: u64) -> NewMessage {
    NewMessage {
        subject: "events.a".to_owned(),
        headers: format!("NATS/1.0\r\nNats-Msg-Id: {number}\r\n\r\n").into(),
        payload: vec![b'x'; 2_000].into(),
    }
}

/// Appends quickly: a window of messages is under way at once, behind the first, which is sent until the stream is heard of.
async fn fill(log: &JetStreamLog, messages: u64) {
    log.append(message(1), Expected::Any).await.unwrap();
    let connection = log.connection().await.unwrap();
    let inbox = connection.new_inbox();
    let mut answers = connection.subscribe(&inbox).unwrap();
    let mut answered = 1;
    for number in 2..=messages {
        let NewMessage { subject, headers, payload } = message(number);
        connection.publish(subject, &inbox, &headers, &payload).await.unwrap();
        if number - answered > 500 {
            answered += answers.next_batch().await.unwrap().len() as u64;
        }
    }
    while answered < messages {
        answered += answers.next_batch().await.unwrap().len() as u64;
    }
    assert_eq!(log.state().await.unwrap().messages, messages);
}

async fn drain(reader: &mut JetStreamReader) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        sequences.extend(batch.iter().map(|message| message.sequence));
    }
    sequences
}

#[tokio::test]
async fn opening_creates_nothing() {
    for server in every_server() {
        let connection = connect(server.url()).await;
        let error = JetStreamLog::open(connection.clone(), STREAM).await.map(|_| ()).unwrap_err();
        assert!(matches!(&error, LogError::NoStream { stream } if stream == STREAM), "{error}");
        assert_eq!(Failure::from(error).class, Class::NoStream);
        let names: Value = connection.api_get("STREAM.NAMES", DEADLINE).await.unwrap();
        assert_eq!(names["total"], 0);
    }
}

#[tokio::test]
async fn a_created_log_has_the_configuration_of_the_specification() {
    for server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1)).await.unwrap();
        let info = log.info().await.unwrap();
        assert_eq!(config(1).differences(&info.config), []);
        assert_eq!(
            (info.config["deny_delete"].clone(), info.config["deny_purge"].clone()),
            (json!(true), json!(true))
        );
        assert_eq!(info.replicas(), 1);
    }
}

#[tokio::test]
async fn a_setting_that_an_older_server_drops_is_not_taken_for_set() {
    for server in every_server() {
        let first = StreamConfig { first_sequence: Some(5_001), ..config(1) };
        let connection = connect(server.url()).await;
        let knows_it = connection.server().version.is_at_least(2, 10);
        match JetStreamLog::create(connection, &first).await {
            Ok(log) => {
                assert!(knows_it);
                assert_eq!(log.append(message(1), Expected::Any).await.unwrap().sequence, 5_001);
            }
            Err(error) => {
                assert!(!knows_it && error.to_string().contains("did not take first_seq"), "{error}")
            }
        }
    }
}

#[tokio::test]
async fn an_account_without_jetstream_is_refused_with_a_hint() {
    let accounts = "accounts { A: { users: [ { user: a, password: b } ] }, S: { users: [ { user: s, password: s } ] } }\n\
                    system_account: S";
    let auth = NatsAuth::Config(accounts.to_owned());
    let server = NatsServer::start(NatsOptions { auth, ..NatsOptions::default() }).unwrap();
    let connection = connect(format!("nats://a:b@127.0.0.1:{}", server.port())).await;
    let failure = Failure::from(JetStreamLog::open(connection, STREAM).await.map(|_| ()).unwrap_err());
    assert_eq!(failure.class, Class::Refused, "{failure:?}");
    assert!(failure.hint.contains("JetStream"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_survives_a_server_that_is_killed_and_comes_back() {
    for mut server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1)).await.unwrap();
        fill(&log, 30_000).await;
        let mut reader = log.read(1, 30_000).await.unwrap();
        let first = reader.next_batch().await.unwrap().unwrap();
        server.kill_9();
        server.restart().unwrap();
        let mut sequences: Vec<u64> = first.iter().map(|message| message.sequence).collect();
        sequences.extend(drain(&mut reader).await);
        assert!(sequences.into_iter().eq(1..=30_000));
        assert_eq!(reader.accounting().gaps, []);
        // The log itself goes on as well.
        assert_eq!(log.append(message(30_001), Expected::LastOfLog(30_000)).await.unwrap().sequence, 30_001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_survives_the_loss_of_its_consumer() {
    for server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1)).await.unwrap();
        fill(&log, 60_000).await;
        let connection = log.connection().await.unwrap();
        let mut reader = log.read(1, 60_000).await.unwrap();
        let first = reader.next_batch().await.unwrap().unwrap();
        let names: Value = connection.api_get(&format!("CONSUMER.NAMES.{STREAM}"), DEADLINE).await.unwrap();
        let name = names["consumers"][0].as_str().unwrap();
        let _: Value =
            connection.api_get(&format!("CONSUMER.DELETE.{STREAM}.{name}"), DEADLINE).await.unwrap();
        let mut sequences: Vec<u64> = first.iter().map(|message| message.sequence).collect();
        sequences.extend(drain(&mut reader).await);
        assert!(sequences.into_iter().eq(1..=60_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_reading_leaves_no_consumer_behind() {
    for server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1)).await.unwrap();
        fill(&log, 10).await;
        let mut reader = log.read(1, 10).await.unwrap();
        assert_eq!(drain(&mut reader).await.len(), 10);
        let begun = Instant::now();
        while log.info().await.unwrap().state.consumer_count > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "the consumer stays");
        }
    }
}

#[tokio::test]
async fn a_restored_log_that_nobody_verified_takes_no_append_and_is_not_relied_upon() {
    let mark = Mark(Digest([7; 32]));
    for server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1).marked(mark)).await.unwrap();
        let error = log.append(message(1), Expected::Any).await.unwrap_err();
        assert!(error.to_string().contains("has not verified it yet"), "{error}");
        let failure = Failure::from(log.refuse_unverified().await.unwrap_err());
        assert_eq!(failure.class, Class::Refused, "{failure}");
        assert!(failure.hint.contains("with the command that began it"), "{failure:?}");
        assert_eq!(log.state().await.unwrap().last_sequence, 0);
        let connection = log.connection().await.unwrap();
        let stream = StreamRequests::new(&connection, STREAM).unwrap();
        stream.update(&config(1).to_json()).await.unwrap();
        log.refuse_unverified().await.unwrap();
        assert_eq!(log.append(message(1), Expected::Any).await.unwrap().sequence, 1);
    }
}

#[tokio::test]
async fn an_append_is_repeated_over_a_new_connection_and_stored_once() {
    for server in every_server() {
        let log = JetStreamLog::create(connect(server.url()).await, &config(1)).await.unwrap();
        log.append(message(1), Expected::Any).await.unwrap();
        log.connection().await.unwrap().close();
        let again = log.append(message(1), Expected::LastOfSubject(0)).await.unwrap();
        assert!(again.duplicate && again.sequence == 1);
        assert_eq!(log.append(message(2), Expected::LastOfSubject(1)).await.unwrap().sequence, 2);
    }
}

#[tokio::test]
async fn an_append_that_another_stream_takes_is_refused() {
    let server = &every_server()[0];
    let connection = connect(server.url()).await;
    let other = StreamConfig::new("OTHER", "other.>", 1);
    JetStreamLog::create(connection.clone(), &other).await.unwrap();
    let log = JetStreamLog::create(connection, &config(1)).await.unwrap();
    let message = NewMessage { subject: "other.a".into(), headers: Bytes::new(), payload: Bytes::new() };
    let error = log.append(message, Expected::Any).await.unwrap_err();
    assert!(error.to_string().contains("OTHER took it"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_server_is_read_to_the_end() {
    let mut cluster = NatsCluster::start(3).unwrap();
    let log = JetStreamLog::create(connect(cluster.url()).await, &config(3)).await.unwrap();
    fill(&log, 20_000).await;
    let mut reader = log.read(1, 20_000).await.unwrap();
    let first = reader.next_batch().await.unwrap().unwrap();
    let url = log.connection().await.unwrap().url().to_owned();
    let member = cluster.servers().iter().position(|server| url.ends_with(&format!(":{}", server.port())));
    cluster.server_mut(member.unwrap()).kill_9();
    let mut sequences: Vec<u64> = first.iter().map(|message| message.sequence).collect();
    sequences.extend(drain(&mut reader).await);
    assert!(sequences.into_iter().eq(1..=20_000));
    assert_eq!(log.append(message(20_001), Expected::LastOfLog(20_000)).await.unwrap().sequence, 20_001);
}
