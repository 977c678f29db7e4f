//! `kill -9` at any instant: nothing is half-published, and the same command ends as if it had never been killed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use trstctl_engines::NatsOptions;
use trstctl_ledger::history::{Gaps, History, HistoryOptions};
use trstctl_tests::{Running, Site, cases, instants, records, records_without_times, trailer};

/// Length of the log.
fn events() -> u64 {
    cases(20_000, 200_000)
}

/// How often each command is killed.
fn kills() -> u32 {
    cases(4, 50)
}

/// A site with a log, its backup `a.jsonl`, and the digests of its read model.
fn site_with_backup(history: History) -> (Site, Value) {
    let site = Site::start();
    site.seed(history);
    site.dr(&["rebuild"]);
    let digests = site.digests();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    (site, digests)
}

/// The second run's time: the first one finds nothing in any cache.
fn measured<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    work();
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Starts the command and kills it at this instant of its life. Answers whether that is what ended it.
fn kill_at(site: &Site, arguments: &[&str], instant: Duration) -> bool {
    let mut run = Running::start(&mut site.command(arguments));
    run.run_for(instant);
    let killed = run.kill_9();
    println!("  {} at {instant:?}: {}", arguments[0], if killed { "killed" } else { "had ended" });
    killed
}

#[track_caller]
fn assert_same_backup(a: &Path, b: &Path) {
    assert_eq!(records(a), records(b));
    assert_eq!(trailer(a), trailer(b));
}

#[test]
fn killed_backup_leaves_no_file_or_a_whole_one() {
    let site = Site::start();
    site.seed(History::new(11, events()));
    let (_, span) = measured(|| site.dr(&["backup", "--force", "--output", "a.jsonl"]).succeed());
    let mut killed = false;
    for instant in instants("backup", span, kills()) {
        let backup = ["backup", "--output", "b.jsonl"];
        killed |= kill_at(&site, &backup, instant);
        // Killed behind its file and before its head, it leaves what the next backup removes.
        if !site.path("b.jsonl").exists() {
            site.dr(&backup).succeed();
            assert_eq!(site.partial_files(), Vec::<String>::new());
        }
        site.dr(&["verify", "b.jsonl"]).succeed();
        assert_same_backup(&site.path("a.jsonl"), &site.path("b.jsonl"));
        std::fs::remove_file(site.path("b.jsonl")).unwrap();
    }
    assert!(killed, "every run had ended before its kill");
    site.dr(&["backup", "--output", "b.jsonl"]).succeed();
    assert_eq!(site.partial_files(), Vec::<String>::new());
}

#[test]
fn killed_forced_backup_leaves_the_old_file_or_the_new_one() {
    let site = Site::start();
    site.seed(History::new(12, events()));
    let force = ["backup", "--force", "--output", "a.jsonl"];
    let (_, span) = measured(|| site.dr(&force).succeed());
    let whole = records(&site.path("a.jsonl"));
    let mut killed = false;
    for instant in instants("backup --force", span, kills()) {
        killed |= kill_at(&site, &force, instant);
        site.dr(&["verify", "a.jsonl"]).succeed();
        assert_eq!(records(&site.path("a.jsonl")), whole);
    }
    assert!(killed, "every run had ended before its kill");
    site.dr(&force).succeed();
    assert_eq!(site.partial_files(), Vec::<String>::new());
}

#[test]
fn killed_restore_by_archive_converges_with_the_server_killed_too() {
    let (mut site, before) = site_with_backup(History::new(13, events()));
    let restore = ["restore", "--rebuild", "--json", "a.jsonl"];
    let whole = records_without_times(&site.path("a.jsonl"));
    let (report, span) = measured(|| {
        lose(&mut site);
        site.dr(&restore).json()
    });
    let mut killed = false;
    for (round, instant) in instants("restore --rebuild", span, kills()).into_iter().enumerate() {
        lose(&mut site);
        killed |= kill_at(&site, &restore, instant);
        if round % 2 == 1 {
            site.nats.kill_9();
            site.nats.restart().unwrap();
        }
        site.assert_log_is_not_taken_for_another(&whole);
        let again = site.dr(&restore).json();
        assert_eq!(again["exact"], true, "{again}");
        assert_eq!(again["merkle_root"], report["merkle_root"]);
        site.dr(&["backup", "--force", "--output", "b.jsonl"]).succeed();
        assert_same_backup(&site.path("a.jsonl"), &site.path("b.jsonl"));
        assert_eq!(site.digests(), before);
    }
    assert!(killed, "every run had ended before its kill");
}

fn lose(site: &mut Site) {
    site.lose_log(NatsOptions::default());
    site.lose_database();
}

#[test]
fn killed_restore_by_publishing_goes_on_to_the_same_events() {
    let options = HistoryOptions { gaps: Gaps::None, ..HistoryOptions::default() };
    let (mut site, before) = site_with_backup(History::with_options(14, events(), options));
    let restore = ["restore", "--rebuild", "--method", "publish", "--json", "a.jsonl"];
    let whole = records_without_times(&site.path("a.jsonl"));
    let (report, span) = measured(|| {
        lose(&mut site);
        site.dr(&restore).json()
    });
    let mut killed = false;
    for (round, instant) in instants("restore --method publish", span, kills()).into_iter().enumerate() {
        lose(&mut site);
        killed |= kill_at(&site, &restore, instant);
        if round % 2 == 1 {
            site.nats.kill_9();
            site.nats.restart().unwrap();
        }
        let again = site.dr(&restore);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        assert_eq!(said_of_the_log(&again.json()), said_of_the_log(&report));
        assert_eq!(said_of_the_log(&site.dr(&restore).json()), said_of_the_log(&report));
        assert_eq!(site.digests(), before);
        // Other store times are another history.
        site.dr(&["backup", "--force", "--new-history", "published", "--output", "b.jsonl"]).succeed();
        assert_eq!(records_without_times(&site.path("b.jsonl")), whole);
    }
    assert!(killed, "every run had ended before its kill");
}

/// What a report says of the restored log, however many runs it took.
fn said_of_the_log(report: &Value) -> Vec<&Value> {
    let keys =
        ["records", "first_sequence", "last_sequence", "gaps", "merkle_root", "exact", "sequences_are_new"];
    keys.iter().map(|key| &report[key]).collect()
}

#[test]
fn killed_rebuild_leaves_the_old_read_model_and_the_next_one_ends_the_same() {
    let (mut site, before) = site_with_backup(History::new(15, events()));
    let (_, span) = measured(|| site.dr(&["rebuild"]));
    let mut killed = false;
    for (round, instant) in instants("rebuild", span, kills()).into_iter().enumerate() {
        let new_database = round % 2 == 1;
        if new_database {
            site.lose_database();
        }
        killed |= kill_at(&site, &["rebuild"], instant);
        if !new_database {
            assert_eq!(site.digests(), before);
        }
        let again = site.dr(&["rebuild"]);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        assert_eq!(site.digests(), before);
        let schemas = site.sql("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1");
        assert_eq!(
            schemas.split_whitespace().collect::<Vec<_>>(),
            ["information_schema", "public", "read_model"]
        );
    }
    assert!(killed, "every run had ended before its kill");
}
