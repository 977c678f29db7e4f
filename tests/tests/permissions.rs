//! The permissions that the operations guide lists are enough.

use std::path::Path;

use trstctl_engines::{NatsAuth, NatsOptions};
use trstctl_ledger::history::History;
use trstctl_ledger::log::{STREAM, StreamConfig, seed};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Run, Site};

/// The subjects in one row of the guide's table.
fn subjects(row: &str) -> Vec<String> {
    let guide =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md")).unwrap();
    let section = guide.split("### Permissions in NATS").nth(1).unwrap();
    let line = section.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no row {row}"));
    let cell = line.split('|').nth(2).unwrap();
    let subjects: Vec<_> = cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    assert!(!subjects.is_empty(), "{row} lists no subject");
    subjects
}

fn server() -> NatsOptions {
    let reading = subjects("| `backup`");
    let restoring: Vec<_> = reading.iter().cloned().chain(subjects("| `restore`, also")).collect();
    let quoted = |subjects: &[String]| {
        subjects.iter().map(|subject| format!("{subject:?}")).collect::<Vec<_>>().join(", ")
    };
    let user = |name: &str, subjects: &[String]| {
        let subjects = quoted(subjects);
        format!(
            "{{user: {name}, password: pw, permissions: {{publish: [{subjects}], subscribe: [\"_INBOX.>\"]}}}}"
        )
    };
    let (reader, restorer) = (user("reader", &reading), user("restorer", &restoring));
    let text = format!("authorization {{ users: [{{user: admin, password: pw}}, {reader}, {restorer}] }}");
    NatsOptions { auth: NatsAuth::Config(text), ..NatsOptions::default() }
}

#[test]
fn documented_permissions_are_enough_to_back_up_and_to_restore() {
    let mut site = Site::with(server());
    let url = |site: &Site, user: &str| format!("nats://{user}:pw@127.0.0.1:{}", site.nats.port());
    let run = |site: &Site, user: &str, arguments: &[&str]| {
        Run::of(site.command(arguments).env("TRSTCTL_NATS_URL", url(site, user)))
    };
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(url(&site, "admin"))).await.unwrap();
        seed(&connection, &StreamConfig::new(STREAM, "events.>", 1), History::new(1, 300), |_| {})
            .await
            .unwrap();
    });
    run(&site, "reader", &["backup", "--output", "a.jsonl"]).succeed();
    run(&site, "reader", &["rebuild"]);
    run(&site, "reader", &["diff"]).succeed();
    site.lose_log(server());
    run(&site, "reader", &["restore", "a.jsonl"]).fail(8, "refused");
    run(&site, "restorer", &["restore", "a.jsonl"]).succeed();
}
