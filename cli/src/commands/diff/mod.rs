//! `trstctl-dr diff`: what differs between read model and log, and with `--repair` its mending.

mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::{JetStreamLog, STREAM};
use trstctl_ledger::projection::{Table, Value};
use trstctl_ledger::read_model::{DriftKind, DriftReport, DriftedRow};
use trstctl_recovery::progress::Phases;
use trstctl_recovery::rebuild::{Difference, diff};
use uuid::Uuid;

use super::{Context, rebuild};
use crate::args::Diff;
use crate::connections::{Engines, Needs};
use crate::outcome::Outcome;
use crate::text;

const WRITTEN_BY_OTHERS: &str = "Find out who wrote to read_model besides the projection; trstctl-dr diff --repair makes these rows right.";

pub fn run(context: &Context, args: &Diff) -> Result<Outcome, Failure> {
    let engines = Engines::open(&context.settings, Needs::LogAndReadModel)?;
    let database = rebuild::database(context, &engines, &args.memory)?;
    let max_listed = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut phases = Phases::new(Arc::clone(&context.progress));
    context.run(async {
        let log = JetStreamLog::open(engines.connect().await?, STREAM).await?;
        log.refuse_unverified().await?;
        if args.repair {
            let repaired =
                trstctl_recovery::rebuild::repair(&log, &database, max_listed, &mut phases).await?;
            return Ok(repair::outcome(&repaired));
        }
        Ok(outcome(&diff(&log, &database, max_listed, &mut phases).await?))
    })
}

fn outcome(difference: &Difference) -> Outcome {
    let drift = &difference.drift;
    let result = json!({
        "checkpoint": drift.checkpoint,
        "last_sequence": drift.last_sequence,
        "events": drift.events,
        "differences": drift.total(),
        "counts": counts_json(&drift.counts, "kind", |kind| kind.to_string()),
        "rows": drift.rows.iter().map(|row| row_json(row, "kind", &row.kind.to_string())).collect::<Vec<_>>(),
        "complete": !drift.is_cut(),
        "dangling": rebuild::dangling_json(&drift.dangling),
        "digests": rebuild::digests(&difference.digests),
    });
    Outcome::new(words(drift), result).with_error(failure(drift))
}

fn failure(drift: &DriftReport) -> Option<Failure> {
    let (total, dangling) = (drift.total(), drift.dangling.iter().map(|dangling| dangling.rows).sum());
    let (differences, references) = (text::plural(total, "difference"), text::plural(dangling, "reference"));
    let (message, hint) = match (total, dangling) {
        (0, 0) => return None,
        (0, _) => (
            format!("{references} to rows that are not there; the read model is the fold of the log"),
            "The events themselves refer to nothing: look for an earlier event that was quarantined (read_model.projection_faults).",
        ),
        (_, 0) => (format!("{differences} between read model and log"), WRITTEN_BY_OTHERS),
        _ => (
            format!("{differences} between read model and log, and {references} to rows that are not there"),
            WRITTEN_BY_OTHERS,
        ),
    };
    Some(Failure::new(Class::Findings, message, hint))
}

fn words(drift: &DriftReport) -> String {
    let mut words = String::new();
    words.push_str(&counts_words(&drift.counts, |kind| kind.to_string()));
    for row in &drift.rows {
        words.push_str(&text::wrap("  ", &row_words(&row.kind.to_string(), row)));
    }
    if drift.is_cut() {
        words.push_str("  … more: raise --limit\n");
    }
    words.push_str(&rebuild::dangling_words(&drift.dangling));
    let lag = drift.last_sequence.saturating_sub(drift.checkpoint);
    let verdict = if drift.total() == 0 {
        "the read model is the fold of the log"
    } else {
        "the read model differs from the log"
    };
    words.push_str(&format!("{verdict}, at sequence {}\n", text::count(drift.checkpoint)));
    if lag > 0 {
        words.push_str(&text::wrap(
            "  note: ",
            &format!("{} not projected yet", text::plural(lag, "newer sequence")),
        ));
    }
    words
}

/// Rows by table, tenant and kind.
type DriftCounts = BTreeMap<(Table, Option<Uuid>, DriftKind), u64>;

/// A line a table, tenant and kind.
fn counts_words(counts: &DriftCounts, word: impl Fn(DriftKind) -> String) -> String {
    let line = |((table, tenant, kind), rows): (&(Table, Option<Uuid>, DriftKind), &u64)| {
        let tenant = tenant.map_or_else(|| "no tenant".to_owned(), |tenant| tenant.to_string());
        format!("{:<22}{tenant:<36}{:>12} {}\n", table.name(), text::count(*rows), word(*kind))
    };
    counts.iter().map(line).collect()
}

fn counts_json(counts: &DriftCounts, verb: &str, word: impl Fn(DriftKind) -> String) -> serde_json::Value {
    let entry = |((table, tenant, kind), rows): (&(Table, Option<Uuid>, DriftKind), &u64)| json!({"table": table.name(), "tenant_id": tenant.map(|tenant| tenant.to_string()), verb: word(*kind), "rows": rows});
    counts.iter().map(entry).collect::<Vec<_>>().into()
}

/// A row: what is or was done, its table, its key, its columns.
fn row_words(what: &str, row: &DriftedRow) -> String {
    let key: Vec<String> = row.key.iter().map(value_words).collect();
    let columns =
        if row.columns.is_empty() { String::new() } else { format!(" in {}", row.columns.join(", ")) };
    format!("{what} {} {}{columns}", row.table.name(), key.join(" "))
}

fn row_json(row: &DriftedRow, verb: &str, what: &str) -> serde_json::Value {
    json!({
        "table": row.table.name(),
        "tenant_id": row.tenant.map(|tenant| tenant.to_string()),
        verb: what,
        "key": row.key.iter().map(value_words).collect::<Vec<_>>(),
        "columns": row.columns,
    })
}

/// A value of a key; keys are uuids, texts and numbers.
fn value_words(value: &Value) -> String {
    match value {
        Value::Uuid(id) => id.to_string(),
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
