//! `trstctl-dr backup`

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use trstctl_formats::backup::FormatVersion;
use trstctl_formats::container::{Compression, Container, Recipient, parse_recipients};
use trstctl_formats::{Class, Failure, StoreTime};
use trstctl_ledger::log::{JetStreamLog, STREAM};
use trstctl_recovery::backup::{BackupOptions, BackupReport, Empty, backup};
use trstctl_recovery::output::Existing;
use trstctl_recovery::secret;

use super::Context;
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
    let report = context.run(async {
        let engines = Engines::open(&context.settings, Needs::Log)?;
        let log = JetStreamLog::open(engines.connect().await?, STREAM).await?;
        log.refuse_unverified().await?;
        backup(&log, options, Arc::clone(&context.progress)).await
    })?;
    Ok(outcome(&output, &report))
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
    text.push_str(&super::restore::phase_table(&report.phases));
    if !summary.keyed {
        text.push_str(&text::wrap(
            "  note: ",
            "no audit signing key is configured, so this backup detects damage, not tampering.",
        ));
    }
    text.push_str(&text::wrap("  next: ", &format!("trstctl-dr verify {}", path.display())));
    let mut result = super::verify::facts_json(summary);
    result["path"] = json!(path.display().to_string());
    result["file_bytes"] = json!(report.file_bytes);
    result["phases"] = json!(report.phases);
    Outcome::new(text, result)
}
