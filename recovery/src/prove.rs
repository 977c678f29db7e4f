//! Prove: an earlier backup, or its tree head, is the beginning of a later one's history.
//!
//! Both files are verified whole first. Then the later one's records go by once: they are held against the earlier ones, and
//! make the consistency proof of RFC 9162, which is checked as a stranger would check it, from the two heads alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trstctl_formats::backup::{BackupKey, FormatVersion, Verified};
use trstctl_formats::history::{Difference, DifferenceKind};
use trstctl_formats::merkle::{self, Prover, Tree, TreeHead};
use trstctl_formats::{Class, Digest, Failure, StoreTime};

use crate::history::{Check, Earlier, Stop, head_trust, is_head, read_head};
use crate::progress::{Phase, Phases, Progress, Unit};
use crate::source::{self, Trust};

/// What is compared.
pub struct ProveOptions {
    /// The earlier backup or tree head.
    pub old: PathBuf,
    /// The later backup.
    pub new: PathBuf,
    /// Keys that may have made a head's MAC, besides that of the trust.
    pub keys: Vec<BackupKey>,
}

/// What one side says.
#[derive(Clone, Debug)]
pub struct Side {
    /// The file.
    pub path: PathBuf,
    /// `head` or `backup`.
    pub kind: &'static str,
    /// Format of the backup.
    pub version: FormatVersion,
    /// When the backup began.
    pub created_at: StoreTime,
    /// The deployment, when stated.
    pub deployment_id: Option<String>,
    /// The stream; empty in version 1.
    pub stream: String,
    /// Last sequence (version 1: number of records).
    pub last: u64,
    /// Records and root; in version 1 the root is computed over the record lines as they stand in the file.
    pub tree: TreeHead,
    /// Whether its MAC was checked and holds.
    pub authenticated: bool,
}

/// What was shown.
#[derive(Debug)]
pub struct ProveReport {
    /// The earlier side.
    pub old: Side,
    /// The later side.
    pub new: Side,
    /// The consistency proof, when the earlier side is the beginning of the later one.
    pub verdict: Result<Vec<Digest>, Difference>,
    /// What took how long.
    pub phases: Vec<Phase>,
}

/// The earlier side, opened.
enum Old {
    Known(Earlier),
    Version1(Box<Verified<File>>),
}

/// Compares the two.
///
/// # Errors
/// The verdict on a file that is not believed; `usage` for two that cannot be compared, and when the later one is the older.
pub fn prove(
    options: &ProveOptions,
    trust: &Trust,
    progress: Arc<dyn Progress>,
) -> Result<ProveReport, Failure> {
    let mut phases = Phases::new(progress);
    let running = phases.begin("verify the old one", None, Unit::Bytes);
    let (mut old, mut old_side) = open_old(options, trust, running.progress())?;
    running.end(0);
    if is_head(&options.new)? {
        return Err(new_is_head(&options.new));
    }
    let len_bytes = options.new.metadata().ok().map(|metadata| metadata.len());
    let running = phases.begin("verify the new one", len_bytes, Unit::Bytes);
    let mut new = source::to_look_into(&options.new, trust, running.progress())?;
    running.end(len_bytes.unwrap_or_default());
    let mut new_side = side_of(&options.new, &new);
    comparable(&old_side, &new_side)?;
    let running = phases.begin("compare", Some(new_side.tree.len), Unit::Events);
    let verdict = compare(&mut old, &mut old_side, &mut new, &mut new_side, running.progress())?;
    running.end(new_side.tree.len);
    Ok(ProveReport { old: old_side, new: new_side, verdict, phases: phases.into_report() })
}

fn open_old(options: &ProveOptions, trust: &Trust, progress: &dyn Progress) -> Result<(Old, Side), Failure> {
    let path = &options.old;
    if is_head(path)? {
        let trusted = read_head(path)?.check(&head_trust(trust, &options.keys));
        let trusted = trusted.map_err(|failure| source::named(failure, path))?;
        let head = &trusted.head;
        let side = Side {
            path: path.clone(),
            kind: "head",
            version: FormatVersion::V2,
            created_at: head.created_at,
            deployment_id: head.deployment_id.clone(),
            stream: head.stream.clone(),
            last: head.event_cut_sequence,
            tree: head.tree_head(),
            authenticated: trusted.authenticated,
        };
        return Ok((Old::Known(Earlier::Head(Box::new(trusted))), side));
    }
    let verified = source::to_look_into(path, trust, progress)?;
    let side = side_of(path, &verified);
    Ok(match side.version {
        FormatVersion::V1 => (Old::Version1(Box::new(verified)), side),
        FormatVersion::V2 => (Old::Known(Earlier::of_verified(path, verified)?), side),
    })
}

fn side_of(path: &Path, verified: &Verified<File>) -> Side {
    let summary = verified.summary();
    let header = &summary.header;
    let root = summary.content.as_ref().map_or_else(|| Tree::new().root(), |content| content.merkle_root);
    Side {
        path: path.to_owned(),
        kind: "backup",
        version: header.version,
        created_at: header.created_at,
        deployment_id: header.deployment_id.clone(),
        stream: header.stream.clone(),
        last: if header.version == FormatVersion::V1 { summary.records } else { header.event_cut_sequence },
        tree: TreeHead { len: summary.records, root },
        authenticated: summary.authenticated,
    }
}

/// Whether a comparison can mean anything.
fn comparable(old: &Side, new: &Side) -> Result<(), Failure> {
    let usage = |message: String, hint: &str| Err(Failure::new(Class::Usage, message, hint));
    if old.version != new.version {
        let number = |side: &Side| side.version.number();
        return usage(
            format!("the old one has format version {}, the new one {}", number(old), number(new)),
            "Compare two backups of the same version: their lines spell the same event differently.",
        );
    }
    let same_deployment =
        old.deployment_id.as_ref().zip(new.deployment_id.as_ref()).is_none_or(|(old, new)| old == new);
    if old.stream != new.stream || !same_deployment {
        let name = |side: &Side| {
            let deployment = side.deployment_id.as_deref().unwrap_or("a deployment that is not stated");
            format!("stream {:?} of {deployment:?}", side.stream)
        };
        return usage(
            format!("they are of different logs: {} and {}", name(old), name(new)),
            "Compare two backups of one log.",
        );
    }
    if old.last > new.last && old.created_at >= new.created_at {
        return usage(
            format!(
                "{} is the older one: it was made earlier and ends at {}, and {} at {}",
                new.path.display(),
                new.last,
                old.path.display(),
                old.last
            ),
            "Give the two in the other order: the old one first.",
        );
    }
    Ok(())
}

/// Runs over all records of the new one, and of the old one if it is a file; both are re-hashed to their ends.
fn compare(
    old: &mut Old,
    old_side: &mut Side,
    new: &mut Verified<File>,
    new_side: &mut Side,
    progress: &dyn Progress,
) -> Result<Result<Vec<Digest>, Difference>, Failure> {
    const LOOK_EVERY: u64 = 4096;
    let mut check = match old {
        Old::Known(earlier) => Check::new(earlier)?,
        Old::Version1(verified) => Check::of_records(verified.records()?, old_side.last),
    };
    let mut prover = Prover::consistency(old_side.tree.len, new_side.tree.len).ok();
    let (mut old_tree, mut new_tree) = (Tree::new(), Tree::new());
    let mut difference = None;
    let mut records = new.records().map_err(|failure| source::named(failure, &new_side.path))?;
    while let Some(record) = records.next().map_err(|failure| source::named(failure, &new_side.path))? {
        if record.number.is_multiple_of(LOOK_EVERY) {
            progress.done(record.number);
            if progress.interrupted() {
                return Err(stopped());
            }
        }
        let leaf = record.leaf();
        new_tree.push(leaf);
        if record.number <= old_side.tree.len {
            old_tree.push(leaf);
        }
        if let Some(prover) = &mut prover {
            prover.push(leaf);
        }
        if difference.is_none() {
            difference = differs(check.push(record.sequence(), leaf))?;
        }
    }
    if difference.is_none() {
        difference = differs(check.finish(new_side.last))?;
    }
    check.drain()?;
    new_side.tree = new_tree.head();
    if old_side.version == FormatVersion::V1 && difference.is_none() {
        old_side.tree = old_tree.head();
    }
    match difference {
        Some(difference) => Ok(Err(difference)),
        None => proven(prover, old_side, new_side).map(Ok),
    }
}

fn differs(result: Result<(), Stop>) -> Result<Option<Difference>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(Stop::Differs(difference)) => Ok(Some(difference)),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// The proof, checked from the two heads.
fn proven(prover: Option<Prover>, old: &Side, new: &Side) -> Result<Vec<Digest>, Failure> {
    let proof = prover.and_then(|prover| prover.finish().ok());
    let proof = proof.ok_or_else(|| crate::internal("the records agree, and there is no proof of it"))?;
    merkle::verify_consistency(&old.tree, &new.tree, &proof).map_err(|error| {
        crate::internal(&format!("the records agree, and the proof does not hold: {error}"))
    })?;
    Ok(proof)
}

impl ProveReport {
    /// The failure of a history that differs.
    pub fn failure(&self) -> Option<Failure> {
        let difference = self.verdict.as_ref().err()?;
        let (old, new) = (self.old.path.display(), self.new.path.display());
        let mut message = format!("{old} is not the beginning of {new}: {difference}");
        let hint = match difference.kind {
            DifferenceKind::Missing => {
                message.push_str("; a change of history that somebody must explain");
                "Find out who deleted it and why. Keep the old backup: it is the proof of what was there."
            }
            DifferenceKind::Lost | DifferenceKind::EndsBefore => {
                "Either the new one is a backup of a part (--through), or the log has lost acknowledged events. Keep the old backup."
            }
            DifferenceKind::Changed | DifferenceKind::Added => {
                "The log was written anew from there: a restore of an older backup with other events since, or tampering. Keep both files."
            }
        };
        Some(Failure::new(Class::HistoryDiffers, message, hint).at_sequence(difference.from))
    }
}

fn new_is_head(path: &Path) -> Failure {
    let name = path.display().to_string();
    let message = format!("{name} is a tree head: it has no records from which the proof could be made");
    let hint = "Give the backup as the second file. The first one may be a tree head.";
    Failure::new(Class::Usage, message, hint).in_file(name)
}

fn stopped() -> Failure {
    let message = "stopped while the two were compared";
    Failure::new(Class::Interrupted, message, "Nothing was changed. Run the same command again.")
}
