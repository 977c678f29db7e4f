//! `trstctl-dr inspect`

mod words;

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use serde_json::{Value, json};
use trstctl_formats::backup::Verified;
use trstctl_formats::container::Container;
use trstctl_formats::{Class, Failure};
use trstctl_recovery::inspect::TypePattern;
use trstctl_recovery::inspect::{self, Bin, Count, Histogram, Named, Selection, Streamed, Tally};
use trstctl_recovery::progress::{Phases, Unit};
use trstctl_recovery::source;

use super::Context;
use super::restore::store_time;
use crate::args::Inspect;
use crate::outcome::Outcome;

/// Bytes of events that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

pub fn run(context: &Context, args: &Inspect) -> Result<Outcome, Failure> {
    if args.events && context.json {
        return Err(Failure::new(
            Class::Usage,
            "--events streams events, and --json prints one object: they do not go together",
            "Leave --json out: each event is a JSON object on a line of its own.",
        ));
    }
    let selection = selection(args);
    let trust = context.trust(&args.trust)?;
    let mut phases = Phases::new(Arc::clone(&context.progress));
    let len_bytes = args.file.metadata().ok().map(|metadata| metadata.len());
    let running = phases.begin("verify", len_bytes, Unit::Bytes);
    let mut verified = source::to_look_into(&args.file, &trust, running.progress())?;
    running.end(len_bytes.unwrap_or(verified.summary().len_bytes));
    let counted = if args.events {
        events(context, &mut verified, &selection)
    } else {
        summary(args, &mut verified, &selection, &mut phases)
    };
    counted.map_err(|failure| failure.in_file(args.file.display().to_string()))
}

fn selection(args: &Inspect) -> Selection {
    Selection {
        tenants: args.tenant.clone(),
        types: args.kind.iter().map(TypePattern::new).collect(),
        since: args.since.map(store_time),
        until: args.until.map(store_time),
        from: args.from,
        to: args.to,
    }
}

fn events(
    context: &Context,
    verified: &mut Verified<File>,
    selection: &Selection,
) -> Result<Outcome, Failure> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    // No progress: a bar would run through the events where both go to one terminal.
    let streamed = inspect::stream(verified, selection, &mut out, context.progress.as_ref())?;
    // What an ended reader did not take is not written on drop.
    let (_, _) = out.into_parts();
    if let Streamed::All(written) = streamed {
        context.tell(&format!("{} of a verified backup\n", crate::text::plural(written, "event")));
    }
    Ok(Outcome::default())
}

fn summary(
    args: &Inspect,
    verified: &mut Verified<File>,
    selection: &Selection,
    phases: &mut Phases,
) -> Result<Outcome, Failure> {
    let running = phases.begin("count", Some(verified.summary().records), Unit::Events);
    let survey = inspect::survey(verified, selection, running.progress())?;
    running.end(verified.summary().records);
    let shown = if args.all { usize::MAX } else { args.top as usize };
    let mut result = super::verify::facts_json(verified.summary());
    result["path"] = json!(args.file.display().to_string());
    result["container"] = json!(container(verified.container()));
    result["gap_ranges"] = json!(verified.summary().content.as_ref().map(|content| &content.gaps));
    result["selected"] = counts(&survey.all);
    result["by_tenant"] = tally(&survey.tenants);
    result["by_type"] = tally(&survey.types);
    let mut foreign = counts(&survey.foreign.messages);
    foreign["events_in_other_spelling"] = json!(survey.foreign.events);
    result["foreign"] = foreign;
    result["histogram"] = histogram(&survey.histogram);
    let text = words::of(&args.file, verified, selection, &survey, shown);
    Ok(Outcome::new(text, result))
}

/// Counts of a whole verified backup for a report, under the keys that this command has for them.
pub fn counted(verified: &mut Verified<File>, phases: &mut Phases) -> Result<Value, Failure> {
    let records = verified.summary().records;
    let running = phases.begin("count", Some(records), Unit::Events);
    let survey = inspect::survey(verified, &Selection::default(), running.progress())?;
    running.end(records);
    Ok(json!({
        "by_tenant": tally(&survey.tenants),
        "by_type": tally(&survey.types),
        "histogram": histogram(&survey.histogram),
    }))
}

fn container(container: Container) -> &'static str {
    match container {
        Container::Plain => "plain",
        Container::Zstd => "zstd",
        Container::Age => "age",
        Container::AgeZstd => "age around zstd",
    }
}

fn counts(count: &Count) -> Value {
    json!({
        "records": count.records,
        "first_time": count.times.map(|(first, _)| first.to_string()),
        "last_time": count.times.map(|(_, last)| last.to_string()),
    })
}

fn tally(tally: &Tally) -> Value {
    let named = |Named { name, count }: Named| {
        let mut object = counts(&count);
        object["name"] = json!(name);
        object
    };
    json!({
        "counts": tally.ranked().into_iter().map(named).collect::<Vec<_>>(),
        "other": counts(&tally.other),
    })
}

fn histogram(histogram: &Histogram) -> Value {
    let bin = |Bin { from, records }: Bin| json!({"from": from.to_string(), "records": records});
    json!({"width_ms": histogram.width_ms(), "bins": histogram.bins().map(bin).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use trstctl_recovery::inspect::Survey;

    use super::*;

    #[test]
    fn what_is_counted_survives_an_empty_backup() {
        let survey = Survey::new(None);
        assert_eq!(histogram(&survey.histogram)["bins"], json!([]));
        assert_eq!(tally(&survey.types)["other"]["records"], 0);
    }
}
