//! `trstctl-dr prove`

use std::sync::Arc;

use serde_json::{Value, json};
use trstctl_formats::Failure;
use trstctl_formats::backup::FormatVersion;
use trstctl_recovery::prove::{ProveOptions, ProveReport, Side, prove};

use super::Context;
use crate::args::Prove;
use crate::outcome::Outcome;
use crate::text;

pub fn run(context: &Context, args: &Prove) -> Result<Outcome, Failure> {
    let trust = context.trust(&args.trust)?;
    let keys = context.key(None)?.into_iter().collect();
    let options = ProveOptions { old: args.old.clone(), new: args.new.clone(), keys };
    let report = prove(&options, &trust, Arc::clone(&context.progress))?;
    Ok(Outcome::new(words(&report), json(&report)).with_error(report.failure()))
}

fn words(report: &ProveReport) -> String {
    let mut words = match &report.verdict {
        Ok(_) => "PROVEN: the old one is the beginning of the new one's history\n".to_owned(),
        Err(_) => "NOT PROVEN: the histories differ\n".to_owned(),
    };
    for (name, side) in [("old", &report.old), ("new", &report.new)] {
        words.push_str(&text::field(name, side.path.display()));
        words.push_str(&text::field("", facts(side)));
        if report.verdict.is_ok() {
            words.push_str(&text::field("  root", side.tree.root));
        }
    }
    if let Ok(proof) = &report.verdict {
        let hashes = if proof.len() == 1 { "hash" } else { "hashes" };
        words.push_str(&text::field(
            "proof",
            format!("RFC 9162 consistency, {} {hashes} (--json)", proof.len()),
        ));
    }
    for note in notes(report) {
        words.push_str(&text::wrap("  note: ", note));
    }
    words.push_str(&super::restore::phase_table(&report.phases));
    words
}

fn facts(side: &Side) -> String {
    let events = text::plural(side.tree.len, "event");
    match side.version {
        FormatVersion::V1 => format!("{} of version 1, {events}", side.kind),
        FormatVersion::V2 => format!("{}, {events} up to sequence {}", side.kind, text::count(side.last)),
    }
}

fn notes(report: &ProveReport) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if report.old.version == FormatVersion::V1 {
        notes.push(
            "version 1 keeps neither sequences nor roots: records were compared by their number, and the roots are computed \
             over the record lines as they stand in the files.",
        );
    }
    if !report.old.authenticated || !report.new.authenticated {
        notes.push("not both are authenticated by a key of this host: this shows what the files say, not who wrote them.");
    }
    if report.old.deployment_id.is_some() != report.new.deployment_id.is_some() {
        notes.push("only one of them states its deployment.");
    }
    notes
}

fn json(report: &ProveReport) -> Value {
    json!({
        "proven": report.verdict.is_ok(),
        "old": side(&report.old, report),
        "new": side(&report.new, report),
        "proof": report.verdict.as_ref().ok().map(|proof| proof.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "difference": report.verdict.as_ref().err().map(super::difference_json),
        "notes": notes(report),
        "phases": report.phases,
    })
}

fn side(side: &Side, report: &ProveReport) -> Value {
    // The roots of version 1 stand in no file: they are computed when both are compared to the end.
    let has_root = side.version == FormatVersion::V2 || report.verdict.is_ok();
    json!({
        "path": side.path.display().to_string(),
        "kind": side.kind,
        "format_version": side.version.number(),
        "created_at": side.created_at.to_string(),
        "deployment_id": side.deployment_id,
        "stream": (side.version == FormatVersion::V2).then_some(&side.stream),
        "records": side.tree.len,
        "last_sequence": (side.version == FormatVersion::V2).then_some(side.last),
        "merkle_root": has_root.then(|| side.tree.root.to_string()),
        "authenticated": side.authenticated,
    })
}
