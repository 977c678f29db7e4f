//! Disks that are full: of the output, of the log's server, of the database, of the demo's engines.

use std::fs;
use std::time::{Duration, Instant};

use trstctl_engines::{Data, NatsOptions, Postgres, PostgresOptions};
use trstctl_ledger::history::{Gaps, History, HistoryOptions};
use trstctl_tests::{Run, Site, SmallDisk, pause, records, records_without_times, trailer};

const KIB: u64 = 1;
const MIB: u64 = 1_024 * KIB;

fn site_with_backup(events: u64) -> Site {
    let site = Site::start();
    site.seed(History::with_options(
        91,
        events,
        HistoryOptions { gaps: Gaps::None, ..HistoryOptions::default() },
    ));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site
}

#[test]
fn backup_onto_a_full_disk_leaves_nothing_and_succeeds_when_there_is_room() {
    let site = site_with_backup(3_000);
    let Some(disk) = SmallDisk::mount(256 * KIB) else { return };
    let output = disk.join("b.jsonl").display().to_string();
    let backup = ["backup", "--output", &output];
    let run = site.dr(&backup).fail(8, "output_failed");
    assert!(run.stderr.contains("No space left"), "{}", run.stderr);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    disk.resize(64 * MIB);
    site.dr(&backup).succeed();
    assert_eq!(records(&site.path("a.jsonl")), records(&disk.join("b.jsonl")));
    assert_eq!(trailer(&site.path("a.jsonl")), trailer(&disk.join("b.jsonl")));
    let before = fs::read(disk.join("b.jsonl")).unwrap();
    disk.resize(before.len() as u64 / 1_024 + 64);
    site.dr(&["backup", "--force", "--output", &output]).fail(8, "output_failed");
    assert_eq!(fs::read(disk.join("b.jsonl")).unwrap(), before);
}

#[test]
fn device_pipe_or_folder_is_never_replaced_by_a_backup() {
    let site = site_with_backup(50);
    let pipe = site.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(site.path("folder")).unwrap();
    for output in ["/dev/full", "pipe", "folder"] {
        site.dr(&["backup", "--force", "--output", output]).fail(2, "usage");
    }
    assert!(!fs::metadata("/dev/full").unwrap().is_file() && !fs::metadata(pipe).unwrap().is_file());
}

#[test]
fn restore_into_a_server_whose_disk_is_full_is_no_success_and_goes_on_when_there_is_room() {
    let mut site = site_with_backup(20_000);
    let whole = records_without_times(&site.path("a.jsonl"));
    for method in ["archive", "publish"] {
        let Some(disk) = SmallDisk::mount(6 * MIB) else { return };
        let full = NatsOptions { data: Data::Dir(disk.join("nats")), ..NatsOptions::default() };
        site.lose_log(full);
        let restore = ["restore", "--method", method, "a.jsonl"];
        let run = site.dr(&restore);
        println!("{method}: {:?} {}", run.code, run.stderr);
        let run = run.fail(8, "refused");
        assert!(run.stderr.contains("more disk"), "{}", run.stderr);
        site.assert_log_is_not_taken_for_another(&whole);
        disk.resize(512 * MIB);
        // A server measures its disk when it starts.
        site.nats.restart().unwrap();
        let again = site.dr(&restore);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        // Publishing keeps no store times: another history.
        site.dr(&["backup", "--force", "--new-history", "restored", "--output", "b.jsonl"]).succeed();
        assert_eq!(records_without_times(&site.path("b.jsonl")), whole);
        site.lose_log(NatsOptions::default());
    }
}

#[test]
fn rebuild_in_a_database_whose_disk_is_full_changes_nothing_and_goes_on_when_there_is_room() {
    let site = site_with_backup(20_000);
    let Some(disk) = SmallDisk::mount(512 * MIB) else { return };
    let settings = ["min_wal_size=32MB", "max_wal_size=32MB"].map(str::to_owned).to_vec();
    let options =
        PostgresOptions { data: Data::Dir(disk.join("postgres")), settings, ..PostgresOptions::default() };
    let postgres = Postgres::start(options).unwrap();
    postgres.execute("postgres", "CREATE DATABASE d").unwrap();
    let dr =
        |arguments: &[&str]| Run::of(site.command(arguments).env("TRSTCTL_POSTGRES_DSN", postgres.dsn("d")));
    dr(&["rebuild"]);
    let digests = dr(&["diff", "--json"]).succeed().json()["digests"].clone();
    // One that is under way, and one that gives back what it leaves: later ones make no room.
    for _ in 0..2 {
        postgres.execute("d", "CHECKPOINT").unwrap();
    }
    let used = fs_used_kib(&disk);
    disk.resize(used + 2 * MIB);
    let run = dr(&["rebuild"]);
    println!("{}", run.stderr);
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    assert!(run.has_class("refused") || run.has_class("unreachable"), "{}", run.stderr);
    disk.resize(512 * MIB);
    // Without room for its own log it restarts.
    wait_until_it_answers(&postgres);
    assert_eq!(dr(&["diff", "--json"]).succeed().json()["digests"], digests);
    let again = dr(&["rebuild"]);
    assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
    assert_eq!(dr(&["diff", "--json"]).succeed().json()["digests"], digests);
}

fn wait_until_it_answers(postgres: &Postgres) {
    let begun = Instant::now();
    while let Err(error) = postgres.execute("postgres", "SELECT 1") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
        pause();
    }
}

fn fs_used_kib(disk: &SmallDisk) -> u64 {
    let stat = rustix::fs::statvfs(disk.path()).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize / 1_024
}

#[test]
fn demo_in_a_temporary_folder_without_room_says_so_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount(8 * MIB) else { return };
    let mut demo = trstctl_tests::program();
    let run = Run::of(demo.args(["demo", "--events", "500"]).env("TMPDIR", disk.path()));
    println!("{:?} {}", run.code, run.stderr);
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
