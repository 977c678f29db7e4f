//! A cluster of three that loses servers, data or its majority while a command runs: the command ends well without them, or says
//! what is wrong within bounded time and the same command goes on once they are back.

use std::time::{Duration, Instant};

use trstctl_engines::NatsCluster;
use trstctl_ledger::history::History;
use trstctl_tests::{
    Action, Fault, Pick, Proxy, Run, Running, Site, Speech, cases, records, seed_at, trailer,
};

const EVENTS: u64 = 5_000;
/// Longer than every wait of a command that meets a cluster without a majority.
const BOUND: Duration = Duration::from_secs(150);

/// A cluster with a log of three replicas, and its backup `a.jsonl`.
fn with_log(site: &Site) -> NatsCluster {
    let cluster = NatsCluster::start(3).unwrap();
    site.block_on(seed_at(&cluster.url(), 3, History::new(81, EVENTS)));
    Run::of(&mut site.on_cluster(&cluster.url(), &["backup", "--output", "a.jsonl"])).succeed();
    cluster
}

#[track_caller]
fn assert_backup_is_the_same(site: &Site, url: &str) {
    Run::of(&mut site.on_cluster(url, &["backup", "--force", "--output", "b.jsonl"])).succeed();
    assert_same(site);
}

#[track_caller]
fn assert_same(site: &Site) {
    assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
    assert_eq!(trailer(&site.path("a.jsonl")), trailer(&site.path("b.jsonl")));
}

/// Runs the command again while the cluster settles; whatever fails meanwhile is a matter of servers, and leaves no output. What
/// was said of each failure.
#[track_caller]
fn until_done(site: &Site, url: &str, arguments: &[&str]) -> Vec<String> {
    let start = Instant::now();
    let mut failures = Vec::new();
    loop {
        let run = Run::of(&mut site.on_cluster(url, arguments));
        println!("{arguments:?}: {:?} after {:?}", run.code, start.elapsed());
        if run.code == Some(0) {
            return failures;
        }
        // What a cut archive leaves may be complete now, and empty later: once.
        let is_first = !failures.iter().any(|said: &String| said.contains("readback_differs"));
        let readback_differs = arguments[0] == "restore" && run.code == Some(4) && is_first;
        assert!(run.code == Some(8) || readback_differs, "{}", run.stderr);
        assert!(!site.path("b.jsonl").exists());
        assert!(start.elapsed() < 3 * BOUND, "{}", run.stderr);
        failures.push(run.stderr);
    }
}

/// Whose place in the cluster: the log's leader, or a server that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Leader,
    Follower,
    /// The one that the program talks to.
    Spoken,
}

impl Victim {
    fn index(self, site: &Site, cluster: &NatsCluster) -> usize {
        if self == Self::Spoken {
            return 0;
        }
        let leader = site.leader(&cluster.url());
        let is_it = |name: &str| (name == leader) == (self == Self::Leader);
        let mut others = (0..3).filter(|&index| is_it(cluster.servers()[index].name()));
        // Not the one that is spoken to, where there is a choice.
        others.next_back().expect("a cluster has a leader and followers")
    }
}

/// A proxy before the first server, and a URL that names it first.
fn through_proxy(cluster: &NatsCluster) -> (Proxy, String) {
    let [first, second, third] = cluster.servers() else { panic!("three servers") };
    let proxy = Proxy::before(first.port(), Speech::Nats);
    let url = format!("{},{},{}", proxy.url(&first.url()), second.url(), third.url());
    (proxy, url)
}

#[test]
fn backup_goes_on_when_a_server_dies_meanwhile() {
    let site = Site::start();
    let mut cluster = with_log(&site);
    for victim in cases(vec![Victim::Spoken], vec![Victim::Spoken, Victim::Leader, Victim::Follower]) {
        let (proxy, url) = through_proxy(&cluster);
        let index = victim.index(&site, &cluster);
        proxy.arm(Fault::to_client(Pick::Message("events.", 2_000), Action::Freeze));
        let run = Running::start(&mut site.on_cluster(&url, &["backup", "--force", "--output", "b.jsonl"]));
        assert!(proxy.wait_until_done());
        cluster.server_mut(index).kill_9();
        proxy.thaw();
        run.end().succeed();
        assert_same(&site);
        cluster.server_mut(index).restart().unwrap();
        cluster.wait_ready().unwrap();
    }
}

/// Whether a restore during which a server died has done its work all the same; else that is a matter of servers.
#[track_caller]
fn is_restored(run: Running, victim: Victim) -> bool {
    let run = run.end();
    println!("restore, {victim:?} killed: {:?} {}", run.code, run.stderr);
    assert!(matches!(run.code, Some(0 | 8)), "{}", run.stderr);
    run.code == Some(0)
}

#[test]
fn archive_that_a_dying_server_cuts_is_restored_by_the_same_command() {
    let site = Site::start();
    drop(with_log(&site));
    for victim in cases(vec![Victim::Spoken], vec![Victim::Spoken, Victim::Follower]) {
        let mut cluster = NatsCluster::start(3).unwrap();
        let (proxy, url) = through_proxy(&cluster);
        proxy.arm(Fault::to_server(Pick::Message("$JS.SNAPSHOT.RESTORE.", 3), Action::Freeze));
        let run = Running::start(&mut site.on_cluster(&url, &["restore", "a.jsonl"]));
        assert!(proxy.wait_until_done());
        let index = if victim == Victim::Spoken { 0 } else { 2 };
        cluster.server_mut(index).kill_9();
        proxy.thaw();
        if !is_restored(run, victim) {
            cluster.server_mut(index).restart().unwrap();
            until_done(&site, &cluster.url(), &["restore", "a.jsonl"]);
        }
        assert_backup_is_the_same(&site, &cluster.url());
    }
}

#[test]
fn read_back_goes_on_when_a_server_dies_meanwhile() {
    let site = Site::start();
    drop(with_log(&site));
    for victim in cases(vec![Victim::Spoken], vec![Victim::Spoken, Victim::Leader, Victim::Follower]) {
        let mut cluster = NatsCluster::start(3).unwrap();
        let (proxy, url) = through_proxy(&cluster);
        // A restore is given no message before it reads the log back.
        proxy.arm(Fault::to_client(Pick::Message("events.", 2_000), Action::Freeze));
        let run = Running::start(&mut site.on_cluster(&url, &["restore", "a.jsonl"]));
        assert!(proxy.wait_until_done());
        let index = victim.index(&site, &cluster);
        cluster.server_mut(index).kill_9();
        proxy.thaw();
        if !is_restored(run, victim) {
            until_done(&site, &cluster.url(), &["restore", "a.jsonl"]);
        }
        // Without the server that died.
        assert_backup_is_the_same(&site, &cluster.url());
        std::fs::remove_file(site.path("b.jsonl")).unwrap();
    }
}

/// A replica that begins with nothing lags until the others have filled it; what it does not have yet is never taken for deleted.
#[test]
fn backup_by_a_replica_whose_data_was_wiped_is_the_same_or_refused() {
    let site = Site::start();
    let mut cluster = with_log(&site);
    let wiped = Victim::Follower.index(&site, &cluster);
    cluster.server_mut(wiped).kill_9();
    let store = cluster.servers()[wiped].store_dir();
    std::fs::remove_dir_all(store).unwrap();
    cluster.server_mut(wiped).restart().unwrap();
    let url = cluster.servers()[wiped].url();
    until_done(&site, &url, &["backup", "--force", "--output", "b.jsonl"]);
    assert_same(&site);
    cluster.wait_ready().unwrap();
    std::fs::remove_file(site.path("b.jsonl")).unwrap();
    // A replica that replays what the others did holds messages that they have deleted, for a moment: seen after it was ready. It may
    // also make the others elect.
    let failures = until_done(&site, &url, &["backup", "--force", "--output", "b.jsonl"]);
    let passing =
        ["the leader lists it as deleted", "has no leader", "neither delivered nor confirmed deleted"];
    assert!(failures.iter().all(|said| passing.iter().any(|part| said.contains(part))), "{failures:?}");
    assert_same(&site);
}

/// Two servers die at the same moment of a command, and come back when it has ended.
#[test]
fn cluster_that_loses_its_majority_meanwhile_is_told_within_bounded_time_and_the_same_command_goes_on() {
    let site = Site::start();
    drop(with_log(&site));
    let read_back = Fault::to_client(Pick::Message("events.", 2_000), Action::Freeze);
    let chunk = Fault::to_server(Pick::Message("$JS.SNAPSHOT.RESTORE.", 3), Action::Freeze);
    let arguments = ["restore", "a.jsonl"];
    for fault in cases(vec![read_back.clone()], vec![read_back, chunk]) {
        let mut cluster = NatsCluster::start(3).unwrap();
        let (proxy, url) = through_proxy(&cluster);
        proxy.arm(fault.clone());
        let start = Instant::now();
        let run = Running::start(&mut site.on_cluster(&url, &arguments));
        assert!(proxy.wait_until_done());
        for index in [1, 2] {
            cluster.server_mut(index).kill_9();
        }
        proxy.thaw();
        let run = run.end();
        println!("{fault:?}: {:?} {:?} {}", start.elapsed(), run.code, run.stderr);
        // Of an archive the server itself says that it takes no more of it.
        let is_archive = matches!(fault.pick, Pick::Message("$JS.SNAPSHOT.RESTORE.", _));
        assert!(run.has_class("unreachable") || (is_archive && run.has_class("refused")), "{}", run.stderr);
        assert_eq!(run.code, Some(8), "{}", run.stderr);
        assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
        for index in [1, 2] {
            cluster.server_mut(index).restart().unwrap();
        }
        cluster.wait_ready().unwrap();
        until_done(&site, &cluster.url(), &arguments);
        assert_backup_is_the_same(&site, &cluster.url());
        std::fs::remove_file(site.path("b.jsonl")).unwrap();
    }
}

#[test]
fn cluster_without_a_majority_is_told_within_bounded_time_and_the_same_command_goes_on_later() {
    let site = Site::start();
    let mut cluster = with_log(&site);
    let url = cluster.url();
    for index in [1, 2] {
        cluster.server_mut(index).kill_9();
    }
    for arguments in [&["backup", "--output", "b.jsonl"][..], &["restore", "a.jsonl"], &["rebuild"]] {
        let start = Instant::now();
        let run = Run::of(&mut site.on_cluster(&url, arguments));
        println!("{arguments:?} {:?} {}", start.elapsed(), run.stderr);
        assert_eq!(run.code, Some(8), "{arguments:?}: {}", run.stderr);
        assert!(run.has_class("unreachable") || run.has_class("refused"), "{}", run.stderr);
        assert!(start.elapsed() < BOUND, "{arguments:?}: {:?}", start.elapsed());
    }
    assert!(!site.path("b.jsonl").exists());
    for index in [1, 2] {
        cluster.server_mut(index).restart().unwrap();
    }
    cluster.wait_ready().unwrap();
    assert_backup_is_the_same(&site, &url);
}
