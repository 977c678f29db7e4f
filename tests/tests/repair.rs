//! `diff --repair` of the whole program: lists what it did, undoes nothing of what is appended meanwhile, survives kill -9.

use serde_json::Value;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Running, Site, cases, instants};

/// A site whose read model was damaged by hand.
fn damaged(events: u64) -> Site {
    let site = Site::start();
    site.seed(History::new(91, events));
    site.dr(&["rebuild"]);
    site.sql(
        "UPDATE read_model.owners SET email = 'x' || email;
         DELETE FROM read_model.identities WHERE right(id::text, 1) < '8';
         UPDATE read_model.certificates SET subject = subject || '!' WHERE right(id::text, 1) < '8';
         INSERT INTO read_model.tenants VALUES ('99999999-0000-4000-8000-000000000000', 'nobody', '2026-01-01')",
    );
    site
}

fn rows(run: &Run, done: &str) -> usize {
    let object = run.json();
    object["rows"].as_array().unwrap().iter().filter(|row| row["done"] == done).count()
}

/// The digests, if no difference is left.
fn digests_without_difference(site: &Site) -> Value {
    let object = site.dr(&["diff", "--json"]).json();
    assert_eq!(object["differences"], 0, "{object}");
    object["digests"].clone()
}

#[test]
fn repair_lists_what_it_did_and_a_diff_afterwards_finds_nothing() {
    let site = damaged(1_000);
    let found = site.dr(&["diff", "--json", "--limit", "10000"]).fail(1, "findings").json();
    let repaired = site.dr(&["diff", "--repair", "--json", "--limit", "10000"]);
    let object = repaired.json();
    assert_eq!(object["mended"], found["differences"]);
    assert_eq!(object["rows"].as_array().unwrap().len() as u64, found["differences"].as_u64().unwrap());
    assert!(rows(&repaired, "inserted") > 0 && rows(&repaired, "changed") > 0);
    assert_eq!(rows(&repaired, "deleted"), 1, "the row that the log does not explain is listed");
    assert_eq!((&object["complete"], &object["differences"]), (&true.into(), &0.into()));
    // Only what the events themselves refer to in vain can be left.
    let left = if object["dangling"].as_array().unwrap().is_empty() { 0 } else { 1 };
    assert_eq!(repaired.code, Some(left), "{}", repaired.stderr);
    let digests = digests_without_difference(&site);
    assert_eq!(digests, object["digests"]);
    site.sql("UPDATE read_model.owners SET email = 'x' || email");
    let words = site.dr(&["diff", "--repair"]).stdout;
    assert!(
        words.contains("changed owners") && words.contains("the read model is the fold of the log"),
        "{words}"
    );
    assert!(words.lines().all(|line| line.chars().count() <= 80), "{words}");
    assert!(site.dr(&["diff", "--repair"]).stdout.contains("nothing to mend"));
    assert_eq!(digests_without_difference(&site), digests);
}

#[test]
fn repair_killed_at_any_moment_is_ended_by_the_same_command() {
    let site = damaged(8_000);
    let whole = {
        let begun = std::time::Instant::now();
        site.dr(&["diff"]).fail(1, "findings");
        begun.elapsed() * 2
    };
    for instant in instants("repair", whole, cases(4, 50)) {
        let mut running = Running::start(&mut site.command(&["diff", "--repair"]));
        running.run_for(instant);
        if !running.kill_9() {
            break;
        }
    }
    site.dr(&["diff", "--repair"]);
    let digests = digests_without_difference(&site);
    site.dr(&["rebuild"]);
    assert_eq!(digests, digests_without_difference(&site), "what a rebuild makes");
}
