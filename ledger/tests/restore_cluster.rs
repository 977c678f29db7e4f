//! Restoring into three servers with three replicas; what a failure leaves, with the newest installed server.

mod restore_support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use restore_support::*;
use serde_json::json;
use trstctl_engines::{NatsCluster, NatsOptions, installed_nats_servers};
use trstctl_formats::backup::Allow;
use trstctl_formats::{Class, StoredMessage};
use trstctl_ledger::log::StreamConfig;
use trstctl_ledger::restore::{Method, RestoreOptions, Source, TargetState};

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
async fn a_log_comes_back_bit_for_bit_on_three_replicas_and_survives_kill_9_of_all() {
    for binary in installed_nats_servers() {
        let options = NatsOptions { binary: Some(binary.path), ..NatsOptions::default() };
        restores_and_survives(NatsCluster::start_with(3, options).unwrap()).await;
    }
}

async fn restores_and_survives(mut cluster: NatsCluster) {
    let start = Instant::now();
    let mut done = restore(&cluster.url(), &log(), LAST, three()).await;
    if done.as_ref().is_err_and(|failure| is_given_up(failure, start)) {
        done = restore(&cluster.url(), &log(), LAST, three()).await;
    }
    assert!(done.unwrap().proven.unwrap().exact);
    kill_all_then_each(&mut cluster);
    let (found, last) = read_all(&cluster.url()).await;
    assert_same(&found, &log());
    assert_eq!(last, LAST);
    assert_eq!(info(&cluster.url()).await["config"]["num_replicas"], json!(3));
    assert_eq!(publish(&cluster.url(), "events.next", "", b"").await["seq"], json!(LAST + 1));
}

/// All at once: then each has what is on its disk. Then one after the other: leaders change, and followers catch up.
fn kill_all_then_each(cluster: &mut NatsCluster) {
    cluster.wait_ready().unwrap();
    cluster.restart_killed().unwrap();
    for index in 0..3 {
        cluster.server_mut(index).kill_9();
        cluster.server_mut(index).restart().unwrap();
        cluster.wait_ready().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_leaves_in_a_cluster_is_removed_and_restored_by_the_next_run() {
    let cluster = NatsCluster::start(3).unwrap();
    let proxy = CutProxy::start(&cluster.servers()[0].url(), 600_000).await;
    restore(proxy.url(), &log(), LAST, three()).await.unwrap_err();
    assert!(proxy.was_cut());

    let start = Instant::now();
    match restore(&cluster.url(), &log(), LAST, three()).await {
        Err(failure) if is_given_up(&failure, start) => restore_again(&cluster.url(), &log(), LAST).await,
        done => {
            let found = done.unwrap().found;
            assert!(matches!(found, TargetState::Unfinished { records: 0 }), "{found:?}");
        }
    }
    cluster.wait_ready().unwrap();
    assert_same(&read_all(&cluster.url()).await.0, &log());
    assert_eq!(publish(&cluster.url(), "events.next", "", b"").await["seq"], json!(LAST + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_in_a_cluster_deletes_what_it_began() {
    let cluster = NatsCluster::start(3).unwrap();
    let (mut file, turned) = Moody::new(backup(&log(), LAST));
    file.change_a_store_time();
    let source = Source::new(verified(file));
    turned.store(true, Ordering::SeqCst);
    run(&restore_of(&cluster.url(), source, three()).await).await.unwrap_err();
    assert_eq!(names(&cluster.url()).await, [""; 0]);

    restore_again(&cluster.url(), &log(), LAST).await;
}

/// After a deletion. On 2.9 one that comes late may take the new stream along; this is told, and the same command goes on.
async fn restore_again(url: &str, expected: &[StoredMessage], last: u64) {
    let deletes_late = !connect(url).await.server().version.is_at_least(2, 10);
    for attempt in 1..=3 {
        let start = Instant::now();
        match restore(url, expected, last, three()).await {
            Err(failure) if deletes_late && matches!(failure.class, Class::Unreachable | Class::Refused) => {}
            Err(failure) if is_given_up(&failure, start) => {}
            done => {
                let done = done.unwrap();
                assert!(done.found == TargetState::Empty || attempt > 1, "{:?}", done.found);
                return assert!(done.proven.unwrap().exact);
            }
        }
    }
    panic!("the restore does not converge");
}

/// Comes as soon as a server lists the stream.
async fn listed(url: String) {
    while names(&url).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_in_a_cluster_deletes_what_it_began() {
    let cluster = NatsCluster::start(3).unwrap();
    let expected = messages(1..=40_000);
    let (mut file, turned) = Moody::new(backup(&expected, 40_000));
    file.rest_at_three_quarters(Duration::from_secs(7));
    let source = Source::new(verified(file));
    turned.store(true, Ordering::SeqCst);
    let stopped = restore_of(&cluster.url(), source, three()).await;
    let found = stopped.plan().await.unwrap();
    let failure = stopped.write(&found, listed(cluster.url())).await.unwrap_err();
    assert_eq!(failure.class, Class::Interrupted, "{failure:?}");
    assert_eq!(names(&cluster.url()).await, [""; 0]);

    restore_again(&cluster.url(), &expected, 40_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_published_into_a_cluster() {
    let mut cluster = NatsCluster::start(3).unwrap();
    let publishing = RestoreOptions { method: Method::Publish, new_sequences: Allow::No, ..three() };
    let expected = messages(1..=5_000);
    restore(&cluster.url(), &expected, 5_000, publishing).await.unwrap();
    kill_all_then_each(&mut cluster);
    let (found, last) = read_all(&cluster.url()).await;
    assert_same(&without_times(&found), &without_times(&expected));
    assert_eq!(last, 5_000);
}
