//! `trstctl-dr backup`

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use trstctl_formats::backup::FormatVersion;
use trstctl_formats::container::{Compression, Container, Recipient, parse_recipients};
use trstctl_formats::{Class, Failure, StoreTime};
use trstctl_ledger::log::{JetStreamLog, STREAM};
use trstctl_recovery::backup::{self, BackupOptions, BackupReport, Empty, UNKEYED, backup_after};
use trstctl_recovery::history::{
    AcceptedBreak, Compared, Earlier, Expected, Unbelievable, head_trust, newest_in,
};
use trstctl_recovery::output::Existing;
use trstctl_recovery::progress::{Phases, Unit};
use trstctl_recovery::secret;

use super::Context;
use super::restore::planned;
use crate::args::Backup;
use crate::connections::{Engines, Needs};
use crate::outcome::Outcome;
use crate::text;

pub fn run(context: &Context, args: Backup) -> Result<Outcome, Failure> {
    let now = Timestamp::now();
    let recipients = recipients(context, &args.recipient)?;
    let compression = if args.compress { Compression::Zstd } else { Compression::None };
    let output = output(context, &args, Container::of(compression, &recipients), now)?;
    let options = BackupOptions {
        output: output.clone(),
        existing: if args.force { Existing::Replace } else { Existing::Refuse },
        version: if args.format_version == 1 { FormatVersion::V1 } else { FormatVersion::V2 },
        through: args.through,
        compression,
        recipients,
        empty: if args.allow_empty { Empty::Accept } else { Empty::Refuse },
        key: context.key(None)?,
        deployment_id: context.settings.get("TRSTCTL_DEPLOYMENT_ID").map(ToOwned::to_owned),
        stream: STREAM.to_owned(),
        created_at: StoreTime(i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX)),
    };
    let expected = earlier(context, &args, &options)?;
    context.run(async {
        let engines = Engines::open(&context.settings, Needs::Log)?;
        let log = JetStreamLog::open(engines.connect().await?, STREAM).await?;
        log.refuse_unverified().await?;
        if args.plan {
            return Ok(planned(&backup::plan(&log, &options, &expected).await?, &engines));
        }
        let report = backup_after(&log, options, expected, Arc::clone(&context.progress)).await?;
        Ok(outcome(&output, &report))
    })
}

/// Longest reason that a tree head keeps.
const MAX_REASON_BYTES: usize = 1000;

/// What the new backup must extend: what `--after` names, else what the output's folder holds.
fn earlier(context: &Context, args: &Backup, options: &BackupOptions) -> Result<Expected, Failure> {
    let trust = context.trust(&args.trust)?;
    // The heads of a folder may be older than a rotation, and newer: either key will do.
    let keys: Vec<_> = options.key.iter().cloned().collect();
    let mut accepted = args.new_history.as_deref().map(accepted_break).transpose()?;
    if let Some(path) = &args.after {
        let mut phases = Phases::new(Arc::clone(&context.progress));
        let running = phases.begin("verify the earlier backup", None, Unit::Bytes);
        let earlier = Earlier::open(path, &trust, &keys, running.progress())?;
        running.end(0);
        return Ok(Expected { earlier: Some((path.clone(), earlier)), break_accepted: accepted });
    }
    let folder = options.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let unbelievable = if accepted.is_some() { Unbelievable::SetAside } else { Unbelievable::Refuse };
    let (deployment, trust) = (options.deployment_id.as_deref(), head_trust(&trust, &keys));
    let found = newest_in(folder, &options.stream, deployment, &trust, unbelievable)?;
    if let Some(accepted) = &mut accepted {
        accepted.set_aside = found.set_aside;
    }
    let earlier = found.newest.map(|(path, head)| (path, Earlier::Head(Box::new(head))));
    Ok(Expected { earlier, break_accepted: accepted })
}

fn accepted_break(reason: &str) -> Result<AcceptedBreak, Failure> {
    if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
        return Err(Failure::new(
            Class::Usage,
            format!("--new-history needs a reason of 1 to {MAX_REASON_BYTES} bytes"),
            "Say in a sentence why the log's history is another one: it is kept in the tree head.",
        ));
    }
    Ok(AcceptedBreak { reason: reason.to_owned(), set_aside: Vec::new() })
}

fn recipients(context: &Context, flags: &[String]) -> Result<Vec<Recipient>, Failure> {
    if !flags.is_empty() {
        return parse_recipients(&flags.join("\n")).map_err(|error| secret::bad_keys(&error, "--recipient"));
    }
    let Some(path) = context.settings.path("TRSTCTL_BACKUP_RECIPIENTS_FILE") else { return Ok(Vec::new()) };
    secret::read_recipients(&path)
}

fn output(
    context: &Context,
    args: &Backup,
    container: Container,
    now: Timestamp,
) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.output {
        return Ok(path.clone());
    }
    let folder = context.settings.path("TRSTCTL_BACKUP_DIR").ok_or_else(|| {
        Failure::new(
            Class::Usage,
            "there is no place for the backup",
            "Give --output FILE, or set TRSTCTL_BACKUP_DIR.",
        )
    })?;
    Ok(folder.join(format!("trstctl-events-{}{}", now.strftime("%Y%m%dT%H%M%SZ"), container.extension())))
}

fn outcome(path: &std::path::Path, report: &BackupReport) -> Outcome {
    let summary = &report.summary;
    let mut text = format!("backed up {}\n", path.display());
    text.push_str(&super::verify::facts(summary));
    text.push_str(&text::field("file", text::bytes(report.file_bytes)));
    if let Some(head) = &report.head {
        text.push_str(&text::field("tree head", head.display()));
    }
    text.push_str(&text::wrap("  history     ", &history(report)));
    text.push_str(&super::restore::phase_table(&report.phases));
    if !summary.keyed {
        text.push_str(&text::wrap("  note: ", UNKEYED));
    }
    text.push_str(&text::wrap("  next: ", &format!("trstctl-dr verify {}", path.display())));
    let mut result = super::verify::facts_json(summary);
    result["path"] = json!(path.display().to_string());
    result["file_bytes"] = json!(report.file_bytes);
    result["phases"] = json!(report.phases);
    result["head"] = json!(report.head.as_ref().map(|head| head.display().to_string()));
    result["after"] = json!(report.compared.as_ref().map(compared));
    result["new_history"] = json!(report.new_history.as_ref().map(|new| json!({
        "reason": new.reason,
        "set_aside": new.set_aside.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    })));
    Outcome::new(text, result)
}

/// What the comparison with the earlier backup has shown.
fn history(report: &BackupReport) -> String {
    let mut words = match &report.compared {
        None => "first backup here: nothing earlier to compare with".to_owned(),
        Some(Compared { path, head, difference: None }) => format!(
            "extends {} ({} up to sequence {}): proven",
            path.display(),
            text::plural(head.records, "event"),
            text::count(head.event_cut_sequence)
        ),
        Some(Compared { path, difference: Some(difference), .. }) => {
            format!("NEW, accepted: it does not extend {}: {difference}", path.display())
        }
    };
    let set_aside = report.new_history.as_ref().map_or(0, |new| new.set_aside.len() as u64);
    if set_aside > 0 {
        words.push_str(&format!("; {} set aside", text::plural(set_aside, "tree head")));
    }
    words
}

fn compared(compared: &Compared) -> Value {
    json!({
        "path": compared.path.display().to_string(),
        "records": compared.head.records,
        "event_cut_sequence": compared.head.event_cut_sequence,
        "merkle_root": compared.head.merkle_root.to_string(),
        "extended": compared.difference.is_none(),
        "difference": compared.difference.as_ref().map(super::difference_json),
    })
}
