//! The permissions that the operations guide lists are enough.

use std::path::Path;

use trstctl_engines::{NatsAuth, NatsOptions};
use trstctl_ledger::history::{Gaps, History, HistoryOptions};
use trstctl_ledger::log::{STREAM, StreamConfig, seed};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{Run, Site, cases, records_without_times};

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

/// What the row's `STREAM.*` stands for.
const OF_STREAM: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "RESTORE"];

/// Every subject that a restore publishes to, one by one.
fn each_subject() -> Vec<String> {
    let all =
        [subjects("| `backup`"), subjects("| `restore`, also"), subjects("| `restore --method publish`")];
    let expand = |subject: String| match subject.contains(".STREAM.*.") {
        true => OF_STREAM.map(|what| subject.replace('*', what)).to_vec(),
        false => vec![subject],
    };
    all.concat().into_iter().flat_map(expand).collect()
}

fn user(name: &str, subjects: &[String]) -> String {
    let quoted: Vec<_> = subjects.iter().map(|subject| format!("{subject:?}")).collect();
    let publish = quoted.join(", ");
    format!(
        "{{user: {name:?}, password: pw, permissions: {{publish: [{publish}], subscribe: [\"_INBOX.>\"]}}}}"
    )
}

/// A server with these users besides an administrator.
fn server(users: &[String]) -> NatsOptions {
    let users = users.join(", ");
    let text = format!("authorization {{ users: [{{user: admin, password: pw}}, {users}] }}");
    NatsOptions { auth: NatsAuth::Config(text), ..NatsOptions::default() }
}

fn url(site: &Site, user: &str) -> String {
    format!("nats://{user}:pw@127.0.0.1:{}", site.nats.port())
}

fn run(site: &Site, user: &str, arguments: &[&str]) -> Run {
    Run::of(site.command(arguments).env("TRSTCTL_NATS_URL", url(site, user)))
}

fn seed_as_admin(site: &Site, gaps: Gaps) {
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(url(site, "admin"))).await.unwrap();
        let history = HistoryOptions { gaps, ..HistoryOptions::default() };
        let history = History::with_options(1, 300, history);
        seed(&connection, &StreamConfig::new(STREAM, "events.>", 1), history, |_| {}).await.unwrap();
    });
}

#[test]
fn documented_permissions_are_enough_to_back_up_and_to_restore() {
    let reading = subjects("| `backup`");
    let restoring: Vec<_> = reading.iter().cloned().chain(subjects("| `restore`, also")).collect();
    let users = [user("reader", &reading), user("restorer", &restoring)];
    let mut site = Site::with(server(&users));
    seed_as_admin(&site, Gaps::default());
    run(&site, "reader", &["backup", "--output", "a.jsonl"]).succeed();
    run(&site, "reader", &["rebuild"]);
    run(&site, "reader", &["diff"]).succeed();
    site.lose_log(server(&users));
    run(&site, "reader", &["restore", "a.jsonl"]).fail(8, "refused");
    run(&site, "restorer", &["restore", "a.jsonl"]).succeed();
}

/// Each command is run once without each subject: it does without, or is refused and names it, nothing half-done.
#[test]
fn a_permission_that_is_missing_is_named_and_the_same_command_goes_on_with_it() {
    let all = each_subject();
    let without = |left_out: usize| {
        let others: Vec<_> = all.iter().filter(|subject| **subject != all[left_out]).cloned().collect();
        user(&format!("without_{left_out}"), &others)
    };
    let users: Vec<_> = (0..all.len()).map(without).chain([user("full", &all)]).collect();
    let mut site = Site::with(server(&users));
    // Published, a log keeps no gaps.
    seed_as_admin(&site, Gaps::None);
    run(&site, "full", &["backup", "--output", "a.jsonl"]).succeed();
    run(&site, "full", &["rebuild"]);
    let reading: [&[&str]; 3] = [&["backup", "--output", "b.jsonl"], &["rebuild"], &["diff"]];
    let restoring: [&[&str]; 2] = [&["restore", "a.jsonl"], &["restore", "--method", "publish", "a.jsonl"]];
    let mut refused = 0;
    let for_reading = subjects("| `backup`");
    for (index, subject) in all.iter().enumerate() {
        // What only a restore publishes to is of no use to the others.
        let used_by_all = cases(for_reading.contains(subject), true);
        for arguments in reading.iter().filter(|_| used_by_all).chain(&restoring) {
            if arguments[0] == "restore" {
                site.lose_log(server(&users));
            }
            let ended = run(&site, &format!("without_{index}"), arguments);
            println!("{arguments:?} without {subject}: {:?} {}", ended.code, ended.stderr);
            if !matches!(ended.code, Some(0 | 1)) {
                refused += 1;
                let ended = ended.fail(8, "refused");
                let named = subject.trim_end_matches('>');
                assert!(ended.stderr.contains(named), "{subject} is not named: {}", ended.stderr);
                assert!(!site.path("b.jsonl").exists());
                let again = run(&site, "full", arguments);
                assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
            }
            run(&site, "full", &["backup", "--force", "--new-history", "a test", "--output", "seen.jsonl"])
                .succeed();
            assert_eq!(
                records_without_times(&site.path("seen.jsonl")),
                records_without_times(&site.path("a.jsonl"))
            );
            let _ = std::fs::remove_file(site.path("b.jsonl"));
            let _ = std::fs::remove_file(site.path("b.jsonl.head"));
        }
    }
    assert!(refused > 20, "{refused}");
}
