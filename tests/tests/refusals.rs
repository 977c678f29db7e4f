//! What must be refused, with its class and exit code, and leaves everything as it was.

use std::fs::{self, File};

use trstctl_engines::NatsOptions;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, flip_byte, program};

#[test]
fn backup_of_a_wrong_server_creates_nothing_and_says_so() {
    let site = Site::start();
    site.dr(&["backup", "--output", "a.jsonl"]).fail(8, "no_stream");
    site.dr(&["backup", "--output", "a.jsonl"]).fail(8, "no_stream");
    assert!(!site.path("a.jsonl").exists());
}

#[test]
fn backup_of_an_empty_log_needs_to_be_allowed() {
    let site = Site::start();
    site.seed(History::new(1, 0));
    site.dr(&["backup", "--output", "a.jsonl"]).fail(8, "empty_log");
    assert!(!site.path("a.jsonl").exists());
    site.dr(&["backup", "--allow-empty", "--output", "a.jsonl"]).succeed();
    site.dr(&["verify", "a.jsonl"]).succeed();
}

#[test]
fn backup_never_replaces_a_file_without_force() {
    let site = Site::start();
    site.seed(History::new(1, 100));
    File::create(site.path("a.jsonl")).unwrap();
    site.dr(&["backup", "--output", "a.jsonl"]).fail(2, "usage");
    assert_eq!(fs::read(site.path("a.jsonl")).unwrap(), b"");
    site.dr(&["backup", "--force", "--output", "a.jsonl"]).succeed();
    site.dr(&["verify", "a.jsonl"]).succeed();
}

#[test]
fn one_flipped_bit_is_refused_and_the_target_stays_untouched() {
    let mut site = Site::start();
    site.seed(History::new(1, 200));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    flip_byte(&site.path("a.jsonl"), 5_000);
    site.dr(&["verify", "a.jsonl"]).fail(4, "damaged");
    site.lose_log(NatsOptions::default());
    site.dr(&["restore", "--rebuild", "a.jsonl"]).fail(4, "damaged");
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
}

#[test]
fn restore_refuses_a_log_that_is_not_empty() {
    let mut site = Site::start();
    site.seed(History::new(1, 200));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    site.seed(History::new(2, 300));
    let refused = site.dr(&["restore", "--json", "a.jsonl"]);
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    assert!(refused.json()["error"]["sequence"].is_u64(), "{}", refused.stdout);
}

#[test]
fn restore_refuses_a_log_with_newer_events_and_counts_them() {
    let site = Site::start();
    site.seed(History::with_options(
        1,
        200,
        trstctl_ledger::history::HistoryOptions {
            gaps: trstctl_ledger::history::Gaps::None,
            ..Default::default()
        },
    ));
    site.dr(&["backup", "--through", "190", "--output", "a.jsonl"]).succeed();
    let refused = site.dr(&["restore", "a.jsonl"]).fail(7, "target_not_empty");
    assert!(refused.stderr.contains("10 newer"), "{}", refused.stderr);
}

#[test]
fn keyed_backup_is_not_accepted_without_its_key_unless_allowed() {
    let site = Site::start();
    site.seed(History::new(1, 100));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let without =
        |arguments: &[&str]| Run::of(site.command(arguments).env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE"));
    without(&["verify", "a.jsonl"]).fail(6, "key_missing");
    let accepted = without(&["verify", "--allow-unverified-mac", "a.jsonl"]).succeed();
    assert!(accepted.stdout.contains("NOT checked"), "{}", accepted.stdout);
    File::create(site.path("empty.key")).unwrap();
    without(&["verify", "--key-file", "empty.key", "a.jsonl"]).fail(2, "usage");
    without(&["verify", "--key-file", "missing.key", "a.jsonl"]).fail(2, "usage");
}

#[test]
fn unkeyed_backup_is_verified_and_restored_only_when_allowed() {
    let mut site = Site::start();
    site.seed(History::new(1, 100));
    let without = |site: &Site, arguments: &[&str]| {
        Run::of(site.command(arguments).env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE"))
    };
    without(&site, &["backup", "--output", "a.jsonl"]).succeed();
    site.dr(&["verify", "a.jsonl"]).fail(6, "unkeyed");
    let seen = without(&site, &["verify", "a.jsonl"]).succeed();
    assert!(seen.stdout.contains("not tampering"), "{}", seen.stdout);
    site.lose_log(NatsOptions::default());
    without(&site, &["restore", "a.jsonl"]).fail(6, "unkeyed");
    without(&site, &["restore", "--allow-unkeyed", "a.jsonl"]).succeed();
}

#[test]
fn password_in_an_argument_is_refused() {
    let run =
        Run::of(program().args(["manifest", "audit", "--database", "postgres://u:hunter2@127.0.0.1/d"]));
    run.fail(2, "usage");
}

#[test]
fn unreachable_servers_are_named_without_their_passwords() {
    let run = Run::of(
        program()
            .args(["backup", "--output", "a.jsonl"])
            .env("TRSTCTL_NATS_URL", "nats://u:hunter2@127.0.0.1:9"),
    );
    let run = run.fail(8, "unreachable");
    assert!(run.stderr.contains("127.0.0.1:9") && !run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn named_pipe_and_folder_are_no_backups_to_open() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    Run::of(program().arg("verify").arg(&pipe)).fail(2, "usage");
    Run::of(program().arg("verify").arg(folder.path())).fail(2, "usage");
    Run::of(program().arg("verify").arg(folder.path().join("absent"))).fail(2, "usage");
}
