//! Embedded engines: the same commands on engines of their own in a data directory.

use std::process::Command;

use trstctl_ledger::history::History;
use trstctl_tests::{Run, Running, Site, records, trailer};

/// The program on embedded engines in the site's folder, with nothing of the site's but its key.
fn embedded(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command(arguments);
    for name in ["URL", "REPLICAS", "ALLOW_SINGLE_REPLICA"] {
        command.env_remove(format!("TRSTCTL_NATS_{name}"));
    }
    command
        .env_remove("TRSTCTL_POSTGRES_DSN")
        .env("TRSTCTL_NATS_MODE", "embedded")
        .env("TRSTCTL_POSTGRES_MODE", "embedded")
        .env("TRSTCTL_DATA_DIR", site.path("data"));
    command
}

fn site_with_backup() -> Site {
    let site = Site::start();
    site.seed(History::new(41, 3_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site
}

#[test]
fn restore_into_embedded_engines_is_there_for_the_next_command() {
    let site = site_with_backup();
    let run = Run::of(&mut embedded(&site, &["restore", "--rebuild", "--json", "a.jsonl"]));
    let report = run.json();
    let flushes_late = report["nats_version"].as_str().unwrap().starts_with("2.9.");
    assert_eq!(run.stderr.contains("cannot be told when to"), flushes_late, "{}", run.stderr);
    assert_eq!(report["exact"], true, "{report}");
    Run::of(&mut embedded(&site, &["backup", "--output", "b.jsonl"])).succeed();
    assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
    assert_eq!(trailer(&site.path("a.jsonl")), trailer(&site.path("b.jsonl")));
    let diff = Run::of(&mut embedded(&site, &["diff", "--json"])).succeed().json();
    site.dr(&["rebuild"]);
    assert_eq!(diff["digests"], site.dr(&["diff", "--json"]).json()["digests"]);
}

#[test]
fn killed_owner_of_the_engines_hinders_nobody() {
    let site = site_with_backup();
    let restore = ["restore", "--rebuild", "a.jsonl"];
    let run = Running::start(&mut embedded(&site, &restore));
    assert!(run.wait_for_line("write the log"));
    run.kill_9();
    let report = Run::of(&mut embedded(&site, &["restore", "--rebuild", "--json", "a.jsonl"])).json();
    assert_eq!(report["exact"], true, "{report}");
}

#[test]
fn two_commands_at_once_share_the_engines() {
    let site = site_with_backup();
    Run::of(&mut embedded(&site, &["restore", "a.jsonl"])).succeed();
    let backups = ["b.jsonl", "c.jsonl", "d.jsonl"];
    let runs = backups.map(|name| Running::start(&mut embedded(&site, &["backup", "--output", name])));
    // The one that started the engines may end first, and they end with it: then the others say so, and what to do.
    let ended = runs.map(Running::end);
    assert!(ended.iter().any(|run| run.code == Some(0)), "{ended:?}");
    for (run, name) in ended.into_iter().zip(backups) {
        if run.code != Some(0) {
            let run = run.fail(8, "unreachable");
            assert!(run.stderr.contains("to do: ") && !site.path(name).exists(), "{}", run.stderr);
            Run::of(&mut embedded(&site, &["backup", "--output", name])).succeed();
        }
        assert_eq!(records(&site.path("a.jsonl")), records(&site.path(name)));
    }
}

#[test]
fn embedded_mode_without_a_folder_says_what_to_set() {
    let site = Site::start();
    let run = Run::of(embedded(&site, &["backup", "--output", "a.jsonl"]).env_remove("TRSTCTL_DATA_DIR"));
    assert!(run.fail(2, "usage").stderr.contains("TRSTCTL_DATA_DIR"));
}
