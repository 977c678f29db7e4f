//! `trstctl-dr verify`

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use trstctl_formats::Failure;
use trstctl_formats::backup::{Content, FormatVersion, Summary, Verified};
use trstctl_recovery::progress::{Phases, Unit};
use trstctl_recovery::source::{self, Trust};

use super::Context;
use crate::args::Verify;
use crate::outcome::{Outcome, failure_json};
use crate::text;

pub fn run(context: &Context, args: &Verify) -> Result<Outcome, Failure> {
    let trust = context.trust(&args.trust)?;
    let mut outcome = Outcome::default();
    let mut files = Vec::new();
    let mut phases = Phases::new(Arc::clone(&context.progress));
    for path in &args.files {
        if context.progress.interrupted() {
            outcome.error.get_or_insert_with(super::interrupted);
            break;
        }
        let verdict = verify(path, &trust, &mut phases, args.report.counts());
        let (verdict, counts) = match verdict {
            Ok((summary, counts)) => (Ok(summary), counts),
            Err(failure) => (Err(failure), None),
        };
        outcome.text.push_str(&words(path, &verdict, args.files.len()));
        let mut file = file_json(path, &verdict);
        add_counts(&mut file, counts);
        files.push(file);
        outcome.error = outcome.error.or(verdict.err());
    }
    outcome.result.insert("files".into(), Value::Array(files));
    outcome.result.insert("phases".into(), json!(phases.into_report()));
    Ok(outcome)
}

/// Whether records are counted by tenant and type too: a second pass, for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// They are not.
    No,
    /// They are.
    Yes,
}

/// What the file says, and its counts where they were asked for and can be had.
fn verify(
    path: &Path,
    trust: &Trust,
    phases: &mut Phases,
    counts: Counts,
) -> Result<(Summary, Option<Value>), Failure> {
    let len_bytes = path.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let running = phases.begin("verify", len_bytes, Unit::Bytes);
    let progress = running.progress();
    if path.to_str() == Some("-") {
        let summary = source::inspect_stream(std::io::stdin(), trust, progress)?;
        running.end(summary.len_bytes);
        return Ok((summary, None));
    }
    let mut verified = source::to_look_into(path, trust, progress)?;
    running.end(len_bytes.unwrap_or(verified.summary().len_bytes));
    let counts = counted(&mut verified, path, phases, counts)?;
    Ok((verified.summary().clone(), counts))
}

/// The counts of a verified backup, where they are asked for.
pub fn counted(
    verified: &mut Verified<File>,
    path: &Path,
    phases: &mut Phases,
    counts: Counts,
) -> Result<Option<Value>, Failure> {
    if counts == Counts::No {
        return Ok(None);
    }
    let counted = super::inspect::counted(verified, phases);
    counted.map(Some).map_err(|failure| failure.in_file(path.display().to_string()))
}

/// Adds the keys of the counts to those of the file.
pub fn add_counts(file: &mut Value, counts: Option<Value>) {
    if let (Value::Object(file), Some(Value::Object(counts))) = (file, counts) {
        file.extend(counts);
    }
}

fn words(path: &Path, verdict: &Result<Summary, Failure>, files: usize) -> String {
    match verdict {
        Ok(summary) => format!("OK {}\n{}", path.display(), facts(summary)),
        // A single failure is told by the error itself.
        Err(_) if files == 1 => String::new(),
        Err(failure) => format!("FAILED {}\n{}", path.display(), crate::outcome::words(failure)),
    }
}

/// What a backup holds, a line a fact.
pub fn facts(summary: &Summary) -> String {
    let version = match summary.header.version {
        FormatVersion::V1 => "version 1",
        FormatVersion::V2 => "version 2",
    };
    let mut text = text::field("format", format!("{version}, {} plain", text::bytes(summary.len_bytes)));
    text.push_str(&text::field("records", records(summary)));
    if let Some((from, to)) = summary.time_range {
        text.push_str(&text::field("from", from));
        text.push_str(&text::field("to", to));
    }
    if let Some(tenants) = summary.tenants {
        text.push_str(&text::field("tenants", text::count(tenants)));
    }
    text.push_str(&text::field("sha256", summary.sha256));
    if let Some(content) = &summary.content {
        text.push_str(&text::field("merkle root", content.merkle_root));
    }
    text.push_str(&text::field("trust", trust_words(summary)));
    text
}

fn records(summary: &Summary) -> String {
    let records = text::count(summary.records);
    let Some(content) = &summary.content else { return format!("{records} (version 1 keeps no sequences)") };
    let missing = missing(content);
    let range = format!(
        "sequences {} to {}",
        text::count(content.first_sequence),
        text::count(content.last_sequence)
    );
    match gap_ranges(content) {
        _ if summary.records == 0 => records,
        Some(0) => format!("{records} ({range}, no gaps)"),
        Some(gaps) => format!(
            "{records} ({range}; {}, {})",
            text::plural(gaps, "gap"),
            text::plural(missing, "deleted event")
        ),
        None => format!("{records} ({range}; {})", text::plural(missing, "deleted event")),
    }
}

/// Sequences between first and last that the log does not hold.
fn missing(content: &Content) -> u64 {
    (content.last_sequence + 1).saturating_sub(content.first_sequence).saturating_sub(content.records)
}

/// How many ranges they are; `None` where there are too many to be listed.
pub fn gap_ranges(content: &Content) -> Option<u64> {
    let listed = content.gaps.len() as u64;
    (listed > 0 || missing(content) == 0).then_some(listed)
}

fn trust_words(summary: &Summary) -> &'static str {
    match (summary.keyed, summary.authenticated) {
        (true, true) => "authenticated by this host's key",
        (true, false) => "keyed, NOT checked: accepted on the checksum alone",
        (false, _) => "checksum only: detects damage, not tampering",
    }
}

/// The same facts for `--json`.
pub fn facts_json(summary: &Summary) -> Value {
    let content = summary.content.as_ref();
    json!({
        "format_version": match summary.header.version { FormatVersion::V1 => 1, FormatVersion::V2 => 2 },
        "created_at": summary.header.created_at.to_string(),
        "deployment_id": summary.header.deployment_id,
        "event_cut_sequence": summary.header.event_cut_sequence,
        "records": summary.records,
        "len_bytes": summary.len_bytes,
        "sha256": summary.sha256.to_string(),
        "merkle_root": content.map(|content| content.merkle_root.to_string()),
        "first_sequence": content.map(|content| content.first_sequence),
        "last_sequence": content.map(|content| content.last_sequence),
        "gaps": content.and_then(gap_ranges),
        "tenants": summary.tenants,
        "first_time": summary.time_range.map(|(from, _)| from.to_string()),
        "last_time": summary.time_range.map(|(_, to)| to.to_string()),
        "keyed": summary.keyed,
        "authenticated": summary.authenticated,
    })
}

fn file_json(path: &Path, verdict: &Result<Summary, Failure>) -> Value {
    let keys = [
        "format_version",
        "records",
        "sha256",
        "merkle_root",
        "first_sequence",
        "last_sequence",
        "keyed",
        "authenticated",
        "tenants",
    ];
    let mut object = match verdict {
        Ok(summary) => facts_json(summary),
        Err(_) => {
            keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect::<serde_json::Map<_, _>>().into()
        }
    };
    object["path"] = json!(path.display().to_string());
    object["error"] = verdict.as_ref().err().map_or(Value::Null, failure_json);
    object
}
