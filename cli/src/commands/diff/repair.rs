//! What `trstctl-dr diff --repair` answers: every row that was mended, then what still needs a person.

use serde_json::json;
use trstctl_formats::{Class, Failure};
use trstctl_ledger::read_model::{DriftKind, RepairReport};
use trstctl_recovery::rebuild::Repaired;

use super::{counts_json, counts_words, row_json, row_words};
use crate::commands::rebuild;
use crate::outcome::Outcome;
use crate::text;

pub fn outcome(repaired: &Repaired) -> Outcome {
    let Repaired { repair, digests } = repaired;
    let after = &repair.after;
    let result = json!({
        "checkpoint": after.checkpoint,
        "last_sequence": after.last_sequence,
        "events": after.events,
        "mended": repair.total(),
        "counts": counts_json(&repair.mended, "done", |kind| done(kind).to_owned()),
        "rows": repair.rows.iter().map(|row| row_json(row, "done", done(row.kind))).collect::<Vec<_>>(),
        "complete": !repair.is_cut(),
        "settled": repair.settled,
        "differences": after.total(),
        "dangling": rebuild::dangling_json(&after.dangling),
        "digests": rebuild::digests(digests),
    });
    Outcome::new(words(repair), result).with_error(failure(repair))
}

/// What was done to a row.
fn done(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::Missing => "inserted",
        DriftKind::Changed => "changed",
        DriftKind::Extra => "deleted",
    }
}

fn words(repair: &RepairReport) -> String {
    let mut words = counts_words(&repair.mended, |kind| done(kind).to_owned());
    for row in &repair.rows {
        words.push_str(&text::wrap("  ", &row_words(done(row.kind), row)));
    }
    if repair.is_cut() {
        words.push_str("  … more: raise --limit\n");
    }
    let after = &repair.after;
    words.push_str(&rebuild::dangling_words(&after.dangling));
    if repair.settled > 0 {
        let what = text::plural(repair.settled, "more row");
        words.push_str(&text::wrap(
            "  note: ",
            &format!("{what} had been written anew by the projection itself"),
        ));
    }
    let mended = match repair.total() {
        0 => "nothing to mend".to_owned(),
        rows => format!("mended {}", text::plural(rows, "row")),
    };
    let verdict = match after.total() {
        0 => "the read model is the fold of the log",
        _ => "the read model STILL differs from the log",
    };
    words.push_str(&format!("{mended}; {verdict}, at sequence {}\n", text::count(after.checkpoint)));
    words
}

/// Rows that were mended need nobody any more; what is left does.
fn failure(repair: &RepairReport) -> Option<Failure> {
    let after = &repair.after;
    let dangling = after.dangling.iter().map(|dangling| dangling.rows).sum();
    let (message, hint) = match (after.total(), dangling) {
        (0, 0) => return None,
        (0, _) => (
            format!(
                "{} to rows that are not there, which no repair can mend",
                text::plural(dangling, "reference")
            ),
            "The events themselves refer to nothing: look for an earlier event that was quarantined (read_model.projection_faults).",
        ),
        (differences, _) => (
            format!("{} have come up while the rows were mended", text::plural(differences, "difference")),
            "Somebody writes to read_model besides the projection: stop that first, then run the same command again.",
        ),
    };
    Some(Failure::new(Class::Findings, message, hint))
}
