//! The main job, whole: back up, lose everything, restore, rebuild, and be the same; on every nats-server installed.

use std::fs;

use serde_json::Value;
use trstctl_engines::{NatsOptions, installed_nats_servers};
use trstctl_ledger::history::History;
use trstctl_tests::{Site, header, records, trailer};

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

#[test]
fn everything_comes_back_bit_for_bit_on_every_server() {
    for server in installed_nats_servers() {
        let mut site = Site::on(&server);
        site.seed(History::new(7, 3_000));
        site.dr(&["rebuild"]);
        let before = site.dr(&["diff", "--json"]).json();
        site.dr(&["backup", "--output", "a.jsonl"]).succeed();
        site.dr(&["verify", "a.jsonl"]).succeed();

        site.lose_log(NatsOptions { binary: Some(server.path.clone()), ..NatsOptions::default() });
        site.lose_database();
        let report = site.dr(&["restore", "--rebuild", "--json", "a.jsonl"]).json();
        assert_eq!(report["exact"], true, "{report}");

        // A wrong checksum of the stream's configuration shows only after a restart (trap 34).
        site.nats.kill_9();
        site.nats.restart().unwrap();
        site.dr(&["backup", "--output", "b.jsonl"]).succeed();
        assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")), "{}", server.version);
        assert_eq!(header(&site.path("a.jsonl")), header(&site.path("b.jsonl")));
        assert_eq!(trailer(&site.path("a.jsonl")), trailer(&site.path("b.jsonl")));
        assert_eq!(site.dr(&["diff", "--json"]).json()["digests"], before["digests"]);
    }
}

#[test]
fn version_1_comes_back_with_the_same_events() {
    let mut site = Site::start();
    let options = trstctl_ledger::history::HistoryOptions {
        odd: trstctl_ledger::history::Odd::None,
        ..Default::default()
    };
    site.seed(History::with_options(3, 500, options));
    site.dr(&["backup", "--format-version", "1", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let report = site.dr(&["restore", "--json", "a.jsonl"]).succeed().json();
    assert_eq!(report["sequences_are_new"], true);
    site.dr(&["backup", "--format-version", "1", "--output", "b.jsonl"]).succeed();
    assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
}

#[test]
fn restore_of_a_log_that_is_there_already_recognises_it() {
    let site = Site::start();
    site.seed(History::new(5, 400));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let report = site.dr(&["restore", "--json", "a.jsonl"]).succeed().json();
    assert_eq!(report["log"], "recognised");
}

#[test]
fn plan_says_everything_and_writes_nothing() {
    let mut site = Site::start();
    site.seed(History::new(5, 400));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let plan = site.dr(&["restore", "--rebuild", "--plan", "a.jsonl"]).succeed();
    assert!(
        plan.stdout.contains("as one archive") && plan.stdout.contains("nothing was written"),
        "{}",
        plan.stdout
    );
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
}

#[test]
fn compressed_and_encrypted_backup_restores_with_its_identity() {
    let mut site = Site::start();
    site.seed(History::new(9, 400));
    site.dr(&["backup", "--output", "plain.jsonl"]).succeed();
    site.dr(&["backup", "--compress", "--recipient", RECIPIENT, "--output", "a.jsonl.zst.age"]).succeed();
    site.dr(&["verify", "a.jsonl.zst.age"]).fail(6, "key_missing");
    assert!(
        !fs::read(site.path("a.jsonl.zst.age")).unwrap().windows(10).any(|bytes| bytes == b"tenant_id\"")
    );
    site.write_secret("identity.txt", IDENTITY);
    let report =
        site.dr(&["verify", "--identity", "identity.txt", "--json", "a.jsonl.zst.age"]).succeed().json();
    assert_eq!(report["files"][0]["merkle_root"], trailer(&site.path("plain.jsonl"))["merkle_root"]);

    site.lose_log(NatsOptions::default());
    site.dr(&["restore", "--identity", "identity.txt", "a.jsonl.zst.age"]).succeed();
    site.dr(&["backup", "--output", "again.jsonl"]).succeed();
    assert_eq!(records(&site.path("plain.jsonl")), records(&site.path("again.jsonl")));
}

#[test]
fn restore_until_an_instant_stops_before_the_first_event_after_it() {
    let mut site = Site::start();
    site.seed(History::new(5, 400));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let lines = records(&site.path("a.jsonl"));
    let middle: Value = serde_json::from_str(&lines[lines.len() / 2]).unwrap();
    site.lose_log(NatsOptions::default());
    let instant = middle["stored_at"].as_str().unwrap();
    let report = site.dr(&["restore", "--until", instant, "--json", "a.jsonl"]).succeed().json();
    site.dr(&["backup", "--output", "b.jsonl"]).fail(7, "history_differs");
    site.dr(&["backup", "--new-history", "back to before the mistake", "--output", "b.jsonl"]).succeed();
    let kept = records(&site.path("b.jsonl"));
    assert_eq!(kept, lines[..kept.len()]);
    // The cut is the sequence before the first event after the instant: a gap there is kept up to it.
    let next: Value = serde_json::from_str(&lines[kept.len()]).unwrap();
    assert_eq!(trailer(&site.path("b.jsonl"))["last_sequence"], next["seq"].as_u64().unwrap() - 1);
    assert!(next["stored_at"].as_str().unwrap() > instant, "{next} {report}");
}
