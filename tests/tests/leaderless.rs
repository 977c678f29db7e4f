//! A log without a leader in a cluster that works: each of its servers answers for it then, with what it has itself. That is not
//! the log: nothing is backed up, rebuilt or replaced on such a word.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trstctl_engines::NatsCluster;
use trstctl_ledger::history::History;
use trstctl_ledger::log::{JetStreamLog, LogError, STREAM, StreamConfig};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Run, Running, Site, pause, records};

const ANSWER: Duration = Duration::from_secs(10);
/// Longest time until a server knows that its log has no leader.
const ELECTIONS: Duration = Duration::from_secs(120);
/// Longer than every wait of a command that meets such a log.
const BOUND: Duration = Duration::from_secs(150);
const MESSAGES: usize = 100;

async fn connect(url: &str) -> Connection {
    Connection::connect(&ConnectOptions::new(url)).await.expect("the server answers")
}

fn info(site: &Site, url: &str) -> Option<Value> {
    site.block_on(async { connect(url).await.api_get(&format!("STREAM.INFO.{STREAM}"), ANSWER).await.ok() })
}

/// The servers that keep the log: its leader, and the two others.
fn kept_by(site: &Site, cluster: &NatsCluster) -> (usize, Vec<usize>) {
    let said = info(site, &cluster.url()).expect("the log is there");
    let index = |name: &Value| cluster.servers().iter().position(|server| name == server.name()).unwrap();
    let others = said["cluster"]["replicas"].as_array().unwrap().iter();
    (index(&said["cluster"]["leader"]), others.map(|replica| index(&replica["name"])).collect())
}

/// A log of five servers' three, and the one of these that has nothing of it because it was down meanwhile.
fn log_that_one_replica_lacks(site: &Site, cluster: &mut NatsCluster) -> usize {
    let config = StreamConfig::new(STREAM, "events.>", 3);
    let url = cluster.url();
    site.block_on(async { JetStreamLog::create(connect(&url).await, &config).await })
        .expect("the log is made");
    let (_, others) = kept_by(site, cluster);
    cluster.server_mut(others[0]).kill_9();
    site.block_on(async {
        let (connection, start) = (connect(&url).await, Instant::now());
        let mut stored = 0;
        while stored < MESSAGES {
            let payload = format!("{{\"number\":{stored}}}");
            match connection.request("events.x", payload.as_bytes(), ANSWER).await {
                Ok(answer) => {
                    let answer: Value = serde_json::from_slice(answer.payload()).unwrap();
                    stored += 1;
                    assert_eq!(answer["seq"], stored, "{answer}");
                }
                // A server that has not heard yet where they go.
                Err(LogError::NoResponders { .. }) if start.elapsed() < ELECTIONS => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    others[0]
}

/// Waits until the server answers for the log alone.
fn wait_until_leaderless(site: &Site, url: &str) {
    let start = Instant::now();
    loop {
        match info(site, url) {
            Some(said) if said["cluster"]["leader"].is_null() => {
                assert_eq!(said["state"]["messages"], 0, "{said}");
                return;
            }
            said => assert!(start.elapsed() < ELECTIONS, "{said:?}"),
        }
        pause();
    }
}

#[test]
fn what_a_server_says_of_a_log_without_a_leader_is_not_believed() {
    let site = Site::start();
    site.seed(History::new(91, 50));
    std::fs::create_dir(site.path("other")).unwrap();
    site.dr(&["backup", "--output", "other/a.jsonl"]).succeed();
    let mut cluster = NatsCluster::start(5).unwrap();
    let behind = log_that_one_replica_lacks(&site, &mut cluster);
    let (leader, others) = kept_by(&site, &cluster);
    let gone = [leader, others.into_iter().find(|&index| index != behind).unwrap()];
    for index in gone {
        cluster.server_mut(index).kill_9();
    }
    cluster.server_mut(behind).restart().unwrap();
    let url = cluster.servers()[behind].url();
    wait_until_leaderless(&site, &url);

    let start = Instant::now();
    let commands = [&["backup", "--output", "b.jsonl"][..], &["restore", "other/a.jsonl"], &["rebuild"]];
    for run in commands.map(|arguments| Running::start(&mut site.on_cluster(&url, arguments))) {
        let run = run.end();
        println!("{:?} {:?} {}", start.elapsed(), run.code, run.stderr);
        let run = run.fail(8, "unreachable");
        assert!(run.stderr.contains("no leader"), "{}", run.stderr);
        assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    }
    assert!(!site.path("b.jsonl").exists());

    for index in gone {
        cluster.server_mut(index).restart().unwrap();
    }
    cluster.wait_ready().unwrap();
    Run::of(&mut site.on_cluster(&cluster.url(), &["backup", "--output", "b.jsonl"])).succeed();
    let said = info(&site, &cluster.url()).expect("the log is there");
    assert_eq!(said["config"]["subjects"], json!(["events.>"]));
    assert_eq!(records(&site.path("b.jsonl")).len(), MESSAGES);
}
