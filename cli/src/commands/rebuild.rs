//! `trstctl-dr rebuild`

use std::sync::Arc;

use serde_json::{Map, Value, json};
use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::{JetStreamLog, STREAM};
use trstctl_ledger::projection::ModelDigest;
use trstctl_ledger::read_model::{Additions, DanglingCount, KeptFor, Leftover};
use trstctl_migrations::connect::Target;
use trstctl_recovery::progress::Phases;
use trstctl_recovery::rebuild::{Database, Migrate, RebuildReport, migrate_and_rebuild};

use super::{Context, restore};
use crate::args::{Memory, Rebuild};
use crate::connections::{Engines, Needs};
use crate::outcome::Outcome;
use crate::text;

pub fn run(context: &Context, args: &Rebuild) -> Result<Outcome, Failure> {
    let engines = Engines::open(&context.settings, Needs::LogAndReadModel)?;
    let database =
        Database { additions: additions(args.drop_additions), ..database(context, &engines, &args.memory)? };
    let mut phases = Phases::new(Arc::clone(&context.progress));
    let report = context.run(async {
        let log = JetStreamLog::open(engines.connect().await?, STREAM).await?;
        log.refuse_unverified().await?;
        let checked = database.check().await?;
        if args.plan {
            return Ok(Err(checked.plan_of(&log).await?));
        }
        migrate_and_rebuild(&log, checked, &mut phases).await.map(Ok)
    })?;
    let report = match report {
        Ok(report) => report,
        Err(plan) => return Ok(restore::planned(&plan, &engines)),
    };
    let phases = phases.into_report();
    let mut result = json(&report);
    result["phases"] = json!(phases);
    Ok(Outcome::new(words(&report) + &restore::phase_table(&phases), result).with_error(failure(&report)))
}

/// What a user lets become of what others have hung on the read model.
pub fn additions(drop: bool) -> Additions {
    if drop { Additions::Drop } else { Additions::Keep }
}

/// The database of the settings.
pub fn database(context: &Context, engines: &Engines, memory: &Memory) -> Result<Database, Failure> {
    let migrate =
        if context.settings.flag("TRSTCTL_MIGRATE_AUTO")? { Migrate::Auto } else { Migrate::Refuse };
    Ok(Database {
        target: Target::from_dsn(engines.dsn()?)?,
        migrate,
        memory_bytes: memory.bytes(),
        additions: Additions::Keep,
    })
}

/// What needs a person, if anything does.
pub fn failure(report: &RebuildReport) -> Option<Failure> {
    let model = &report.model;
    let mut found = Vec::new();
    if model.faults > 0 {
        found.push(text::plural(model.faults, "quarantined event"));
    }
    if !model.dangling.is_empty() {
        let rows = model.dangling.iter().map(|dangling| dangling.rows).sum();
        found.push(format!("{} to rows that are not there", text::plural(rows, "reference")));
    }
    let needed = model.leftovers.iter().filter(|leftover| leftover.kept_for == KeptFor::Additions).count();
    if needed > 0 {
        found.push(format!("{} that others still use", text::plural(needed as u64, "old read model")));
    }
    (!found.is_empty()).then(|| {
        Failure::new(
            Class::Findings,
            format!("the read model is complete, with {}", found.join(" and ")),
            "Look at the table read_model.projection_faults and at what is listed above; the rest of the log is applied.",
        )
    })
}

/// The report in words.
pub fn words(report: &RebuildReport) -> String {
    let model = &report.model;
    let mut words = "rebuilt the read model from the log\n".to_owned();
    if !report.migrated.is_empty() {
        words.push_str(&text::field("migrations", format!("{} applied", report.migrated.len())));
    }
    words.push_str(&text::field("checkpoint", text::count(model.checkpoint)));
    let unknown: u64 = model.not_projected.values().sum();
    let events = format!(
        "{} applied, {} not projected, {} quarantined",
        text::count(model.projected),
        text::count(unknown),
        text::count(model.faults)
    );
    words.push_str(&text::field("events", events));
    for (table, rows) in model.rows() {
        words.push_str(&format!("    {:<28}{:>12} rows\n", table.name(), text::count(rows)));
    }
    words.push_str(&dangling_words(&model.dangling));
    for leftover in &model.leftovers {
        words.push_str(&text::wrap("  note: ", &leftover_words(leftover)));
    }
    for warning in &report.warnings {
        words.push_str(&text::wrap("  note: ", warning));
    }
    let public: u64 = report.public_rows.iter().map(|(_, rows)| rows).sum();
    words.push_str(&text::field("public", format!("left as it is, {}", text::plural(public, "row"))));
    words
}

fn leftover_words(Leftover { schema, kept_for }: &Leftover) -> String {
    match kept_for {
        KeptFor::Reader => {
            format!(
                "a replaced read model stays as {schema}, since somebody reads it. The next rebuild drops it."
            )
        }
        KeptFor::Additions => format!(
            "a replaced read model stays as {schema}, since views, keys or tables of others need it, which show what it held. Make them \
             anew on read_model, then run DROP SCHEMA {schema} CASCADE."
        ),
    }
}

/// A line a reference that dangles.
pub fn dangling_words(found: &[DanglingCount]) -> String {
    let line = |dangling: &DanglingCount| {
        let what = text::plural(dangling.rows, "dangling reference");
        text::wrap("  finding: ", &format!("{what} in {}", reference(dangling)))
    };
    found.iter().map(line).collect()
}

/// The same for `--json`.
pub fn dangling_json(found: &[DanglingCount]) -> Value {
    found
        .iter()
        .map(|dangling| json!({"reference": reference(dangling), "rows": dangling.rows}))
        .collect::<Vec<_>>()
        .into()
}

/// `identities.owner_id -> owners.id`
fn reference(dangling: &DanglingCount) -> String {
    let reference = dangling.reference;
    format!(
        "{}.{} -> {}.{}",
        reference.child.name(),
        reference.column,
        reference.parent.name(),
        reference.parent_column
    )
}

/// The report for `--json`.
pub fn json(report: &RebuildReport) -> Value {
    let model = &report.model;
    let rows: Map<String, Value> =
        model.rows().into_iter().map(|(table, rows)| (table.name().to_owned(), json!(rows))).collect();
    let public: Map<String, Value> =
        report.public_rows.iter().map(|(table, rows)| (table.clone(), json!(rows))).collect();
    json!({
        "checkpoint": model.checkpoint,
        "events": model.events,
        "projected": model.projected,
        "not_projected": model.not_projected,
        "faults": model.faults,
        "dangling": dangling_json(&model.dangling),
        "rows": rows,
        "public_rows": public,
        "migrated": report.migrated,
        "warnings": report.warnings,
        "digests": digests(&model.digests),
        "spills": model.spills,
        "leftovers": model.leftovers.iter().map(leftover_json).collect::<Vec<_>>(),
        "postgres_version": report.postgres_version,
    })
}

fn leftover_json(Leftover { schema, kept_for }: &Leftover) -> Value {
    let kept_for = match kept_for {
        KeptFor::Reader => "reader",
        KeptFor::Additions => "additions",
    };
    json!({"schema": schema, "kept_for": kept_for})
}

/// State digests, a line a table.
pub fn digests(digest: &ModelDigest) -> Value {
    let tables = trstctl_ledger::projection::Table::ALL;
    tables
        .into_iter()
        .map(|table| (table.name().to_owned(), json!(digest.table(table).to_string())))
        .collect::<Map<_, _>>()
        .into()
}
