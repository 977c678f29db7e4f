//! What a reading believes: the stream's leader, never the consumer's silence or count (traps 3 and 20).
//!
//! Real servers seldom lie on demand, so a scripted one speaks just enough of the protocol: what its leader says and
//! what its consumers deliver are stated apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use trstctl_ledger::log::{EventLog, JetStreamLog, LogError, LogReader};
use trstctl_ledger::wire::{ConnectOptions, Connection};

/// What the leader has, lists and counts, and what each consumer delivers; the last entry holds for all further ones.
#[derive(Clone, Default)]
struct Script {
    /// Sequences that the leader has, when it is asked for one.
    stored: Vec<u64>,
    last: u64,
    /// The last sequences that the leader tells, where they are not that one.
    lasts: Vec<u64>,
    /// Sequences that the leader has lost to damage.
    lost: Vec<u64>,
    /// The server is one of several.
    clustered: bool,
    /// Answers to the questions for the list of deleted sequences.
    listed: Vec<Vec<u64>>,
    /// The leader's counts, where they are not that of `stored`.
    counted: Vec<u64>,
    /// Sequences that each consumer delivers.
    delivered: Vec<Vec<u64>>,
    /// Codes that the requests for a consumer are refused with; 0 for none.
    refused: Vec<u32>,
    /// The same of the questions for one message.
    refused_questions: Vec<u32>,
    /// So many questions are answered by a replica that has nothing, before there is a leader.
    leaderless: usize,
}

struct Scripted {
    script: Script,
    infos: usize,
    requests: usize,
    questions: usize,
    consumers: Vec<u64>,
}

fn entry<T: Clone + Default>(list: &[T], index: usize) -> T {
    list.get(index).or(list.last()).cloned().unwrap_or_default()
}

fn refusal(code: u32) -> Value {
    json!({"error": {"code": 503, "err_code": code, "description": "refused"}})
}

impl Scripted {
    fn info(&mut self, body: &Value) -> Value {
        if self.script.leaderless > 0 {
            self.script.leaderless -= 1;
            return json!({"config": {"name": "L"}, "created": "2026-01-01T00:00:00Z",
                "state": {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0},
                "cluster": {"name": "C", "replicas": [{"name": "a", "current": false, "active": 0}]}});
        }
        let stored = &self.script.stored;
        let listed = entry(&self.script.listed, self.infos);
        let counted = match self.script.counted.is_empty() {
            true => stored.len() as u64,
            false => entry(&self.script.counted, self.infos),
        };
        let last = entry(&self.script.lasts, self.infos).max(self.script.last);
        if body["deleted_details"] == true {
            self.infos += 1;
        }
        json!({"config": {"name": "L"}, "created": "2026-01-01T00:00:00Z", "state": {
            "messages": counted,
            "bytes": 1,
            "first_seq": stored.first().copied().unwrap_or(last + 1),
            "last_seq": last,
            "lost": {"msgs": self.script.lost, "bytes": 9},
            // What 2.9 says where it leaves some out.
            "num_deleted": listed.len().max(1),
            "deleted": if body["deleted_details"] == true { json!(listed) } else { Value::Null },
        }})
    }

    /// Messages of the first pull, as (subject, sequence, delivery, pending).
    fn deliveries(&self, consumer: usize) -> Vec<String> {
        let start = self.consumers[consumer];
        let sequences = entry(&self.script.delivered, consumer);
        let sequences: Vec<u64> = sequences.into_iter().filter(|&sequence| sequence >= start).collect();
        let acks = sequences.iter().enumerate().map(|(index, sequence)| {
            let pending = sequences.len() - index - 1;
            format!("$JS.ACK.L.c{consumer}.1.{sequence}.{}.1700000000000000000.{pending}", index + 1)
        });
        acks.collect()
    }

    /// Answers to a publish, as (subject, reply, payload).
    fn answer(&mut self, subject: &str, reply: &str, body: &[u8]) -> Vec<(String, String, String)> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let one = |value: Value| vec![(reply.to_owned(), String::new(), value.to_string())];
        let api = subject.strip_prefix("$JS.API.").unwrap_or(subject);
        if api.starts_with("STREAM.INFO.") {
            one(self.info(&body))
        } else if api.starts_with("STREAM.MSG.GET.") {
            let code = entry(&self.script.refused_questions, self.questions);
            self.questions += 1;
            if code != 0 {
                return one(refusal(code));
            }
            match self.script.stored.contains(&body["seq"].as_u64().unwrap()) {
                true => one(json!({"message": {"seq": body["seq"]}})),
                false => {
                    one(json!({"error": {"code": 404, "err_code": 10037, "description": "no message found"}}))
                }
            }
        } else if api.starts_with("CONSUMER.CREATE.") {
            let code = entry(&self.script.refused, self.requests);
            self.requests += 1;
            if code != 0 {
                return one(refusal(code));
            }
            self.consumers.push(body["config"]["opt_start_seq"].as_u64().unwrap());
            one(json!({"name": format!("c{}", self.consumers.len() - 1), "num_pending": 7}))
        } else if let Some(consumer) = api.strip_prefix("CONSUMER.MSG.NEXT.L.c") {
            let acks = self.deliveries(consumer.parse().unwrap());
            acks.into_iter().map(|ack| ("events.x".to_owned(), ack, "payload".to_owned())).collect()
        } else {
            Vec::new()
        }
    }
}

async fn serve(socket: TcpStream, scripted: Arc<Mutex<Scripted>>) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(read);
    let mut info = json!({"version": "2.9.0", "max_payload": 1_048_576, "headers": true, "jetstream": true});
    if scripted.lock().unwrap().script.clustered {
        info["cluster"] = json!("C");
    }
    write.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
    let mut subscriptions: HashMap<String, String> = HashMap::new();
    let mut pulled: Vec<String> = Vec::new();
    let mut line = String::new();
    while read.read_line(&mut line).await? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => write.write_all(b"PONG\r\n").await?,
            ["SUB", subject, sid] => {
                subscriptions.insert(subject.trim_end_matches('*').to_owned(), sid.to_owned());
            }
            ["PUB", subject, ref rest @ .., len] => {
                let mut body = vec![0; len.parse::<usize>().unwrap() + 2];
                read.read_exact(&mut body).await?;
                let reply = rest.first().copied().unwrap_or_default();
                let again = pulled.contains(&subject.to_owned());
                if subject.contains(".MSG.NEXT.") {
                    pulled.push(subject.to_owned());
                }
                if !again {
                    let answers = scripted.lock().unwrap().answer(subject, reply, &body[..body.len() - 2]);
                    let sid = subscriptions
                        .iter()
                        .find(|(prefix, _)| reply.starts_with(*prefix))
                        .map(|(_, sid)| sid);
                    let texts = answers.iter().map(|(subject, ack, payload)| {
                        format!("MSG {subject} {} {ack} {}\r\n{payload}\r\n", sid.unwrap(), payload.len())
                    });
                    write.write_all(texts.collect::<String>().as_bytes()).await?;
                }
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

/// What was read of a scripted log: sequences and gaps.
type Reading = Result<(Vec<u64>, Vec<(u64, u64)>), LogError>;

/// Reads `1..=through` of a scripted log.
async fn read(script: Script, through: u64) -> Reading {
    read_and_count(script, through).await.0
}

/// Also counts the questions for the list of deleted sequences.
async fn read_and_count(script: Script, through: u64) -> (Reading, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let scripted =
        Arc::new(Mutex::new(Scripted { script, infos: 0, requests: 0, questions: 0, consumers: Vec::new() }));
    let served = Arc::clone(&scripted);
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, served.clone()));
        }
    });
    let outcome = async {
        let log = JetStreamLog::of(Connection::connect(&ConnectOptions::new(url)).await?, "L");
        let mut reader = log.read(1, through).await?;
        let mut sequences = Vec::new();
        while let Some(batch) = reader.next_batch().await? {
            sequences.extend(batch.iter().map(|message| message.sequence));
        }
        Ok((sequences, reader.accounting().gaps.clone()))
    };
    let outcome = outcome.await;
    server.abort();
    let questions = scripted.lock().unwrap().infos;
    (outcome, questions)
}

#[tokio::test]
async fn a_consumer_on_a_lagging_replica_is_not_believed_that_nothing_is_pending() {
    let script = Script {
        stored: vec![1, 2, 3, 4, 5],
        last: 5,
        delivered: vec![vec![1, 2, 3], vec![1, 2, 3, 4, 5]],
        ..Script::default()
    };
    assert_eq!(read(script, 5).await.unwrap(), (vec![1, 2, 3, 4, 5], vec![]));
}

#[tokio::test]
async fn a_message_that_one_replica_lacks_is_read_from_another() {
    let script = Script {
        stored: vec![1, 2, 3, 4, 5],
        last: 5,
        delivered: vec![vec![1, 2, 4, 5], vec![3, 4, 5]],
        ..Script::default()
    };
    assert_eq!(read(script, 5).await.unwrap(), (vec![1, 2, 3, 4, 5], vec![]));
}

#[tokio::test]
async fn a_message_that_the_leader_has_and_nobody_delivers_fails_the_reading_and_is_named() {
    let script = Script {
        stored: vec![1, 2, 3, 4, 5],
        last: 5,
        delivered: vec![vec![1, 2, 4, 5]],
        ..Script::default()
    };
    match read(script, 5).await {
        Err(LogError::Unaccounted { first: 3, last: 3 }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn gaps_that_the_list_leaves_out_are_confirmed_one_by_one() {
    let script = Script {
        stored: vec![1, 4, 9],
        last: 12,
        listed: vec![vec![3, 6]],
        delivered: vec![vec![1, 4, 9]],
        ..Script::default()
    };
    assert_eq!(read(script, 12).await.unwrap(), (vec![1, 4, 9], vec![(2, 3), (5, 8), (10, 12)]));
}

#[tokio::test]
async fn many_gaps_that_the_list_leaves_out_cost_few_questions_for_it() {
    let stored: Vec<u64> = (1..=200).map(|number| number * 2).collect();
    let script =
        Script { stored: stored.clone(), last: 400, delivered: vec![stored.clone()], ..Script::default() };
    let (outcome, questions) = read_and_count(script, 400).await;
    let gaps = (0..200).map(|number| (number * 2 + 1, number * 2 + 1)).collect::<Vec<_>>();
    assert_eq!(outcome.unwrap(), (stored, gaps));
    assert!(questions < 50, "{questions} questions for the list");
}

#[tokio::test]
async fn a_message_missing_between_gaps_is_read_from_another_replica() {
    let script = Script {
        stored: vec![2, 4, 6, 8, 10],
        last: 10,
        delivered: vec![vec![2, 4, 8, 10], vec![6, 8, 10]],
        ..Script::default()
    };
    let gaps = vec![(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)];
    assert_eq!(read(script, 10).await.unwrap(), (vec![2, 4, 6, 8, 10], gaps));
}

#[tokio::test]
async fn a_message_that_the_leader_lists_as_deleted_must_not_be_delivered() {
    let script = Script {
        stored: vec![1, 3],
        last: 3,
        listed: vec![vec![2]],
        delivered: vec![vec![1, 2, 3]],
        ..Script::default()
    };
    match read(script, 3).await {
        Err(LogError::DeletedYetDelivered { sequence: 2 }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replica_that_is_behind_with_deletions_is_asked_again() {
    let script = Script {
        stored: vec![1, 3],
        last: 3,
        listed: vec![vec![2]],
        delivered: vec![vec![1, 2, 3], vec![2, 3], vec![3]],
        ..Script::default()
    };
    assert_eq!(read(script, 3).await.unwrap(), (vec![1, 3], vec![(2, 2)]));
}

#[tokio::test]
async fn a_server_that_gives_up_jetstream_while_it_is_read_is_left_for_another() {
    let stored = vec![1, 2, 3];
    // And: no leader, all replicas away, a replica that has not made the stream yet, no place for a consumer.
    for code in [10_039, 10_076, 10_008, 10_118, 10_059, 10_023] {
        let (stored, delivered) = (stored.clone(), vec![stored.clone()]);
        let script = Script { stored, last: 3, delivered, refused: vec![code, 0], ..Script::default() };
        assert_eq!(read(script, 3).await.unwrap(), (vec![1, 2, 3], vec![]));
    }
    // A gap that the list leaves out.
    let (gapped, delivered) = (vec![1, 3], vec![vec![1, 3]]);
    let script = Script {
        stored: gapped,
        last: 3,
        delivered,
        refused_questions: vec![10_039, 0],
        ..Script::default()
    };
    assert_eq!(read(script, 3).await.unwrap(), (vec![1, 3], vec![(2, 2)]));
    let script = Script { stored, last: 3, refused: vec![10_039], ..Script::default() };
    match read(script, 3).await {
        Err(LogError::Refused { reason, .. }) => assert!(reason.contains("10039"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_not_taken_for_deleted_where_the_log_grows_meanwhile() {
    let unreadable = Script {
        stored: vec![1, 2, 4, 5, 6],
        lasts: vec![5, 6],
        counted: vec![5, 6],
        delivered: vec![vec![1, 2, 4, 5]],
        ..Script::default()
    };
    match read(unreadable.clone(), 5).await {
        Err(LogError::MiscountedMessages { read: 4, counted: 5, suspect: Some(3) }) => {}
        other => panic!("{other:?}"),
    }
    // One of the five was deleted.
    let deleted = Script { counted: vec![5, 5], ..unreadable.clone() };
    assert_eq!(read(deleted, 5).await.unwrap(), (vec![1, 2, 4, 5], vec![(3, 3)]));
    // What is read ends before the end; a message beyond it may be the one that the count lacks.
    let early = Script { lasts: vec![6], counted: vec![6], ..unreadable.clone() };
    match read(early, 5).await {
        Err(LogError::MiscountedMessages { read: 4, counted: 5, suspect: Some(3) }) => {}
        other => panic!("{other:?}"),
    }
    let too_many = Script {
        stored: (1..=6).collect(),
        delivered: vec![(1..=5).collect()],
        counted: vec![4, 5],
        ..unreadable
    };
    match read(too_many, 5).await {
        Err(LogError::MiscountedMessages { read: 5, counted: 4, suspect: None }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_log_that_has_lost_messages_to_damage_is_not_read() {
    let stored = vec![1, 2, 4, 5];
    let script = Script {
        last: 5,
        listed: vec![vec![3]],
        lost: vec![3],
        delivered: vec![stored.clone()],
        stored,
        ..Script::default()
    };
    match read(script.clone(), 5).await {
        Err(LogError::Lost { count: 1, first: 3 }) => {}
        other => panic!("{other:?}"),
    }
    // What was stored again.
    let mended = Script { lost: vec![2], ..script.clone() };
    assert_eq!(read(mended, 5).await.unwrap(), (vec![1, 2, 4, 5], vec![(3, 3)]));
    // The log's end.
    match read(Script { lost: vec![6, 7], ..script }, 5).await {
        Err(LogError::Lost { count: 2, first: 6 }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_leader_that_is_behind_what_is_to_be_read_is_waited_for_in_a_cluster() {
    let stored: Vec<u64> = (1..=5).collect();
    let script = Script {
        lasts: vec![2, 2, 5],
        counted: vec![2, 2, 5],
        delivered: vec![stored.clone()],
        stored: stored.clone(),
        clustered: true,
        ..Script::default()
    };
    assert_eq!(read(script.clone(), 5).await.unwrap(), (stored, vec![]));
    for clustered in [false, true] {
        let behind = Script { lasts: vec![2], counted: vec![2], clustered, ..script.clone() };
        match read(behind, 5).await {
            Err(LogError::Refused { reason, .. }) => {
                assert!(reason.contains("the last one is 2"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_replica_says_during_an_election_is_not_used() {
    let stored = vec![1, 2, 3];
    let script = Script {
        stored: stored.clone(),
        last: 3,
        delivered: vec![stored],
        leaderless: 2,
        ..Script::default()
    };
    assert_eq!(read(script, 3).await.unwrap(), (vec![1, 2, 3], vec![]));
}

#[tokio::test]
async fn a_message_deleted_while_it_is_read_is_no_fault() {
    let script = Script {
        stored: vec![1, 3],
        last: 3,
        listed: vec![vec![], vec![2]],
        counted: vec![3, 2],
        delivered: vec![vec![1, 2, 3]],
        ..Script::default()
    };
    assert_eq!(read(script, 3).await.unwrap(), (vec![1, 2, 3], vec![]));
}

#[tokio::test]
async fn a_count_other_than_the_leaders_fails_the_reading() {
    let script = Script {
        stored: vec![1, 2, 3],
        last: 3,
        counted: vec![4],
        delivered: vec![vec![1, 2, 3]],
        ..Script::default()
    };
    match read(script, 3).await {
        Err(LogError::MiscountedMessages { read: 3, counted: 4, suspect: None }) => {}
        other => panic!("{other:?}"),
    }
}
