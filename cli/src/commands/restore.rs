//! `trstctl-dr restore`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use trstctl_formats::backup::{Content, Cut, Summary};
use trstctl_formats::{Class, Failure, StoreTime};
use trstctl_ledger::restore::Method as LedgerMethod;
use trstctl_recovery::plan::Plan;
use trstctl_recovery::progress::{Phase, Phases};
use trstctl_recovery::rebuild::Database;
use trstctl_recovery::restore::{LogOutcome, RestoreOptions, RestoreReport, prepare, verify};

use super::Context;
use super::rebuild;
use super::verify::gap_ranges;
use crate::args::{Method, Restore};
use crate::connections::{self, Engines, Needs};
use crate::outcome::Outcome;
use crate::text;
use trstctl_ledger::log::STREAM;

pub fn run(context: &Context, args: &Restore) -> Result<Outcome, Failure> {
    let trust = context.trust(&args.trust)?;
    let mut options = options(context, args)?;
    let mut phases = Phases::new(Arc::clone(&context.progress));
    let mut verified = verify(&options, &trust, &mut phases)?;
    let counts = super::verify::counted(&mut verified, &args.file, &mut phases, args.report.counts())?;
    // Only now: embedded engines are not started for a backup that is refused.
    let engines = Engines::open(&context.settings, Needs::of(args.rebuild))?;
    if let Some(note) = engines.late_flush() {
        context.tell(&text::wrap("note: ", note));
    }
    if args.rebuild {
        let database = rebuild::database(context, &engines, &args.memory)?;
        options.database = Some(Database { additions: rebuild::additions(args.drop_additions), ..database });
    }
    let progress = Arc::clone(&context.progress);
    let prepared = context.run(prepare(verified, engines.nats().clone(), options, phases, progress))?;
    if args.plan {
        return Ok(planned(prepared.plan(), &engines));
    }
    if !context.json {
        context.tell(&plan_words(prepared.plan()));
    }
    // It sees the signal itself, and may have to clean up in a cluster before it ends.
    let report = context.runtime.block_on(prepared.run(context.stop.notified()))?;
    Ok(outcome(&report, backup_json(&args.file, &report.summary, counts)))
}

fn options(context: &Context, args: &Restore) -> Result<RestoreOptions, Failure> {
    Ok(RestoreOptions {
        file: args.file.clone(),
        cut: cut(args),
        method: match args.method {
            Method::Archive => LedgerMethod::Archive,
            Method::Publish => LedgerMethod::Publish,
        },
        new_sequences: super::allow(args.accept_new_sequences),
        stream: STREAM.to_owned(),
        replicas: connections::replicas(&context.settings)?,
        deployment_id: context.settings.get("TRSTCTL_DEPLOYMENT_ID").map(ToOwned::to_owned),
        from_deployment: args.from_deployment.clone(),
        now: store_time(Timestamp::now()),
        database: None,
    })
}

fn cut(args: &Restore) -> Cut {
    match (args.through, args.until) {
        (Some(sequence), _) => Cut::Through(sequence),
        (None, Some(instant)) => Cut::Until(store_time(instant)),
        (None, None) => Cut::All,
    }
}

/// An instant as a store time; one outside its 292 years each way is the nearest it can say.
pub fn store_time(instant: Timestamp) -> StoreTime {
    let nanoseconds = instant.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    StoreTime(i64::try_from(nanoseconds).unwrap_or_default())
}

/// What `--plan` answers. Embedded engines had to be started for it.
pub fn planned(plan: &Plan, engines: &Engines) -> Outcome {
    let written = match engines.were_started() {
        true => "nothing was written; the embedded engines were started to look at them",
        false => "nothing was written",
    };
    let result = json!({"plan": plan, "estimate_ms": plan.estimate_ms()});
    Outcome::new(format!("{}{written}\n", plan_words(plan)), result)
}

/// A plan, a line a step.
fn plan_words(plan: &Plan) -> String {
    let mut words =
        format!("plan, about {} in all\n", text::duration(Duration::from_millis(plan.estimate_ms())));
    for (index, step) in plan.steps.iter().enumerate() {
        let estimate = step
            .estimate_ms
            .map(|ms| format!(" (about {})", text::duration(Duration::from_millis(ms))))
            .unwrap_or_default();
        let writes = step.writes.map(|target| format!("[writes {target}] ")).unwrap_or_default();
        words.push_str(&text::wrap(
            &format!("  {}. ", index + 1),
            &format!("{writes}{}{estimate}", step.what),
        ));
    }
    for warning in &plan.warnings {
        words.push_str(&text::wrap("  note: ", warning));
    }
    words
}

fn outcome(report: &RestoreReport, backup: Value) -> Outcome {
    let mut words = match report.log {
        LogOutcome::Restored => "restored, and proven by reading the log back\n".to_owned(),
        LogOutcome::Recognised => "the log already holds this backup: nothing was written\n".to_owned(),
    };
    let live = &report.live;
    words.push_str(&text::field("events", text::count(live.records)));
    words.push_str(&text::field("sequences", sequences(live)));
    words.push_str(&text::field("merkle root", live.merkle_root));
    words
        .push_str(&text::field("exact", if report.exact { "yes, bit for bit" } else { "NO: see the notes" }));
    for warning in &report.warnings {
        words.push_str(&text::wrap("  note: ", warning));
    }
    words.push_str(&phase_table(&report.phases));
    let next = match &report.rebuild {
        Some(_) => "",
        None => "next: run trstctl-dr rebuild before any server starts\n",
    };
    words.push_str(&report.rebuild.as_ref().map(rebuild::words).unwrap_or_default());
    Outcome { next, ..Outcome::new(words, outcome_json(report, backup)) }.with_error(failure(report))
}

fn sequences(live: &Content) -> String {
    let gaps = gap_ranges(live).map_or_else(|| "very many gaps".to_owned(), |gaps| text::plural(gaps, "gap"));
    format!("{} to {}, {gaps}", text::count(live.first_sequence), text::count(live.last_sequence))
}

/// A restore that is not exact needs a person, as do quarantined events.
fn failure(report: &RestoreReport) -> Option<Failure> {
    let found = report.rebuild.as_ref().and_then(rebuild::failure);
    if report.exact {
        return found;
    }
    let mut message =
        "the log was restored by publishing: it holds the same events, not the same store times".to_owned();
    if report.sequences_are_new {
        message.push_str(" or sequences");
    }
    if report.expectations_left_out > 0 {
        let lines = text::plural(report.expectations_left_out, "Nats-Expected-* header line");
        message.push_str(&format!("; {lines} left out, for old sequences"));
    }
    if let Some(found) = found {
        message.push_str(&format!("; {found}"));
    }
    let hint = "Tell those who rely on store times or sequences; take a new backup now, with --new-history.";
    Some(Failure::new(Class::Findings, message, hint))
}

fn outcome_json(report: &RestoreReport, backup: Value) -> Value {
    json!({
        "backup": backup,
        "log": report.log,
        "records": report.live.records,
        "first_sequence": report.live.first_sequence,
        "last_sequence": report.live.last_sequence,
        "gaps": gap_ranges(&report.live),
        "merkle_root": report.live.merkle_root.to_string(),
        "exact": report.exact,
        "sequences_are_new": report.sequences_are_new,
        "expectations_left_out": report.expectations_left_out,
        "authenticated": report.summary.authenticated,
        "warnings": report.warnings,
        "rebuild": report.rebuild.as_ref().map(rebuild::json),
        "nats_version": report.nats_version,
        "phases": report.phases,
    })
}

/// The backup that a log came from.
fn backup_json(file: &Path, summary: &Summary, counts: Option<Value>) -> Value {
    let mut backup = super::verify::facts_json(summary);
    backup["path"] = json!(file.display().to_string());
    super::verify::add_counts(&mut backup, counts);
    backup
}

/// What took how long.
pub fn phase_table(phases: &[Phase]) -> String {
    phases.iter().map(|phase| format!("  {}\n", crate::terminal::finished(phase))).collect()
}
