//! What must be refused, with its class and exit code, and leaves everything as it was.

use std::fs::{self, File};

use trstctl_engines::NatsOptions;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, flip_byte, program, records, trailer};

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

#[test]
fn backup_of_another_deployment_is_restored_only_when_it_is_named() {
    let mut site = Site::start();
    site.seed(History::new(1, 100));
    let of = |site: &Site, deployment: &str, arguments: &[&str]| {
        Run::of(site.command(arguments).env("TRSTCTL_DEPLOYMENT_ID", deployment))
    };
    of(&site, "theirs", &["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let refused = of(&site, "ours", &["restore", "a.jsonl"]).fail(2, "usage");
    assert!(refused.stderr.contains("--from-deployment theirs"), "{}", refused.stderr);
    of(&site, "ours", &["restore", "--from-deployment", "others", "a.jsonl"]).fail(2, "usage");
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    of(&site, "ours", &["restore", "--from-deployment", "theirs", "a.jsonl"]).succeed();
}

#[test]
fn gaps_are_published_only_as_new_sequences_that_are_accepted_and_told() {
    let mut site = Site::start();
    site.seed(History::new(1, 300));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let publish = ["restore", "--method", "publish", "a.jsonl"];
    let refused = site.dr(&publish).fail(8, "refused");
    assert!(refused.stderr.contains("--accept-new-sequences"), "{}", refused.stderr);
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    let accepted = [&publish[..], &["--accept-new-sequences"]].concat();
    let records = records(&site.path("a.jsonl")).len();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plan = words(&site.dr(&[&accepted[..], &["--plan"]].concat()).succeed().stdout);
    assert!(plan.contains(&format!("(new sequences 1 to {records}, instead of 3 to 300)")), "{plan}");
    let told = site.dr(&accepted).fail(1, "findings");
    assert!(told.stdout.contains("NO: see the notes"), "{}", told.stdout);
    for note in ["publishing keeps no store times", "every event gets a new sequence"] {
        assert!(words(&told.stdout).contains(note), "{note}: {}", told.stdout);
    }
    assert!(words(&told.stderr).contains("not the same store times or sequences"), "{}", told.stderr);
    // Run again, it says the same of the log that it finds.
    let again = site.dr(&[&accepted[..], &["--json"]].concat()).json();
    assert_eq!((&again["log"], &again["sequences_are_new"]), (&"recognised".into(), &true.into()), "{again}");
    assert_eq!((&again["first_sequence"], &again["last_sequence"]), (&1.into(), &records.into()), "{again}");
    assert!(told.stdout.contains(again["merkle_root"].as_str().unwrap()), "{} {again}", told.stdout);
}

#[test]
fn log_that_is_there_bit_for_bit_is_told_as_such_whatever_the_method() {
    let site = Site::start();
    site.seed(History::new(1, 300));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let backup = trailer(&site.path("a.jsonl"));
    let publish = ["restore", "--method", "publish", "--accept-new-sequences", "a.jsonl"];
    let plan = site.dr(&[&publish[..], &["--plan"]].concat()).succeed().stdout;
    assert!(plan.contains("gaps kept") && !plan.contains("new sequence"), "{plan}");
    let report = site.dr(&[&publish[..], &["--json"]].concat()).succeed().json();
    assert_eq!((&report["exact"], &report["sequences_are_new"]), (&true.into(), &false.into()), "{report}");
    for key in ["merkle_root", "first_sequence", "last_sequence"] {
        assert_eq!(report[key], backup[key], "{report}");
    }
}

#[test]
fn restore_without_rebuild_does_not_ask_postgresql_and_says_what_must_follow() {
    let mut site = Site::start();
    site.seed(History::new(1, 300));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let mut command = site.command(&["restore", "--through", "120", "--report", "r.html", "a.jsonl"]);
    let done = Run::of(command.env("TRSTCTL_POSTGRES_DSN", "host=127.0.0.1 port=1 user=nobody")).succeed();
    assert_eq!(done.stdout.lines().last(), Some("next: run trstctl-dr rebuild before any server starts"));
    site.dr(&["backup", "--new-history", "a part", "--output", "b.jsonl"]).succeed();
    let (whole, part) = (records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
    let sequence = |line: &String| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["seq"].as_u64().unwrap()
    };
    let expected: Vec<_> = whole.into_iter().filter(|line| sequence(line) <= 120).collect();
    assert!(!expected.is_empty());
    assert_eq!(part, expected);
}

#[test]
fn backup_without_an_output_is_named_by_its_time_in_the_folder_of_the_settings() {
    let site = Site::start();
    site.seed(History::new(1, 100));
    site.dr(&["backup"]).fail(2, "usage");
    fs::create_dir(site.path("backups")).unwrap();
    let mut command = site.command(&["backup", "--compress"]);
    Run::of(command.env("TRSTCTL_BACKUP_DIR", site.path("backups"))).succeed();
    let names = fs::read_dir(site.path("backups")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let (file, head) = (&names[0], &names[1]);
    let time = file.strip_prefix("trstctl-events-").and_then(|name| name.strip_suffix("Z.jsonl.zst"));
    let time = time.unwrap_or_else(|| panic!("{names:?}"));
    assert_eq!(
        time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>(),
        "00000000T000000"
    );
    assert_eq!((head.as_str(), names.len()), (format!("{file}.head").as_str(), 2));
}
