//! Three servers: what is backed up comes back into a new cluster, also when one of them dies on the way.

use std::time::{Duration, Instant};

use serde_json::Value;
use trstctl_engines::NatsCluster;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Running, Site, header, records, seed_at, trailer};

const EVENTS: u64 = 5_000;
/// A restore that stands still for five seconds, as on a very busy machine, is begun again by the same command.
const GIVEN_UP: &str = "has given up the restore";
/// Longest time until servers have settled.
const SETTLED: Duration = Duration::from_secs(600);

#[track_caller]
fn assert_backup_of_is_the_same(site: &Site, cluster: &NatsCluster) {
    Run::of(&mut site.on_cluster(&cluster.url(), &["backup", "--force", "--output", "b.jsonl"])).succeed();
    assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
    assert_eq!(header(&site.path("a.jsonl")), header(&site.path("b.jsonl")));
    assert_eq!(trailer(&site.path("a.jsonl")), trailer(&site.path("b.jsonl")));
}

#[test]
fn log_of_three_replicas_comes_back_line_by_line_and_outlives_one_server() {
    let site = Site::start();
    let cluster = NatsCluster::start(3).unwrap();
    site.block_on(seed_at(&cluster.url(), 3, History::new(31, EVENTS)));
    Run::of(&mut site.on_cluster(&cluster.url(), &["backup", "--output", "a.jsonl"])).succeed();
    drop(cluster);

    let mut cluster = NatsCluster::start(3).unwrap();
    let report = until_restored(&site, &cluster, GIVEN_UP);
    assert_eq!(report["exact"], true, "{report}");
    assert_backup_of_is_the_same(&site, &cluster);
    cluster.server_mut(0).kill_9();
    assert_backup_of_is_the_same(&site, &cluster);
    let again =
        Run::of(&mut site.on_cluster(&cluster.url(), &["restore", "--json", "a.jsonl"])).succeed().json();
    assert_eq!(again["log"], "recognised");
}

#[test]
fn restored_log_outlives_its_leader_from_the_moment_the_restore_ends() {
    let site = Site::start();
    site.seed(History::new(33, 20_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let mut cluster = NatsCluster::start(3).unwrap();
    until_restored(&site, &cluster, GIVEN_UP);
    let leader = site.leader(&cluster.url());
    let index = cluster.servers().iter().position(|server| server.name() == leader).unwrap();
    cluster.server_mut(index).kill_9();
    assert_backup_of_is_the_same(&site, &cluster);
}

/// A restore into `cluster` that has written the log, and waits for its replicas.
fn restore_until_replicas_fetch(site: &Site, cluster: &NatsCluster) -> Running {
    let run = Running::start(&mut site.on_cluster(&cluster.url(), &["restore", "--json", "a.jsonl"]));
    assert!(run.wait_for_line("replicate"));
    run
}

#[test]
fn restore_succeeds_although_a_replica_dies_before_it_has_the_log() {
    let site = Site::start();
    site.seed(History::new(32, 20_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let mut cluster = NatsCluster::start(3).unwrap();
    let run = restore_until_replicas_fetch(&site, &cluster);
    let leader = site.leader(&cluster.url());
    // Not the first: the program talks to it.
    let follower = (1..3).find(|&index| cluster.servers()[index].name() != leader).unwrap();
    cluster.server_mut(follower).kill_9();
    let report = run.end().succeed().json();
    assert_eq!(report["exact"], true, "{report}");
    assert_backup_of_is_the_same(&site, &cluster);
    cluster.server_mut(follower).restart().unwrap();
    cluster.wait_ready().unwrap();
    assert_backup_of_is_the_same(&site, &cluster);
}

/// The others may have noted, before the leader died, that it had a log, and then elect neither it nor each other: the same command
/// begins again.
#[test]
fn restore_resumes_when_the_leader_that_died_before_any_replica_had_the_log_is_back() {
    let site = Site::start();
    site.seed(History::new(34, 20_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let mut cluster = NatsCluster::start(3).unwrap();
    let run = restore_until_replicas_fetch(&site, &cluster);
    let leader = site.leader(&cluster.url());
    let index = cluster.servers().iter().position(|server| server.name() == leader).unwrap();
    cluster.server_mut(index).kill_9();
    let run = run.end();
    // Success only if a replica was faster than the death.
    assert!(matches!(run.code, Some(0 | 4 | 8)), "{}", run.stderr);
    cluster.server_mut(index).restart().unwrap();
    let again = until_restored(&site, &cluster, "");
    assert_eq!(again["exact"], true, "{again}");
    assert_backup_of_is_the_same(&site, &cluster);
}

/// The report of a restore that is run again while its servers settle, and while it says this.
fn until_restored(site: &Site, cluster: &NatsCluster, says: &str) -> Value {
    let start = Instant::now();
    // Those that fail may have met servers that still settled, or traces of the one before.
    for _ in 1..=5 {
        let begun = Instant::now();
        let run = Run::of(&mut site.on_cluster(&cluster.url(), &["restore", "--json", "a.jsonl"]));
        if run.code == Some(0) {
            return run.json();
        }
        assert!(
            matches!(run.code, Some(4 | 8)) && run.stderr.contains(says),
            "{:?} {}",
            run.code,
            run.stderr
        );
        assert!(says != GIVEN_UP || begun.elapsed() >= Duration::from_secs(5), "{}", run.stderr);
        assert!(start.elapsed() < SETTLED, "{}", run.stderr);
        println!("{:?} {}", start.elapsed(), run.stderr);
    }
    panic!("the restore does not converge");
}
