//! Restore: verify everything, look at the target, show the plan, write, read back, compare, rebuild.
//!
//! In this order, and nothing is written before all that can be checked was checked. Stopped anywhere, the same steps go
//! on to the same log: what was left is recognised by its mark (see [`trstctl_ledger::restore`]).

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use serde::Serialize;
use trstctl_formats::backup::{Allow, Content, Cut, FormatVersion, Summary, Verified};
use trstctl_formats::{Class, Failure, StoreTime};
use trstctl_ledger::log::{JetStreamLog, StreamConfig};
use trstctl_ledger::restore::{
    self as ledger, Method, Numbering, Proven, Restore, Source, TargetState, Written,
};
use trstctl_ledger::wire::{ConnectOptions, Connection};

use crate::plan::{Plan, rates};
use crate::progress::{Phase, Phases, Progress, Unit};
use crate::rebuild::{self, Checked, Database, RebuildReport};
use crate::source::{self, Trust};

/// The subjects of the log.
const SUBJECTS: &str = "events.>";

/// What to restore, and how.
pub struct RestoreOptions {
    /// The backup.
    pub file: PathBuf,
    /// The part of it.
    pub cut: Cut,
    /// How the log enters the server.
    pub method: Method,
    /// Publishing may give new sequences.
    pub new_sequences: Allow,
    /// Name of the stream.
    pub stream: String,
    /// Its replicas.
    pub replicas: u32,
    /// This deployment, when known.
    pub deployment_id: Option<String>,
    /// A backup of this other deployment is accepted.
    pub from_deployment: Option<String>,
    /// Now.
    pub now: StoreTime,
    /// The read model to rebuild afterwards.
    pub database: Option<Database>,
}

/// All checked, nothing written.
pub struct Prepared {
    plan: Plan,
    summary: Summary,
    state: TargetState,
    /// What is there already, where that is all.
    earlier: Option<Written>,
    restore: Restore<File>,
    log: JetStreamLog,
    database: Option<Checked>,
    nats_version: String,
    phases: Phases,
}

/// A finished restore.
#[derive(Debug)]
pub struct RestoreReport {
    /// What the backup says.
    pub summary: Summary,
    /// What the log holds now, as it was read back.
    pub live: Content,
    /// The log is the same bit for bit as the part of the backup that was chosen.
    pub exact: bool,
    /// What was done to the log.
    pub log: LogOutcome,
    /// Sequences are those of this run's numbering, not the backup's: version 1 keeps none, publishing may give new ones.
    pub sequences_are_new: bool,
    /// Stored `Nats-Expected-*` header lines that publishing left out.
    pub expectations_left_out: u64,
    /// The rebuild, when one was asked for.
    pub rebuild: Option<RebuildReport>,
    /// Version of the server that holds the log.
    pub nats_version: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// What took how long.
    pub phases: Vec<Phase>,
}

/// What a restore did to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOutcome {
    /// It was written.
    Restored,
    /// It was there already and only proven.
    Recognised,
}

/// Verifies the whole file, on this thread.
pub fn verify(
    options: &RestoreOptions,
    trust: &Trust,
    phases: &mut Phases,
) -> Result<Verified<File>, Failure> {
    let len_bytes = file_len(&options.file);
    let running = phases.begin("verify", Some(len_bytes), Unit::Bytes);
    let verified = source::for_restore(&options.file, trust, options.cut, running.progress())?;
    check_deployment(verified.summary(), options)?;
    check_part(&verified, options)?;
    running.end(len_bytes);
    Ok(verified)
}

fn file_len(path: &Path) -> u64 {
    // Opening the file names whatever is wrong with it.
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// A cut before the first event would make an empty log, and with a rebuild an empty read model (trap 2).
fn check_part(verified: &Verified<File>, options: &RestoreOptions) -> Result<(), Failure> {
    if verified.part().records > 0 || verified.summary().records == 0 {
        return Ok(());
    }
    let hint =
        "Choose a later --through or --until; trstctl-dr verify shows the range of times and sequences.";
    Err(Failure::new(Class::Usage, "no event of the backup lies before the cut", hint)
        .in_file(options.file.display().to_string()))
}

/// A backup of another deployment is restored only when it is named.
fn check_deployment(summary: &Summary, options: &RestoreOptions) -> Result<(), Failure> {
    let (theirs, ours) = (&summary.header.deployment_id, &options.deployment_id);
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours && options.from_deployment.as_ref() != Some(theirs) => {
            Err(Failure::new(
                Class::Usage,
                format!("this is a backup of deployment {theirs:?}, and this is deployment {ours:?}"),
                format!("If that is meant, add --from-deployment {theirs}."),
            )
            .in_file(options.file.display().to_string()))
        }
        _ => Ok(()),
    }
}

/// Looks at the target and, with a database, at PostgreSQL; makes the plan.
pub async fn prepare(
    verified: Verified<File>,
    connect: ConnectOptions,
    options: RestoreOptions,
    mut phases: Phases,
    progress: Arc<dyn Progress>,
) -> Result<Prepared, Failure> {
    let summary = verified.summary().clone();
    let connection = Connection::connect(&connect).await?;
    let nats_version = connection.server().version.to_string();
    let log = JetStreamLog::of(connection.clone(), &options.stream);
    let settings = ledger_options(&options, &progress);
    let restore = Restore::new(connection, Source::new(verified), settings);
    let running = phases.begin("look at the target", None, Unit::Steps);
    let state = restore.plan().await?;
    let earlier = match state {
        TargetState::Equal | TargetState::EqualUnverified => Some(restore.written_earlier().await?),
        _ => None,
    };
    running.end(1);
    let database = match &options.database {
        Some(database) => Some(database.check().await?),
        None => None,
    };
    let target = Target {
        content: restore.content(),
        state: &state,
        numbering: earlier.as_ref().map_or_else(|| restore.numbering(), |earlier| Ok(earlier.numbering))?,
        is_exact: earlier.as_ref().map_or(options.method == Method::Archive, Written::is_exact),
    };
    let plan = plan(&summary, &target, &options, database.as_ref());
    Ok(Prepared { plan, summary, state, earlier, restore, log, database, nats_version, phases })
}

fn ledger_options(options: &RestoreOptions, progress: &Arc<dyn Progress>) -> ledger::RestoreOptions {
    let config = StreamConfig::new(&options.stream, SUBJECTS, options.replicas);
    let progress = Arc::clone(progress);
    ledger::RestoreOptions {
        method: options.method,
        new_sequences: options.new_sequences,
        progress: ledger::Progress::to(move |done| progress.done(done)),
        ..ledger::RestoreOptions::new(config, options.now)
    }
}

/// What the plan is about: the part of the backup, what stands in its place, and what the log will be.
struct Target<'a> {
    content: &'a Content,
    state: &'a TargetState,
    numbering: Numbering,
    /// Bit for bit the same as the backup.
    is_exact: bool,
}

impl Target<'_> {
    fn sequences(&self) -> String {
        let Content { first_sequence, last_sequence, records, .. } = self.content;
        match self.numbering {
            Numbering::Kept { .. } => format!("sequences {first_sequence} to {last_sequence}, gaps kept"),
            Numbering::New => {
                format!("new sequences 1 to {records}, instead of {first_sequence} to {last_sequence}")
            }
        }
    }
}

fn plan(
    summary: &Summary,
    target: &Target<'_>,
    options: &RestoreOptions,
    database: Option<&Checked>,
) -> Plan {
    let mut plan = Plan { warnings: warnings(summary, target, options), ..Plan::default() };
    let records = target.content.records;
    let read_back = rates::estimate_ms(records, rates::READ_BACK_EVENTS);
    if *target.state == TargetState::Equal {
        let sequences = target.sequences();
        plan.reads(
            format!("the log already holds these {records} events ({sequences}): nothing to write"),
            None,
        );
    } else {
        write_steps(&mut plan, target, options);
        if options.replicas > 1 {
            plan.reads(format!("wait until most of the {} replicas have it", options.replicas), None);
        }
        plan.reads("read the live log back and compare its root with the backup's", read_back);
    }
    match database {
        Some(database) => database.plan(&mut plan, records),
        None => plan
            .warnings
            .push("PostgreSQL is not contacted: run trstctl-dr rebuild before any server starts".into()),
    }
    plan
}

fn write_steps(plan: &mut Plan, target: &Target<'_>, options: &RestoreOptions) {
    let delete = |plan: &mut Plan, what: String| plan.writes("nats", format!("delete {what}"), None);
    let of_earlier = "what an earlier restore of this backup left";
    let mut missing = target.content.records;
    match target.state {
        TargetState::Empty | TargetState::Equal => {}
        TargetState::NeverWritten => {
            delete(plan, format!("the empty stream {}, which was never written", options.stream));
        }
        TargetState::Broken(difference) => delete(plan, format!("{of_earlier} ({difference})")),
        TargetState::Leaderless => delete(plan, format!("{of_earlier}: no server can lead it any more")),
        TargetState::Unfinished { records } if options.method == Method::Publish && *records > 0 => {
            plan.reads(
                format!("an earlier restore of this backup has written {records} events: go on after them"),
                None,
            );
            missing -= records;
        }
        TargetState::Unfinished { records } => delete(plan, format!("{of_earlier} ({records} events)")),
        TargetState::EqualUnverified => {
            plan.reads(
                "an earlier restore of this backup has written all of it: only the proof is missing",
                None,
            );
            return;
        }
    }
    let (way, rate) = match options.method {
        Method::Archive => ("as one archive", rates::ARCHIVE_EVENTS),
        Method::Publish => ("by publishing", rates::PUBLISH_EVENTS),
    };
    let what = match missing == target.content.records {
        true => format!("write {missing} events ({}) into {} {way}", target.sequences(), options.stream),
        false => format!("write the other {missing} events into {} {way}", options.stream),
    };
    plan.writes("nats", what, rates::estimate_ms(missing, rate));
}

fn warnings(summary: &Summary, target: &Target<'_>, options: &RestoreOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    if summary.header.version == FormatVersion::V1 {
        warnings.push("version 1 keeps no sequences, subjects or store times: they are made anew".to_owned());
    }
    if !target.is_exact {
        warnings
            .push("publishing keeps no store times; the restored log is not bit for bit the same".to_owned());
    }
    if target.numbering == Numbering::New {
        warnings.push(
            "every event gets a new sequence: what refers to a sequence of the lost log refers to another event, \
             and Nats-Expected-* header lines, which name old ones, are left out"
                .to_owned(),
        );
    }
    if !summary.authenticated {
        warnings.push(
            "the backup's authentication was not checked: damage is excluded, tampering is not".to_owned(),
        );
    }
    match (&summary.header.deployment_id, &options.deployment_id) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            warnings.push(format!("the backup is of another deployment, {theirs:?}"))
        }
        (None, _) | (_, None) => {
            warnings.push("the deployment was not compared: the backup or this host names none".to_owned())
        }
        _ => {}
    }
    warnings
}

impl Prepared {
    /// What [`Prepared::run`] will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the backup says.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What the restore makes.
    pub fn content(&self) -> &Content {
        self.restore.content()
    }

    /// Writes the log, proves it, and rebuilds the read model. When `stop` completes, it ends with `interrupted`; await
    /// that rather than drop this, for in a cluster what was begun of the log is removed first (within
    /// [`ledger::LONGEST_REMOVAL`]).
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> Result<RestoreReport, Failure> {
        let mut stop = pin!(stop);
        let written = self.write(stop.as_mut()).await?;
        tokio::select! {
            biased;
            report = self.finish(written) => report,
            () = stop => Err(Failure::new(
                Class::Interrupted,
                "stopped before the restored log was proven and the read model rebuilt",
                "Run the same command again: it goes on where this one stopped.",
            )),
        }
    }

    async fn finish(mut self, written: Written) -> Result<RestoreReport, Failure> {
        let proof = self.prove(&written).await?;
        let rebuild = match self.database.take() {
            Some(database) => {
                Some(rebuild::migrate_and_rebuild(&self.log, database, &mut self.phases).await?)
            }
            None => None,
        };
        let renumbered = written.numbering == Numbering::New;
        Ok(RestoreReport {
            sequences_are_new: renumbered || self.summary.header.version == FormatVersion::V1,
            expectations_left_out: written.expectations_left_out,
            exact: written.is_exact(),
            log: if proof.is_some() { LogOutcome::Restored } else { LogOutcome::Recognised },
            live: proof.map_or_else(|| written.expected().clone(), |proof| proof.live),
            summary: self.summary,
            rebuild,
            nats_version: self.nats_version,
            warnings: self.plan.warnings,
            phases: self.phases.into_report(),
        })
    }

    /// Writes what is missing, or says what an earlier run has written.
    async fn write(&mut self, stop: impl Future<Output = ()> + Send) -> Result<Written, Failure> {
        if let Some(earlier) = self.earlier.take() {
            return Ok(earlier);
        }
        let running = self.phases.begin("write the log", Some(self.restore.content().records), Unit::Events);
        let written = self.restore.write(&self.state, stop).await?;
        running.end(written.messages);
        Ok(written)
    }

    /// Reads the log back and takes its mark away; `None` for a log without a mark, which the plan has compared already.
    async fn prove(&mut self, written: &Written) -> Result<Option<Proven>, Failure> {
        if self.state == TargetState::Equal {
            return Ok(None);
        }
        let records = self.restore.content().records;
        if self.restore.is_replicated() {
            let running = self.phases.begin("replicate", Some(records), Unit::Events);
            self.restore.replicate().await?;
            running.end(records);
        }
        let running = self.phases.begin("read back, compare", Some(records), Unit::Events);
        let proven = self.restore.read_back(written).await?;
        self.restore.accept(&proven).await?;
        running.end(proven.live.records);
        Ok(Some(proven))
    }
}

#[cfg(test)]
mod tests {
    use trstctl_formats::Digest;

    use super::*;

    fn options(method: Method) -> RestoreOptions {
        RestoreOptions {
            file: PathBuf::new(),
            cut: Cut::All,
            method,
            new_sequences: Allow::No,
            stream: "LOG".to_owned(),
            replicas: 1,
            deployment_id: None,
            from_deployment: None,
            now: StoreTime(0),
            database: None,
        }
    }

    /// What the plan says of writing a log of 90 events in sequences 1 to 100.
    fn written(state: &TargetState, method: Method, numbering: Numbering) -> Vec<String> {
        let content = Content {
            records: 90,
            first_sequence: 1,
            last_sequence: 100,
            gaps: vec![(11, 20)],
            merkle_root: Digest([0; 32]),
        };
        let mut plan = Plan::default();
        let target = Target { content: &content, state, numbering, is_exact: method == Method::Archive };
        write_steps(&mut plan, &target, &options(method));
        plan.steps.into_iter().map(|step| step.what).collect()
    }

    #[test]
    fn plan_says_what_becomes_of_an_earlier_runs_work() {
        let kept = Numbering::Kept { first: 1 };
        let left = TargetState::Unfinished { records: 30 };
        assert_eq!(
            written(&left, Method::Archive, kept),
            [
                "delete what an earlier restore of this backup left (30 events)",
                "write 90 events (sequences 1 to 100, gaps kept) into LOG as one archive"
            ]
        );
        assert_eq!(
            written(&left, Method::Publish, Numbering::New),
            [
                "an earlier restore of this backup has written 30 events: go on after them",
                "write the other 60 events into LOG by publishing"
            ]
        );
        assert_eq!(written(&TargetState::Empty, Method::Archive, kept).len(), 1);
        assert_eq!(
            written(&TargetState::EqualUnverified, Method::Archive, kept),
            ["an earlier restore of this backup has written all of it: only the proof is missing"]
        );
    }
}
