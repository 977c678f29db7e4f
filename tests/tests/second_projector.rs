//! A second projector, written in Python from the specification alone, makes the same rows of a backup as a rebuild.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use trstctl_engines::NatsOptions;
use trstctl_ledger::history::{History, HistoryOptions};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Chance, Run, Site, cases, is_whole, small_world};

const DEADLINE: Duration = Duration::from_secs(10);

/// Appends a small world to the site's log.
fn seed_small_world(site: &Site, chance: &mut Chance, messages: u64) {
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap();
        for (subject, message) in small_world(chance, messages) {
            let answer = connection.request(&subject, message.as_bytes(), DEADLINE).await.unwrap();
            assert!(String::from_utf8_lossy(&answer.payload_bytes()).contains("\"seq\":"));
        }
    });
}

/// Every row of the read model as PostgreSQL prints it, into a file of the site.
fn dump(site: &Site) {
    let tables =
        site.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'read_model'");
    let rows = tables.lines().map(|table| {
        site.sql(&format!(
            "SET timezone = 'UTC';
             SELECT jsonb_build_object('table', '{table}', 'row', to_jsonb(t)) FROM read_model.{table} t"
        )) + "\n"
    });
    fs::write(site.path("rows.jsonl"), rows.collect::<String>()).unwrap();
}

/// What the second projector says of these rows and the backup.
fn compared(site: &Site) -> Run {
    dump(site);
    let projector = Path::new(env!("CARGO_MANIFEST_DIR")).join("second_projector/project.py");
    let arguments = ["--compare", "rows.jsonl", "a.jsonl"];
    Run::of(Command::new("python3").arg(projector).args(arguments).current_dir(site.path("")))
}

#[test]
fn every_row_that_a_restore_rebuilds_is_the_one_that_a_second_projector_makes_of_the_backup() {
    let mut site = Site::start();
    let options = HistoryOptions { poison_events: 60, ..HistoryOptions::default() };
    site.seed(History::with_options(101, cases(4_000, 20_000), options));
    // With this seed each of some fifty rules that were broken on purpose, in either projector, showed.
    let mut chance = if is_whole() { Chance::for_test("small world") } else { Chance::of(105) };
    seed_small_world(&site, &mut chance, cases(8_000, 60_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let report = site.dr(&["restore", "--rebuild", "--json", "a.jsonl"]).json();

    let run = compared(&site);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let (ours, theirs) = (&report["rebuild"], run.json());
    assert_eq!(theirs["differences"], 0);
    assert_eq!(ours["not_projected"], theirs["not_projected"]);
    for (table, rows) in theirs["rows"].as_object().unwrap() {
        assert!(rows.as_u64() > Some(20), "{table} has little to compare: {theirs}");
    }
}

#[test]
fn row_that_differs_or_is_missing_or_invented_is_named() {
    let site = Site::start();
    site.seed(History::new(103, 400));
    site.dr(&["rebuild"]);
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.sql(
        "UPDATE read_model.identity_transitions SET occurred_at = occurred_at + interval '1 microsecond'
             WHERE sequence = (SELECT min(sequence) FROM read_model.identity_transitions);
         DELETE FROM read_model.owners WHERE ctid = (SELECT min(ctid) FROM read_model.owners);
         INSERT INTO read_model.tenants VALUES ('99999999-0000-4000-8000-000000000000', 'nobody', '2026-01-01')",
    );
    let run = compared(&site);
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    let found = run.json();
    let named = |number: usize| {
        let difference = &found["first_differences"][number];
        (difference["table"].as_str().unwrap(), difference["column"].as_str())
    };
    assert_eq!(found["differences"], 3);
    assert_eq!(
        [named(0), named(1), named(2)],
        [("identity_transitions", Some("occurred_at")), ("owners", None), ("tenants", None)]
    );
    let times = &found["first_differences"][0];
    assert_eq!(times["database"].as_i64(), times["projector"].as_i64().map(|time| time + 1));
}
