//! An earlier backup is the beginning of a later one's history: shown, or the place named where they part.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use trstctl_formats::Digest;
use trstctl_formats::merkle::{TreeHead, verify_consistency};
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Site, records};

const DEADLINE: Duration = Duration::from_secs(10);
const EVENTS: u64 = 300;

/// A site with backups of its first 200 events and of all 300: `old.jsonl` and `new.jsonl`, also as `old1` and `new1`.
fn site() -> Site {
    let site = Site::start();
    let options = HistoryOptions { gaps: Gaps::None, odd: Odd::None, ..HistoryOptions::default() };
    site.seed(History::with_options(73, EVENTS, options));
    for (name, version) in [("old", "2"), ("old1", "1")] {
        site.dr(&backup(&format!("{name}.jsonl"), version, &["--through", "200"])).succeed();
    }
    for (name, version) in [("new", "2"), ("new1", "1")] {
        site.dr(&backup(&format!("{name}.jsonl"), version, &[])).succeed();
    }
    site
}

fn backup<'a>(output: &'a str, version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["backup", "--format-version", version, "--output", output], more].concat()
}

fn delete(site: &Site, sequence: u64) {
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap();
        let body = json!({"seq": sequence, "no_erase": true});
        let _: Value = connection.api("STREAM.MSG.DELETE.TRSTCTL_EVENTS", &body, DEADLINE).await.unwrap();
    });
}

fn digest(value: &Value) -> Digest {
    let text = value.as_str().unwrap();
    let byte = |index: usize| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap();
    Digest(std::array::from_fn(byte))
}

fn head(side: &Value) -> TreeHead {
    TreeHead { len: side["records"].as_u64().unwrap(), root: digest(&side["merkle_root"]) }
}

#[test]
fn prefix_is_proven_by_hashes_that_anybody_can_check() {
    let site = site();
    for (old, new, kind) in [
        ("old.jsonl", "new.jsonl", "backup"),
        ("old.jsonl.head", "new.jsonl", "head"),
        ("new.jsonl", "new.jsonl", "backup"),
        ("old1.jsonl", "new1.jsonl", "backup"),
    ] {
        let report = site.dr(&["prove", "--json", old, new]).succeed().json();
        assert_eq!((&report["proven"], &report["old"]["kind"]), (&json!(true), &json!(kind)));
        let proof: Vec<Digest> = report["proof"].as_array().unwrap().iter().map(digest).collect();
        verify_consistency(&head(&report["old"]), &head(&report["new"]), &proof).unwrap();
    }
    let text = site.dr(&["prove", "old1.jsonl", "new1.jsonl"]).succeed().stdout;
    assert!(
        text.starts_with("PROVEN") && text.contains("version 1 keeps neither sequences nor roots"),
        "{text}"
    );
}

#[test]
fn deleted_message_is_named_in_both_versions() {
    let site = site();
    delete(&site, 17);
    site.dr(&backup("later.jsonl", "2", &["--new-history", "a test"])).succeed();
    site.dr(&backup("later1.jsonl", "1", &[])).succeed();
    for (old, new) in [("old.jsonl", "later.jsonl"), ("old1.jsonl", "later1.jsonl")] {
        let run = site.dr(&["prove", old, new]).fail(7, "history_differs");
        let named = "a message of the old backup is missing in the new one: sequence 17; up to sequence 16 both are the same; \
                     a change of history that somebody must explain";
        assert!(run.stderr.contains(named), "{}", run.stderr);
        assert!(run.stdout.starts_with("NOT PROVEN"), "{}", run.stdout);
    }
    let by_head = site.dr(&["prove", "--json", "old.jsonl.head", "later.jsonl"]);
    let by_head = by_head.json();
    assert_eq!(by_head["difference"]["kind"], "missing");
    assert!(
        by_head["difference"]["from"].as_u64() <= Some(17)
            && by_head["difference"]["to"].as_u64() >= Some(17)
    );
}

#[test]
fn the_older_one_is_told_and_so_is_a_later_one_that_holds_less() {
    let site = site();
    // new.jsonl was made after old.jsonl, and part.jsonl after both.
    let swapped = site.dr(&["prove", "new.jsonl", "old.jsonl"]).fail(2, "usage");
    assert!(swapped.stderr.contains("old.jsonl is the older one"), "{}", swapped.stderr);
    site.dr(&backup("part.jsonl", "2", &["--through", "100"])).succeed();
    let less = site.dr(&["prove", "--json", "new.jsonl", "part.jsonl"]);
    assert_eq!(less.code, Some(7));
    assert_eq!(
        less.json()["difference"],
        json!({"kind": "lost", "from": 101, "to": 300, "common_through": 100})
    );
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let site = site();
    site.dr(&["prove", "old1.jsonl", "new.jsonl"]).fail(2, "usage");
    site.dr(&["prove", "old.jsonl", "new.jsonl.head"]).fail(2, "usage");
    site.dr(&["prove", "absent", "new.jsonl"]).fail(2, "usage");
    let mut damaged = fs::read(site.path("old.jsonl.head")).unwrap();
    damaged[150] ^= 1;
    fs::write(site.path("damaged.head"), damaged).unwrap();
    site.dr(&["prove", "damaged.head", "new.jsonl"]).fail(4, "damaged");
    assert_eq!(records(&site.path("old.jsonl")).len(), 200);
}
