//! How fast one core folds, in its own time whatever else the machine does:
//! `cargo test --release -p trstctl-ledger --test projection -- --ignored --nocapture rate`.

use trstctl_ledger::history::History;
use trstctl_ledger::projection::{Fold, Step, Table};

use crate::support::*;

const EVENTS: u64 = 300_000;

#[test]
#[ignore = "a measurement"]
fn rate_of_reading_folding_and_digesting() {
    let messages: Vec<_> = History::new(1, EVENTS).stored().collect();
    let rate = |what: &str, count: usize, begin_ns: u64| {
        println!("{what}: {:.0} a second", count as f64 * 1e9 / (busy_ns() - begin_ns) as f64);
    };
    let begin = busy_ns();
    let steps: Vec<Step> = messages.iter().map(Step::read).collect();
    rate("events read", messages.len(), begin);

    let mut fold = Fold::of_empty_model();
    let begin = busy_ns();
    steps.into_iter().for_each(|step| fold.apply(step));
    rate("events folded", messages.len(), begin);
    println!("estimated bytes: {}", fold.len_bytes());

    let begin = busy_ns();
    let changes = fold.into_changes();
    let rows: usize = changes.tables.values().map(|table| table.upserts.len()).sum();
    rate("rows made", rows, begin);

    let begin = busy_ns();
    let mut digest = trstctl_ledger::projection::ModelDigest::default();
    for (table, changes) in &changes.tables {
        changes.upserts.iter().for_each(|row| digest.add(*table, row));
    }
    rate("rows digested", rows, begin);

    let begin = busy_ns();
    let mut fold = Fold::of_empty_model();
    messages.iter().for_each(|message| fold.apply(Step::read(message)));
    assert!(fold.into_changes().tables[&Table::Certificates].upserts.len() > 1_000);
    rate("events read, folded and made rows", messages.len(), begin);
}

/// Each of them looks at the earliest revocation of its fingerprint, and walks none of the others.
#[test]
fn any_number_of_certificates_of_one_fingerprint_is_folded_in_linear_time() {
    const CERTIFICATES: u128 = 40_000;
    const REVOKE: &str =
        r#"{"fingerprint":"f","serial":"05","reason":"r","revoked_at":"2026-02-01T00:00:00Z"}"#;
    let recorded = |number| certificate(&format!(r#","id":"{}""#, id(number)));
    let mut events = vec![recorded(1), event("certificate.revoked", REVOKE)];
    events.extend((2..=CERTIFICATES).map(recorded));
    let steps = steps(1, &events);
    let mut fold = Fold::of_empty_model();
    let begin = busy_ns();
    steps.into_iter().for_each(|step| fold.apply(step));
    let busy_ms = (busy_ns() - begin) / 1_000_000;
    // Some hundred milliseconds; a walk through all of them each time takes most of a minute.
    assert!(busy_ms < 5_000, "{busy_ms} ms");
    assert_eq!(fold.into_changes().tables[&Table::Certificates].upserts.len() as u128, CERTIFICATES);
}

/// Time that this thread has run on a core, in nanoseconds.
fn busy_ns() -> u64 {
    let times =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    times.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number first")
}
