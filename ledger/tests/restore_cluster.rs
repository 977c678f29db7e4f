//! Restoring into three servers with three replicas, with the newest installed server.

mod restore_support;

use std::io::Cursor;

use restore_support::*;
use serde_json::json;
use trstctl_engines::NatsCluster;
use trstctl_formats::StoredMessage;
use trstctl_formats::backup::Allow;
use trstctl_ledger::restore::{Method, RestoreOptions, Source, StreamConfig, TargetState};

fn three() -> RestoreOptions {
    RestoreOptions { config: StreamConfig::new(STREAM, "events.>", 3), ..options() }
}

const LAST: u64 = 25_050;

fn log() -> Vec<StoredMessage> {
    let mut log = odd_messages(5001);
    log.extend(messages((5100..25_000).filter(|sequence| sequence % 11 != 3)));
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_back_bit_for_bit_on_three_replicas_and_survives_kill_9_of_each() {
    let mut cluster = NatsCluster::start(3).unwrap();
    let done = restore(&cluster.url(), &log(), LAST, three()).await.unwrap();
    assert!(done.proven.unwrap().exact);
    cluster.wait_ready().unwrap();
    for index in 0..3 {
        cluster.server_mut(index).kill_9();
        cluster.server_mut(index).restart().unwrap();
        cluster.wait_ready().unwrap();
    }
    let (found, last) = read_all(&cluster.url()).await;
    assert_same(&found, &log());
    assert_eq!(last, LAST);
    assert_eq!(info(&cluster.url()).await["config"]["num_replicas"], json!(3));
    assert_eq!(publish(&cluster.url(), "events.next", "", b"").await["seq"], json!(LAST + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_leaves_in_a_cluster_is_removed_and_restored_by_the_next_run() {
    let cluster = NatsCluster::start(3).unwrap();
    let proxy = CutProxy::start(&cluster.servers()[0].url(), 600_000).await;
    restore(proxy.url(), &log(), LAST, three()).await.unwrap_err();
    assert!(proxy.was_cut());

    let done = restore(&cluster.url(), &log(), LAST, three()).await.unwrap();
    assert!(matches!(done.found, TargetState::Unfinished { records: 0 }), "{:?}", done.found);
    cluster.wait_ready().unwrap();
    assert_same(&read_all(&cluster.url()).await.0, &log());
    assert_eq!(publish(&cluster.url(), "events.next", "", b"").await["seq"], json!(LAST + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_in_a_cluster_deletes_what_it_began() {
    let cluster = NatsCluster::start(3).unwrap();
    let mut with_giant = log();
    let giant = with_giant.len() - 1;
    with_giant[giant].payload = vec![1; 20_000_000].into();
    // A giant that the first look at the backup does not see: as if the file had been exchanged.
    let source = Source::new(verified(Cursor::new(backup(&with_giant, LAST))));
    let failure = run(&restore_of(&cluster.url(), source, three()).await).await.unwrap_err();
    assert_eq!(failure.class, trstctl_formats::Class::Refused, "{failure:?}");
    assert_eq!(names(&cluster.url()).await, [""; 0]);

    let done = restore(&cluster.url(), &log(), LAST, three()).await.unwrap();
    assert_eq!(done.found, TargetState::Empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_published_into_a_cluster() {
    let cluster = NatsCluster::start(3).unwrap();
    let publishing = RestoreOptions { method: Method::Publish, new_sequences: Allow::No, ..three() };
    restore(&cluster.url(), &messages(1..=5_000), 5_000, publishing).await.unwrap();
    assert_eq!(read_all(&cluster.url()).await.1, 5_000);
}
