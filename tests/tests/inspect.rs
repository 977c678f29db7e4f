//! What is in a backup: counted right, told only of a verified file, and streamed as it stands there.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use trstctl_ledger::history::{History, HistoryOptions, Odd};
use trstctl_tests::{Run, Site, flip_byte, program, records};

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// A site with a backup `a.jsonl` of a history with gaps and foreign messages.
fn site() -> Site {
    let site = Site::start();
    site.seed(History::new(61, 3_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site
}

fn parsed(path: &Path) -> Vec<Value> {
    records(path).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Counts of the values of a key, as this test counts them.
fn counted(records: &[Value], key: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        if let Some(value) = record[key].as_str() {
            *counts.entry(value.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn told(object: &Value) -> BTreeMap<String, u64> {
    let counts = object["counts"].as_array().unwrap();
    counts.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), c["records"].as_u64().unwrap())).collect()
}

#[test]
fn counts_by_tenant_type_and_time_are_those_of_the_lines() {
    let site = site();
    let lines = parsed(&site.path("a.jsonl"));
    let raw = lines.iter().filter(|line| line["raw_b64"].is_string()).count() as u64;
    let report = site.dr(&["inspect", "--json", "a.jsonl"]).succeed().json();
    assert_eq!(told(&report["by_type"]), counted(&lines, "type"));
    let mut tenants = counted(&lines, "tenant_id");
    *tenants.entry(String::new()).or_default() += raw;
    assert_eq!(told(&report["by_tenant"]), tenants);
    assert!(raw > 0);
    assert_eq!(report["foreign"]["records"], raw);
    assert_eq!(report["selected"]["records"], lines.len());
    let bins = report["histogram"]["bins"].as_array().unwrap();
    let sum: u64 = bins.iter().map(|bin| bin["records"].as_u64().unwrap()).sum();
    assert_eq!(sum, lines.len() as u64);
    let first = &report["by_type"]["counts"][0];
    let of_type: Vec<_> = lines.iter().filter(|line| line["type"] == first["name"]).collect();
    assert_eq!(first["first_time"], of_type[0]["stored_at"]);
    assert_eq!(first["last_time"], of_type.last().unwrap()["stored_at"]);
    assert!(!report["gap_ranges"].as_array().unwrap().is_empty());
}

/// The lines that `inspect --events` gives with these conditions.
#[track_caller]
fn events(site: &Site, conditions: &[&str]) -> Vec<String> {
    let arguments = [&["inspect", "--events"], conditions, &["a.jsonl"]].concat();
    site.dr(&arguments).succeed().stdout.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn events_are_the_lines_of_the_file_and_every_condition_counts() {
    let site = site();
    let all = records(&site.path("a.jsonl"));
    assert_eq!(events(&site, &[]), all);
    let field = |line: &str, key: &str| {
        serde_json::from_str::<Value>(line).unwrap()[key].as_str().unwrap_or_default().to_owned()
    };
    let kept = |keep: &dyn Fn(&str) -> bool| -> Vec<String> {
        all.iter().filter(|line| keep(line)).cloned().collect()
    };
    let middle = &all[all.len() / 2];
    let (tenant, instant) = (field(&all[1], "tenant_id"), field(middle, "stored_at"));
    assert_eq!(events(&site, &["--tenant", &tenant]), kept(&|line| field(line, "tenant_id") == tenant));
    assert_eq!(events(&site, &["--type", "owner"]), kept(&|line| field(line, "type").starts_with("owner.")));
    assert_eq!(
        events(&site, &["--type", "*.created", "--tenant", &tenant]),
        kept(&|line| field(line, "type").ends_with(".created") && field(line, "tenant_id") == tenant)
    );
    let until = events(&site, &["--until", &instant]);
    let since = events(&site, &["--since", &instant]);
    assert_eq!(until[..], all[..until.len()]);
    assert!(since.contains(middle) && until.contains(middle) && since.len() + until.len() > all.len());
    let sequence = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    assert_eq!(
        events(&site, &["--from", "100", "--to", "200"]),
        kept(&|line| (100..=200).contains(&sequence(line)))
    );
}

#[test]
fn nothing_of_a_damaged_file_is_told() {
    let site = site();
    fs::copy(site.path("a.jsonl"), site.path("bad.jsonl")).unwrap();
    let middle = site.path("a.jsonl").metadata().unwrap().len() / 2;
    flip_byte(&site.path("bad.jsonl"), middle);
    for arguments in [&["inspect", "bad.jsonl"][..], &["inspect", "--events", "bad.jsonl"]] {
        let run = site.dr(arguments).fail(4, "damaged");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn unkeyed_file_is_told_without_a_key_and_refused_with_one() {
    let site = site();
    let unkeyed = |arguments: &[&str]| -> Run {
        Run::of(site.command(arguments).env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE"))
    };
    // In a folder of its own: nothing there to extend that an unkeyed host cannot check.
    fs::create_dir(site.path("plain")).unwrap();
    unkeyed(&["backup", "--output", "plain/plain.jsonl"]).succeed();
    unkeyed(&["inspect", "plain/plain.jsonl"]).succeed();
    unkeyed(&["inspect", "a.jsonl"]).fail(6, "key_missing");
    unkeyed(&["inspect", "--allow-unverified-mac", "a.jsonl"]).succeed();
    site.dr(&["inspect", "plain/plain.jsonl"]).fail(6, "unkeyed");
    site.dr(&["inspect", "--allow-unkeyed", "plain/plain.jsonl"]).succeed();
}

#[test]
fn json_and_events_do_not_go_together() {
    let site = site();
    site.dr(&["inspect", "--json", "--events", "a.jsonl"]).fail(2, "usage");
    site.dr(&["inspect", "--events", "absent.jsonl"]).fail(2, "usage");
}

#[test]
fn reader_that_has_read_enough_ends_the_stream_quietly() {
    let site = Site::start();
    site.seed(History::new(62, 20_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let mut command = site.command(&["inspect", "--events", "--quiet", "a.jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn compressed_encrypted_and_version_1_files_are_told_too() {
    let site = Site::start();
    let options = HistoryOptions { odd: Odd::None, ..HistoryOptions::default() };
    site.seed(History::with_options(63, 1_000, options));
    let mut identity =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(site.path("identity")).unwrap();
    identity.write_all(IDENTITY.as_bytes()).unwrap();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.dr(&["backup", "--compress", "--output", "a.jsonl.zst"]).succeed();
    site.dr(&["backup", "--compress", "--recipient", RECIPIENT, "--output", "a.jsonl.zst.age"]).succeed();
    site.dr(&["backup", "--format-version", "1", "--output", "v1.jsonl"]).succeed();
    let all = records(&site.path("a.jsonl"));
    let opened = ["inspect", "--events", "--identity", "identity", "a.jsonl.zst.age"];
    for arguments in [&["inspect", "--events", "a.jsonl.zst"][..], &opened] {
        let lines: Vec<String> = site.dr(arguments).succeed().stdout.lines().map(ToOwned::to_owned).collect();
        assert_eq!(lines, all);
    }
    site.dr(&["inspect", "a.jsonl.zst.age"]).fail(6, "key_missing");
    let v1 = records(&site.path("v1.jsonl"));
    let run = site.dr(&["inspect", "--events", "--from", "3", "--to", "5", "v1.jsonl"]).succeed();
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), v1[2..5]);
    let report = site.dr(&["inspect", "--json", "v1.jsonl"]).succeed().json();
    assert!(report["gap_ranges"].is_null() && report["selected"]["records"] == v1.len());
}

#[test]
fn words_are_plain_where_there_is_no_terminal() {
    let site = site();
    let text = Run::of(site.command(&["inspect", "a.jsonl"]).env("LANG", "C.UTF-8")).succeed().stdout;
    assert!(text.contains("by tenant") && text.contains("over time") && text.contains('#'), "{text}");
    assert!(!text.contains('█') && !text.contains('\u{1b}'), "{text}");
    assert!(Run::of(program().arg("inspect")).code == Some(2));
}
