//! Each backup proves that it extends the one before (trap 10): a source that lost or changed history does not replace it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use trstctl_engines::NatsOptions;
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Run, Site, flip_byte, records};

const DEADLINE: Duration = Duration::from_secs(10);
const EVENTS: u64 = 300;

/// A site whose log has every sequence from 1 to 300.
fn site() -> Site {
    let site = Site::start();
    let options = HistoryOptions { gaps: Gaps::None, odd: Odd::None, ..HistoryOptions::default() };
    site.seed(History::with_options(71, EVENTS, options));
    site
}

async fn connection(site: &Site) -> Connection {
    Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap()
}

/// Appends events of these names.
fn append(site: &Site, names: &[&str]) {
    site.block_on(async {
        let connection = connection(site).await;
        for name in names {
            let event = json!({"id": name, "type": "owner.created", "tenant_id": "t", "time": "2026-01-02T03:04:05Z"});
            let answer = connection.request("events.owner.created", event.to_string().as_bytes(), DEADLINE).await;
            assert!(String::from_utf8_lossy(&answer.unwrap().payload_bytes()).contains("\"seq\":"));
        }
    });
}

fn delete(site: &Site, sequence: u64) {
    site.block_on(async {
        let body = json!({"seq": sequence, "no_erase": true});
        let endpoint = "STREAM.MSG.DELETE.TRSTCTL_EVENTS";
        let _: Value = connection(site).await.api(endpoint, &body, DEADLINE).await.unwrap();
    });
}

/// Loses the log's server, and restores this backup into a new one.
fn go_back_to(site: &mut Site, backup: &str) {
    site.lose_log(NatsOptions::default());
    site.dr(&["restore", backup]).succeed();
}

fn folder(site: &Site, name: &str) -> PathBuf {
    let path = site.path(name);
    fs::create_dir_all(&path).unwrap();
    path
}

fn names(site: &Site, name: &str) -> Vec<String> {
    let entries = fs::read_dir(site.path(name)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_backup_extends_the_one_before_and_says_so() {
    let site = site();
    folder(&site, "b");
    let first = site.dr(&["backup", "--output", "b/1.jsonl"]).succeed();
    assert!(first.stdout.contains("first backup here: nothing earlier to compare with"), "{}", first.stdout);
    append(&site, &["a", "b"]);
    let second = site.dr(&["backup", "--json", "--output", "b/2.jsonl"]).succeed().json();
    assert_eq!(second["after"]["path"], "b/1.jsonl.head");
    assert_eq!(second["after"]["extended"], true);
    assert_eq!(second["after"]["records"], EVENTS);
    let third = site.dr(&["backup", "--json", "--output", "b/3.jsonl"]).succeed().json();
    assert_eq!(third["after"]["records"], EVENTS + 2);
    assert_eq!(names(&site, "b").len(), 6);
}

#[test]
fn source_that_lost_its_last_acknowledged_events_replaces_nothing() {
    let mut site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/old.jsonl"]).succeed();
    append(&site, &["a", "b", "c"]);
    site.dr(&["backup", "--output", "b/good.jsonl"]).succeed();
    let good = (names(&site, "b"), fs::read(site.path("b/good.jsonl")).unwrap());

    go_back_to(&mut site, "b/old.jsonl");
    let lost = site.dr(&["backup", "--output", "b/new.jsonl"]).fail(7, "history_differs");
    assert!(lost.stderr.contains("sequences 301 to 303") && lost.stderr.contains("lost"), "{}", lost.stderr);
    site.dr(&["backup", "--force", "--output", "b/good.jsonl"]).fail(7, "history_differs");

    // The same sequences are given to other events: the log looks as long as it was.
    append(&site, &["x", "y", "z", "more"]);
    let forked = site.dr(&["backup", "--json", "--after", "b/good.jsonl", "--output", "b/new.jsonl"]);
    assert_eq!(forked.json()["error"]["class"], "history_differs");
    assert_eq!(forked.json()["error"]["sequence"], 301);
    site.dr(&["backup", "--output", "b/new.jsonl"]).fail(7, "history_differs");
    assert_eq!((names(&site, "b"), fs::read(site.path("b/good.jsonl")).unwrap()), good);
}

#[test]
fn deleted_message_is_named() {
    let site = site();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    delete(&site, 17);
    let by_file =
        site.dr(&["backup", "--after", "a.jsonl", "--output", "b.jsonl"]).fail(7, "history_differs");
    assert!(
        by_file.stderr.contains("a message of the old backup is missing in the new one: sequence 17;"),
        "{}",
        by_file.stderr
    );
    let by_head = site.dr(&["backup", "--output", "b.jsonl"]).fail(7, "history_differs");
    assert!(
        by_head.stderr.contains("missing in the new one, within sequences 17 to 24;"),
        "{}",
        by_head.stderr
    );
    delete(&site, 1);
    let first = site.dr(&["backup", "--after", "a.jsonl", "--output", "b.jsonl"]).fail(7, "history_differs");
    assert!(first.stderr.contains("missing in the new one: sequence 1;"), "{}", first.stderr);
    assert!(!site.path("b.jsonl").exists() && site.partial_files().is_empty());
}

#[test]
fn accepted_break_is_recorded_and_the_next_backups_go_after_it() {
    let site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/1.jsonl"]).succeed();
    delete(&site, EVENTS);
    delete(&site, 17);
    site.dr(&["backup", "--new-history", " ", "--output", "b/2.jsonl"]).fail(2, "usage");
    let reason = "erased by court order";
    let second =
        site.dr(&["backup", "--json", "--new-history", reason, "--output", "b/2.jsonl"]).succeed().json();
    assert_eq!(second["after"]["extended"], false);
    assert_eq!(second["new_history"]["reason"], reason);
    assert!(fs::read_to_string(site.path("b/2.jsonl.head")).unwrap().contains(reason));
    let third = site.dr(&["backup", "--json", "--output", "b/3.jsonl"]).succeed().json();
    assert_eq!(third["after"]["path"], "b/2.jsonl.head");
    // A reason given where nothing differs changes nothing.
    let fourth =
        site.dr(&["backup", "--json", "--new-history", "x", "--output", "b/4.jsonl"]).succeed().json();
    assert_eq!((&fourth["new_history"], &fourth["after"]["extended"]), (&Value::Null, &json!(true)));
}

#[test]
fn backup_of_a_part_is_checked_as_a_part_and_does_not_lower_the_bar() {
    let mut site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/whole.jsonl"]).succeed();
    let part =
        site.dr(&["backup", "--json", "--through", "100", "--output", "b/part.jsonl"]).succeed().json();
    assert_eq!((&part["records"], &part["after"]["extended"]), (&json!(100), &json!(true)));
    site.dr(&["backup", "--force", "--through", "100", "--output", "b/whole.jsonl"]).fail(2, "usage");
    let next = site.dr(&["backup", "--json", "--output", "b/next.jsonl"]).succeed().json();
    assert_eq!(next["after"]["event_cut_sequence"], EVENTS);
    go_back_to(&mut site, "b/part.jsonl");
    site.dr(&["backup", "--output", "b/lost.jsonl"]).fail(7, "history_differs");
    site.dr(&["backup", "--after", "b/whole.jsonl", "--through", "50", "--output", "b/lost.jsonl"])
        .fail(7, "history_differs");
}

#[test]
fn head_that_cannot_be_believed_is_never_passed_over_in_silence() {
    let site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/1.jsonl"]).succeed();
    let whole = fs::read_to_string(site.path("b/1.jsonl.head")).unwrap();
    let write = |text: &str| fs::write(site.path("b/1.jsonl.head"), text).unwrap();
    let backup = ["backup", "--output", "b/2.jsonl"];

    flip_byte(&site.path("b/1.jsonl.head"), 200);
    let damaged = site.dr(&backup).fail(4, "damaged");
    assert!(damaged.stderr.contains("--new-history") && damaged.stderr.contains("1.jsonl.head"));
    write(&whole[..whole.len() - 1]);
    site.dr(&backup).fail(4, "truncated");
    write("something else\n");
    site.dr(&backup).fail(3, "not_a_backup");
    let mac = whole.rfind("\"hmac_sha256\":\"").unwrap() + 15;
    let other = if &whole[mac..=mac] == "0" { "1" } else { "0" };
    write(&format!("{}{other}{}", &whole[..mac], &whole[mac + 1..]));
    site.dr(&backup).fail(5, "tampered");
    let cut_off = whole.rfind(",\"key_id\"").unwrap();
    write(&format!("{}}}\n", &whole[..cut_off]));
    site.dr(&backup).fail(6, "unkeyed");
    let keyless =
        |arguments: &[&str]| Run::of(site.command(arguments).env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE"));
    keyless(&["backup", "--output", "keyless.jsonl", "--after", "b/1.jsonl.head"]).succeed();
    write(&whole);
    keyless(&backup).fail(6, "key_missing");
    assert!(!site.path("b/2.jsonl").exists());

    // Accepted, the damaged head stays where it is, named in the new one, and is passed over from then on.
    flip_byte(&site.path("b/1.jsonl.head"), 200);
    site.dr(&["backup", "--new-history", "the disk was bad", "--output", "b/2.jsonl"]).succeed();
    let third = site.dr(&["backup", "--json", "--output", "b/3.jsonl"]).succeed().json();
    assert_eq!(third["after"]["path"], "b/2.jsonl.head");
    flip_byte(&site.path("b/1.jsonl.head"), 201);
    site.dr(&["backup", "--output", "b/4.jsonl"]).fail(4, "damaged");
}

#[test]
fn key_rotation_needs_the_older_key_once() {
    let site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/1.jsonl"]).succeed();
    fs::rename(site.path("audit.key"), site.path("old.key")).unwrap();
    fs::copy(site.path("old.key"), site.path("audit.key")).unwrap();
    fs::write(site.path("audit.key"), "a new key\n").unwrap();
    site.dr(&["backup", "--output", "b/2.jsonl"]).fail(6, "wrong_key");
    site.dr(&["backup", "--key-file", "old.key", "--output", "b/2.jsonl"]).succeed();
    let third = site.dr(&["backup", "--json", "--output", "b/3.jsonl"]).succeed().json();
    assert_eq!(third["after"]["path"], "b/2.jsonl.head");
}

#[test]
fn encrypted_backup_is_extended_by_a_host_that_cannot_read_it() {
    let site = site();
    folder(&site, "b");
    let recipient = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    let backup =
        |name: &str| site.dr(&["backup", "--json", "--compress", "--recipient", recipient, "--output", name]);
    backup("b/1.jsonl.zst.age").succeed();
    append(&site, &["a"]);
    assert_eq!(backup("b/2.jsonl.zst.age").succeed().json()["after"]["path"], "b/1.jsonl.zst.age.head");
    delete(&site, 5);
    assert_eq!(backup("b/3.jsonl.zst.age").json()["error"]["class"], "history_differs");
}

#[test]
fn backup_whose_head_is_missing_is_whole_and_the_next_one_goes_after_the_head_before() {
    let site = site();
    folder(&site, "b");
    site.dr(&["backup", "--output", "b/1.jsonl"]).succeed();
    append(&site, &["a"]);
    site.dr(&["backup", "--output", "b/2.jsonl"]).succeed();
    // As a kill leaves it between the two names.
    fs::remove_file(site.path("b/2.jsonl.head")).unwrap();
    site.dr(&["verify", "b/2.jsonl"]).succeed();
    let third = site.dr(&["backup", "--json", "--output", "b/3.jsonl"]).succeed().json();
    assert_eq!(third["after"]["path"], "b/1.jsonl.head");
    // What cannot become the head's name is found out before the backup has its own.
    fs::create_dir(site.path("b/4.jsonl.head")).unwrap();
    site.dr(&["backup", "--output", "b/4.jsonl"]).fail(2, "usage");
    assert!(!site.path("b/4.jsonl").exists());
}

#[test]
fn heads_of_another_deployment_are_of_no_concern() {
    let site = site();
    folder(&site, "b");
    let of = |deployment: &str, arguments: &[&str]| {
        Run::of(site.command(arguments).env("TRSTCTL_DEPLOYMENT_ID", deployment))
    };
    of("one", &["backup", "--output", "b/1.jsonl"]).succeed();
    delete(&site, 5);
    let other = of("two", &["backup", "--json", "--output", "b/2.jsonl"]).succeed().json();
    assert_eq!(other["after"], Value::Null);
    of("one", &["backup", "--output", "b/3.jsonl"]).fail(7, "history_differs");
    of("one", &["backup", "--after", "b/2.jsonl", "--output", "b/3.jsonl"]).fail(2, "usage");
    assert_eq!(records(&site.path("b/2.jsonl")).len() as u64, EVENTS - 1);
}
