//! SIGINT and SIGTERM in the middle of each command: it says so, leaves nothing, and the same command then succeeds.

use std::io::Write;

use rustix::process::Signal;
use trstctl_engines::NatsOptions;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Running, Site};

const EVENTS: u64 = 30_000;
const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];
/// A command that ends before the signal arrives is tried again.
const TRIES: u32 = 10;

/// Starts the command until a signal in this phase interrupts it. `again` makes it possible to run it once more.
fn interrupt(
    site: &mut Site,
    arguments: &[&str],
    phase: &str,
    signal: Signal,
    again: impl Fn(&mut Site),
) -> Run {
    for _ in 0..TRIES {
        let mut run = Running::start(&mut site.command(arguments));
        assert!(run.wait_for_line(phase), "no phase {phase}: {}", run.end().stderr);
        run.signal(signal);
        let run = run.end();
        if run.code == Some(9) {
            return run.fail(9, "interrupted");
        }
        again(site);
    }
    panic!("{arguments:?} in {phase}: never interrupted by {signal:?}")
}

#[test]
fn interrupted_backup_leaves_no_file() {
    let mut site = Site::start();
    site.seed(History::new(21, EVENTS));
    let backup = ["backup", "--output", "a.jsonl"];
    for signal in SIGNALS {
        interrupt(&mut site, &backup, "back up", signal, |site| {
            std::fs::remove_file(site.path("a.jsonl")).unwrap()
        });
        assert!(!site.path("a.jsonl").exists());
        assert_eq!(site.partial_files(), Vec::<String>::new());
        site.dr(&backup).succeed();
        std::fs::remove_file(site.path("a.jsonl")).unwrap();
    }
}

#[test]
fn interrupted_verify_stops_within_a_file() {
    let mut site = Site::start();
    site.seed(History::new(22, EVENTS));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let many: Vec<&str> = std::iter::once("verify").chain(std::iter::repeat_n("a.jsonl", 20)).collect();
    for signal in SIGNALS {
        let run = interrupt(&mut site, &many, "verify", signal, |_| {});
        assert!(run.stdout.matches("OK a.jsonl").count() < 20, "{}", run.stdout);
    }
    site.dr(&["verify", "a.jsonl"]).succeed();
}

#[test]
fn verify_of_a_pipe_that_says_nothing_can_be_interrupted() {
    let site = Site::start();
    for signal in SIGNALS {
        let mut run = Running::start(&mut site.command(&["verify", "-"]));
        let mut open = run.stdin();
        open.write_all(b"{").unwrap();
        assert!(run.wait_for_line("verify"));
        run.signal(signal);
        run.end().fail(9, "interrupted");
        drop(open);
    }
}

#[test]
fn interrupted_restore_goes_on_wherever_it_was() {
    let mut site = Site::start();
    site.seed(History::new(23, EVENTS));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let restore = ["restore", "--rebuild", "a.jsonl"];
    for signal in SIGNALS {
        for phase in ["verify", "write the log", "read back", "rebuild"] {
            lose(&mut site);
            let run = interrupt(&mut site, &restore, phase, signal, lose);
            // The signal may come later than it was sent.
            if phase == "verify" && !run.stderr.contains("write the log") {
                site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
            }
            let again = site.dr(&["restore", "--rebuild", "--json", "a.jsonl"]);
            assert_eq!(again.json()["exact"], true, "{phase}: {}", again.stderr);
            site.dr(&["diff"]).succeed();
        }
    }
}

fn lose(site: &mut Site) {
    site.lose_log(NatsOptions::default());
    site.lose_database();
}

#[test]
fn interrupted_rebuild_leaves_the_old_read_model() {
    let mut site = Site::start();
    site.seed(History::new(24, EVENTS));
    site.dr(&["rebuild"]);
    let before = site.dr(&["diff", "--json"]).succeed().json()["digests"].clone();
    for signal in SIGNALS {
        interrupt(&mut site, &["rebuild"], "rebuild", signal, |_| {});
        assert_eq!(site.dr(&["diff", "--json"]).succeed().json()["digests"], before);
        let again = site.dr(&["rebuild"]);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
    }
}
