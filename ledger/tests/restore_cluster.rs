//! Restoring into three servers with three replicas, with the newest installed server.

mod restore_support;

use std::time::{Duration, Instant};

use restore_support::*;
use serde_json::json;
use trstctl_engines::NatsCluster;
use trstctl_formats::backup::Allow;
use trstctl_formats::{Class, StoredMessage};
use trstctl_ledger::restore::{RestoreOptions, StreamConfig, TargetState};

fn three() -> RestoreOptions {
    RestoreOptions { config: StreamConfig::new(STREAM, "events.>", 3), ..options() }
}

/// Waits until the followers are level with the leader.
async fn wait_for_followers(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let info = info(url).await;
        let replicas = info["cluster"]["replicas"].as_array().cloned().unwrap_or_default();
        let is_level = |replica: &serde_json::Value| {
            replica["current"] == json!(true) && replica["lag"].as_u64().unwrap_or(0) == 0
        };
        if replicas.len() == 2 && replicas.iter().all(is_level) {
            return;
        }
        assert!(Instant::now() < deadline, "the followers are not level: {info}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn log() -> Vec<StoredMessage> {
    let mut log = odd_messages(5001);
    log.extend(messages((5100..25_000).filter(|sequence| sequence % 11 != 3)));
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_back_bit_for_bit_on_three_replicas_and_survives_the_loss_of_the_leader() {
    let mut cluster = NatsCluster::start(3).unwrap();
    let done = restore(&cluster.url(), &log(), 25_050, three()).await.unwrap();
    assert!(done.proven.unwrap().exact);
    wait_for_followers(&cluster.url()).await;
    for index in 0..3 {
        cluster.server_mut(index).kill_9();
    }
    for index in 0..3 {
        // All must be starting before one can be ready.
        let _ = index;
    }
    restart_all(&mut cluster);
    let (found, last) = read_when_elected(&cluster.url()).await;
    assert_same(&found, &log());
    assert_eq!(last, 25_050);
    assert_eq!(publish(&cluster.url(), "events.next", "", b"").await["seq"], json!(25_051));
}
