//! `trstctl-dr demo`: a disaster and its recovery on throw-away engines, with the steps that a real one takes.

mod authority;
mod stage;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use trstctl_formats::backup::{BackupKey, Cut, FormatVersion, Summary};
use trstctl_formats::container::Compression;
use trstctl_formats::{Class, Failure};
use trstctl_ledger::history::{History, HistoryOptions};
use trstctl_ledger::log::STREAM;
use trstctl_ledger::projection::ModelDigest;
use trstctl_ledger::restore::Method;
use trstctl_recovery::backup::{BackupOptions, BackupReport, Empty, backup};
use trstctl_recovery::output::Existing;
use trstctl_recovery::progress::{Phase, Phases, Unit};
use trstctl_recovery::rebuild::migrate_and_rebuild;
use trstctl_recovery::restore::{RestoreOptions, RestoreReport, prepare, verify};
use trstctl_recovery::source::{Trust, inspect, to_look_into};

use self::authority::Authority;
use self::stage::Stage;
use super::restore::{phase_table, store_time};
use super::{Context, Counts, rebuild};
use crate::args::{Demo, Memory};
use crate::outcome::Outcome;
use crate::text;

/// The key that authenticates the demo's backup: the shape of a real one, and no secret.
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\ndemo only\n-----END PRIVATE KEY-----\n";

/// Events that the projection has to quarantine, so that the report shows some.
const POISON_EVENTS: u64 = 3;

pub fn run(context: &Context, args: &Demo) -> Result<Outcome, Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(
            Class::OutputFailed,
            format!("no temporary folder: {error}"),
            "Check the folder of TMPDIR and its free space.",
        )
    })?;
    let mut demo = Rehearsal { context, folder, phases: Phases::new(Arc::clone(&context.progress)) };
    let stage = demo.start("start engines")?;
    let before = demo.seed(&stage, args)?;
    let backup = demo.back_up(&stage)?;
    let (verified, counts) = demo.verify(args.report.counts())?;
    let refusal = demo.refuse_a_flipped_byte()?;
    let authority = demo.step("lose a CA's host", Authority::make_and_lose)?;
    demo.destroy(stage);
    let stage = demo.start("start new engines")?;
    let restored = demo.restore(&stage)?;
    let authority = demo.step("bring the CA back", |context, _| authority.recover(context))?;
    demo.destroy(stage);
    Findings {
        events: args.events,
        seed: args.seed,
        before,
        backup,
        verified,
        counts,
        refusal,
        restored,
        authority,
        phases: demo.phases.into_report(),
    }
    .outcome()
}

/// The demo under way.
struct Rehearsal<'a> {
    context: &'a Context,
    folder: TempDir,
    phases: Phases,
}

impl Rehearsal<'_> {
    fn backup_file(&self) -> PathBuf {
        self.folder.path().join("trstctl-events.jsonl")
    }

    fn key() -> Option<BackupKey> {
        BackupKey::from_key_file(KEY)
    }

    fn trust() -> Trust {
        Trust { key: Self::key(), ..Trust::default() }
    }

    fn start(&mut self, phase: &'static str) -> Result<Stage, Failure> {
        let running = self.phases.begin(phase, None, Unit::Steps);
        let stage = Stage::start()?;
        running.end(2);
        Ok(stage)
    }

    /// A phase of one step.
    fn step<T>(
        &mut self,
        phase: &'static str,
        work: impl FnOnce(&Context, &Path) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let running = self.phases.begin(phase, None, Unit::Steps);
        let done = work(self.context, self.folder.path())?;
        running.end(1);
        Ok(done)
    }

    fn destroy(&mut self, stage: Stage) {
        let running = self.phases.begin("destroy engines", None, Unit::Steps);
        drop(stage);
        running.end(2);
    }

    /// Writes the log and projects it, as a control plane would have done.
    fn seed(&mut self, stage: &Stage, args: &Demo) -> Result<ModelDigest, Failure> {
        let options = HistoryOptions { poison_events: POISON_EVENTS, ..HistoryOptions::default() };
        let history = History::with_options(args.seed, args.events, options);
        let (context, phases) = (self.context, &mut self.phases);
        let running = phases.begin("seed the log", Some(args.events), Unit::Events);
        let progress = running.shared_progress();
        let log = context.run(stage.seed(history, move |done| progress.done(done)))?;
        running.end(args.events);
        let database = stage.database(&Memory::default())?;
        let report =
            context.run(async { migrate_and_rebuild(&log, database.check().await?, phases).await })?;
        Ok(report.model.digests)
    }

    fn back_up(&mut self, stage: &Stage) -> Result<BackupReport, Failure> {
        let options = BackupOptions {
            output: self.backup_file(),
            existing: Existing::Refuse,
            version: FormatVersion::V2,
            through: None,
            compression: Compression::None,
            recipients: Vec::new(),
            empty: Empty::Refuse,
            key: Self::key(),
            deployment_id: Some("demo".to_owned()),
            stream: STREAM.to_owned(),
            created_at: store_time(Timestamp::now()),
        };
        let progress = Arc::clone(&self.context.progress);
        let report = self.context.run(async { backup(&stage.log().await?, options, progress).await })?;
        self.phases.extend(report.phases.clone());
        Ok(report)
    }

    fn verify(&mut self, counts: Counts) -> Result<(Summary, Option<Value>), Failure> {
        let path = self.backup_file();
        let len_bytes = path.metadata().map_or(0, |metadata| metadata.len());
        let running = self.phases.begin("verify", Some(len_bytes), Unit::Bytes);
        let mut verified = to_look_into(&path, &Self::trust(), running.progress())?;
        running.end(len_bytes);
        let counts = super::verify::counted(&mut verified, &path, &mut self.phases, counts)?;
        Ok((verified.summary().clone(), counts))
    }

    /// Shows that damage is found: one bit of a copy is flipped.
    fn refuse_a_flipped_byte(&mut self) -> Result<Failure, Failure> {
        let damaged = self.folder.path().join("damaged.jsonl");
        copy_with_a_flipped_bit(&self.backup_file(), &damaged).map_err(|error| {
            Failure::new(
                Class::OutputFailed,
                format!("cannot write {}: {error}", damaged.display()),
                "Make room there.",
            )
        })?;
        let running = self.phases.begin("refuse a flipped bit", None, Unit::Steps);
        let verdict = inspect(&damaged, &Self::trust(), running.progress());
        running.end(1);
        match verdict {
            Err(failure) if failure.class == Class::Damaged => Ok(failure),
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::new(
                Class::Internal,
                "a damaged backup was accepted",
                "Do not use this program; report this.",
            )),
        }
    }

    fn restore(&mut self, stage: &Stage) -> Result<RestoreReport, Failure> {
        let options = RestoreOptions {
            file: self.backup_file(),
            cut: Cut::All,
            method: Method::Archive,
            new_sequences: trstctl_formats::backup::Allow::No,
            stream: STREAM.to_owned(),
            replicas: 1,
            deployment_id: Some("demo".to_owned()),
            from_deployment: None,
            now: store_time(Timestamp::now()),
            database: Some(stage.database(&Memory::default())?),
        };
        let mut phases = Phases::new(Arc::clone(&self.context.progress));
        let verified = verify(&options, &Self::trust(), &mut phases)?;
        let progress = Arc::clone(&self.context.progress);
        let report = self.context.run(async {
            prepare(verified, stage.nats(), options, phases, progress)
                .await?
                .run(std::future::pending())
                .await
        })?;
        self.phases.extend(report.phases.clone());
        Ok(report)
    }
}

fn copy_with_a_flipped_bit(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut copy = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(to)?;
    let len_bytes = std::io::copy(&mut File::open(from)?, &mut copy)?;
    let mut byte = [0];
    copy.seek(SeekFrom::Start(len_bytes / 2))?;
    copy.read_exact(&mut byte)?;
    copy.seek(SeekFrom::Start(len_bytes / 2))?;
    copy.write_all(&[byte[0] ^ 1])
}

/// What the demo has shown.
struct Findings {
    events: u64,
    seed: u64,
    before: ModelDigest,
    backup: BackupReport,
    verified: Summary,
    counts: Option<Value>,
    refusal: Failure,
    restored: RestoreReport,
    authority: authority::Recovered,
    phases: Vec<Phase>,
}

impl Findings {
    fn outcome(&self) -> Result<Outcome, Failure> {
        let checks = self.checks();
        let mut words = phase_table(&self.phases);
        words.push('\n');
        for (check, holds) in &checks {
            words.push_str(&format!("  {}  {check}\n", if *holds { "ok    " } else { "FAILED" }));
        }
        words.push('\n');
        words.push_str(&text::wrap("  refused: ", &self.refusal.message));
        words.push_str(&text::wrap("  refused: ", &self.authority.wrong_kek));
        if let Some(peak) = peak_memory_bytes() {
            words.push_str(&text::field(
                "peak memory",
                format!("{} (this program; the engines have their own)", text::bytes(peak)),
            ));
        }
        words.push_str(if checks.iter().all(|(_, holds)| *holds) {
            "recovered, and equal\n"
        } else {
            "NOT equal\n"
        });
        Ok(Outcome::new(words, self.json(&checks)).with_error(failure(&checks)))
    }

    fn checks(&self) -> Vec<(String, bool)> {
        let (saved, live) = (self.verified.content.as_ref(), &self.restored.live);
        let rebuilt = self.restored.rebuild.as_ref().map(|rebuild| &rebuild.model.digests);
        let mut checks = vec![
            (
                format!(
                    "verified: {} of {} in the backup",
                    text::count(self.verified.records),
                    text::plural(self.events, "event")
                ),
                self.verified.authenticated,
            ),
            ("a flipped bit was refused".to_owned(), self.refusal.class == Class::Damaged),
            (
                "the restored log has the backup's root, gaps and count".to_owned(),
                saved == Some(live) && self.restored.exact,
            ),
            (
                "the rebuilt read model has the digests of the lost one".to_owned(),
                rebuilt == Some(&self.before),
            ),
        ];
        checks.extend(self.authority.checks());
        checks
    }

    fn json(&self, checks: &[(String, bool)]) -> Value {
        json!({
            "events": self.events,
            "seed": self.seed,
            "backup": self.backup_json(),
            "refused": crate::outcome::failure_json(&self.refusal),
            "records": self.backup.summary.records,
            "file_bytes": self.backup.file_bytes,
            "merkle_root": self.restored.live.merkle_root.to_string(),
            "checks": checks.iter().map(|(check, holds)| json!({"check": check, "ok": holds})).collect::<Vec<_>>(),
            "authority": self.authority.json(),
            "rebuild": self.restored.rebuild.as_ref().map(rebuild::json),
            "nats_version": self.restored.nats_version,
            "phases": self.phases,
            "peak_memory_bytes": peak_memory_bytes(),
        })
    }

    fn backup_json(&self) -> Value {
        let mut backup = super::verify::facts_json(&self.verified);
        super::verify::add_counts(&mut backup, self.counts.clone());
        backup
    }
}

fn failure(checks: &[(String, bool)]) -> Option<Failure> {
    let failed = checks.iter().find(|(_, holds)| !holds)?;
    Some(Failure::new(
        Class::ReadbackDiffers,
        format!("this does not hold: {}", failed.0),
        "Report this with the output above.",
    ))
}

/// The most memory that this process has had in use, where the system says so.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
