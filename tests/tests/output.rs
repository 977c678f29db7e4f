//! What the commands print: 80 columns for people, one JSON object for programs, nothing when told to be quiet.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::Value;
use trstctl_engines::NatsOptions;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, binary, flip_byte};

const COLUMNS: usize = 80;
const ALWAYS: [&str; 5] = ["command", "ok", "exit_code", "elapsed_ms", "error"];

/// A site with a backup `a.jsonl` and a damaged one, `bad.jsonl`.
fn site_with_backup() -> Site {
    let site = Site::start();
    site.seed(History::new(51, 2_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    fs::copy(site.path("a.jsonl"), site.path("bad.jsonl")).unwrap();
    flip_byte(&site.path("bad.jsonl"), 9_000);
    site
}

#[track_caller]
fn assert_narrow(arguments: &[&str], run: &Run) {
    assert!(matches!(run.code, Some(0 | 1)), "{arguments:?}: {}", run.stderr);
    assert!(!run.stdout.is_empty(), "{arguments:?} prints nothing");
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= COLUMNS, "{arguments:?}: {} columns: {line:?}", line.chars().count());
    }
}

#[test]
fn no_line_is_wider_than_80_columns() {
    let mut site = site_with_backup();
    let narrow = |site: &Site, arguments: &[&str]| assert_narrow(arguments, &site.dr(arguments));
    narrow(&site, &["backup", "--output", "b.jsonl"]);
    narrow(&site, &["verify", "a.jsonl", "b.jsonl"]);
    narrow(&site, &["inspect", "--all", "a.jsonl"]);
    narrow(&site, &["prove", "a.jsonl", "b.jsonl"]);
    narrow(&site, &["rebuild"]);
    narrow(&site, &["diff"]);
    site.sql("DELETE FROM read_model.owners; UPDATE read_model.identities SET name = 'x'");
    narrow(&site, &["diff"]);
    site.lose_log(NatsOptions::default());
    narrow(&site, &["restore", "--rebuild", "--plan", "a.jsonl"]);
    narrow(&site, &["restore", "--rebuild", "a.jsonl"]);
    narrow(&site, &["manifest", "audit", "--database", site.dsn()]);
    site.lose_database();
    narrow(&site, &["manifest", "audit", "--database", site.dsn()]);
    narrow(&site, &["demo", "--events", "500"]);
}

/// The one object on standard output, with the keys that every command has.
#[track_caller]
fn object(run: &Run) -> Value {
    let object = run.json();
    for key in ALWAYS {
        assert!(object.get(key).is_some(), "no {key}: {object}");
    }
    assert_eq!(object["exit_code"], run.code.expect("an exit code"), "{object}");
    assert_eq!(object["ok"], run.code == Some(0), "{object}");
    assert_eq!(object["error"].is_null(), run.code == Some(0), "{object}");
    object
}

/// The keys that docs/operations.md names for a command, besides those of every command.
fn documented(command: &str) -> Vec<String> {
    let document = include_str!("../../docs/operations.md");
    let row = format!("| `{command}` | `");
    let json = &document[document.find("## `--json`").expect("a section on --json")..];
    let line = json.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row {row}"));
    let keys = line.trim_start_matches(&format!("| `{command}` |"));
    // What stands in brackets, and after a semicolon, says more about a key.
    let keys = keys.split(';').next().unwrap_or_default();
    let named = keys.split(", ").filter_map(|key| key.split('`').nth(1));
    named.map(|key| key.trim_end_matches("[]").to_owned()).collect()
}

#[track_caller]
fn assert_documented(command: &str, run: &Run) {
    let object = object(run);
    assert_eq!(object["command"], command);
    let mut expected: Vec<String> =
        ALWAYS.iter().map(|key| (*key).to_owned()).chain(documented(command)).collect();
    let mut found: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{command}");
}

#[test]
fn json_has_exactly_the_documented_keys() {
    let mut site = site_with_backup();
    assert_documented("backup", &site.dr(&["backup", "--json", "--output", "b.jsonl"]));
    assert_documented("verify", &site.dr(&["verify", "--json", "a.jsonl"]));
    assert_documented("inspect", &site.dr(&["inspect", "--json", "a.jsonl"]));
    assert_documented("prove", &site.dr(&["prove", "--json", "a.jsonl.head", "b.jsonl"]));
    assert_documented("rebuild", &site.dr(&["rebuild", "--json"]));
    assert_documented("diff", &site.dr(&["diff", "--json"]));
    for command in [&["backup", "--output", "c.jsonl"][..], &["rebuild"]] {
        let run = site.dr(&[command, &["--plan", "--json"]].concat());
        assert_documented("restore --plan", &renamed(run, command[0]));
    }
    site.lose_log(NatsOptions::default());
    let plan = site.dr(&["restore", "--plan", "--json", "a.jsonl"]);
    assert_documented("restore --plan", &renamed(plan, "restore"));
    assert_documented("restore", &site.dr(&["restore", "--json", "a.jsonl"]));
    assert_documented("manifest audit", &site.dr(&["manifest", "audit", "--json"]));
    assert_documented("manifest audit", &site.dr(&["manifest", "audit", "--format", "json"]));
    assert_documented("demo", &site.dr(&["demo", "--events", "500", "--json"]));
}

/// A plan is an answer of its own, and documented as one.
fn renamed(mut run: Run, command: &str) -> Run {
    let mut object = run.json();
    assert_eq!(object["command"], command);
    object["command"] = "restore --plan".into();
    run.stdout = object.to_string();
    run
}

#[test]
fn json_is_one_object_on_failures_and_mistakes_too() {
    let site = site_with_backup();
    let runs: [(&[&str], i32, &str); 9] = [
        (&["verify", "--json", "bad.jsonl"], 4, "damaged"),
        (&["verify", "--json", "absent.jsonl"], 2, "usage"),
        (&["restore", "--json", "bad.jsonl"], 4, "damaged"),
        (&["backup", "--json", "--output", "a.jsonl"], 2, "usage"),
        (&["backup", "--json", "--no-such-flag"], 2, "usage"),
        (&["--json", "no-such-command"], 2, "usage"),
        (&["--json"], 2, "usage"),
        (&["restore", "--json"], 2, "usage"),
        (&["restore", "--json", "--method", "magic", "a.jsonl"], 2, "usage"),
    ];
    for (arguments, code, class) in runs {
        let run = site.dr(arguments);
        let object = object(&run);
        assert_eq!((run.code, &object["error"]["class"]), (Some(code), &Value::from(class)), "{arguments:?}");
        assert!(!object["error"]["message"].as_str().unwrap().is_empty(), "{arguments:?}: {object}");
    }
    let nowhere = Run::of(
        site.command(&["backup", "--json", "--output", "n"]).env("TRSTCTL_NATS_URL", "nats://127.0.0.1:9"),
    );
    assert_eq!(object(&nowhere)["error"]["class"], "unreachable");
}

#[test]
fn quiet_success_says_nothing_on_standard_error() {
    let mut site = site_with_backup();
    let quiet = |site: &Site, arguments: &[&str]| {
        let run = site.dr(arguments);
        // Findings are no silence: they are told. Everything else is.
        let told = run.code == Some(1) && run.stderr.starts_with("findings: ");
        assert!(told || (run.code == Some(0) && run.stderr.is_empty()), "{arguments:?}: {}", run.stderr);
    };
    quiet(&site, &["--quiet", "backup", "--output", "b.jsonl"]);
    quiet(&site, &["verify", "--quiet", "a.jsonl"]);
    quiet(&site, &["rebuild", "-q"]);
    quiet(&site, &["diff", "-q"]);
    site.lose_log(NatsOptions::default());
    quiet(&site, &["restore", "-q", "--rebuild", "a.jsonl"]);
    quiet(&site, &["manifest", "audit", "-q"]);
    quiet(&site, &["demo", "-q", "--events", "200"]);
}

#[test]
fn reader_that_closes_the_pipe_meets_no_panic() {
    let site = site_with_backup();
    let many = "a.jsonl ".repeat(2_000);
    for arguments in [
        format!("verify {many}"),
        "manifest audit --format junit".to_owned(),
        "--help".to_owned(),
        "completions bash".to_owned(),
    ] {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("\"$DR\" {arguments} | head -c 1; exit ${{PIPESTATUS[0]}}")]);
        let environment = site.command(&[]);
        for (name, value) in environment.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            shell.env(name, value);
        }
        let run = Run::of(shell.env("DR", binary()).current_dir(site.path("")));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}

#[test]
fn closed_standard_error_does_not_stop_a_backup() {
    let site = site_with_backup();
    let mut shell = Command::new("bash");
    shell.args(["-c", "exec \"$DR\" backup --output c.jsonl 2>&-"]);
    for (name, value) in site.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    Run::of(shell.env("DR", binary()).current_dir(site.path(""))).succeed();
    site.dr(&["verify", "c.jsonl"]).succeed();
}

#[test]
fn verify_reads_standard_input() {
    let site = site_with_backup();
    let verify = |name: &str| {
        let file = File::open(site.path(name)).unwrap();
        Run::of(site.command(&["verify", "--json", "-"]).stdin(Stdio::from(file)))
    };
    let whole = site.dr(&["verify", "--json", "a.jsonl"]).json();
    assert_eq!(
        verify("a.jsonl").succeed().json()["files"][0]["merkle_root"],
        whole["files"][0]["merkle_root"]
    );
    assert_eq!(verify("bad.jsonl").json()["error"]["class"], "damaged");
    assert_eq!(Run::of(site.command(&["verify", "-"]).stdin(Stdio::null())).code, Some(3));
}

#[test]
fn of_several_files_the_first_that_fails_gives_the_exit_code() {
    let site = site_with_backup();
    let run = site.dr(&["verify", "a.jsonl", "bad.jsonl", "absent.jsonl"]).fail(4, "damaged");
    assert!(
        run.stdout.contains("OK a.jsonl") && run.stdout.contains("FAILED absent.jsonl"),
        "{}",
        run.stdout
    );
    site.dr(&["verify", "absent.jsonl", "bad.jsonl", "a.jsonl"]).fail(2, "usage");
    let files = site.dr(&["verify", "--json", "a.jsonl", "bad.jsonl"]).json()["files"].clone();
    assert!(files[0]["error"].is_null() && files[1]["error"]["class"] == "damaged", "{files}");
}
