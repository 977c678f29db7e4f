//! Finds the head that the next backup into a folder must extend.
//!
//! It is the one that reaches furthest since the last accepted break, not merely the newest: a later backup of a part
//! (`--through`) must not lower the bar. A head that cannot be believed is never passed over in silence.

use std::fs;
use std::path::{Path, PathBuf};

use trstctl_formats::head::{Head, HeadTrust, MAX_SET_ASIDE, TrustedHead};
use trstctl_formats::{Class, Digest, Failure, StoreTime, head};

use super::{HEAD_SUFFIX, head_bytes};
use crate::source;

/// What to do with heads that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbelievable {
    /// Refuse.
    Refuse,
    /// Name them, so that the new history passes them over (`--new-history`).
    SetAside,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The head to extend.
    pub newest: Option<(PathBuf, TrustedHead)>,
    /// Name and SHA-256 of heads that could not be believed.
    pub set_aside: Vec<(String, Digest)>,
}

/// A head of this log that is not believed, and why.
struct Doubtful {
    path: PathBuf,
    sha256: Digest,
    /// What it says, where that may be as it was written: then it matters only if nothing reaches further.
    claims: Option<(u64, StoreTime)>,
    failure: Failure,
}

/// Looks at every `.head` file of the folder.
///
/// # Errors
/// The verdict on a head that cannot be believed; `usage` when the folder cannot be read.
pub fn newest_in(
    folder: &Path,
    stream: &str,
    deployment_id: Option<&str>,
    trust: &HeadTrust,
    unbelievable: Unbelievable,
) -> Result<Found, Failure> {
    let (mut trusted, mut doubtful) = (Vec::new(), Vec::new());
    for path in heads_in(folder)? {
        match look(&path, stream, deployment_id, trust)? {
            Look::Another => {}
            Look::Trusted(head) => trusted.push((path, head)),
            Look::Doubtful(head) => doubtful.push(head),
        }
    }
    doubtful.retain(|doubt| !is_set_aside(doubt, &trusted));
    let epoch =
        trusted.iter().filter(|(_, t)| t.head.new_history.is_some()).map(|(_, t)| t.head.created_at).max();
    let in_epoch = |created_at: StoreTime| epoch.is_none_or(|epoch| created_at >= epoch);
    let reach = |head: &Head| (head.event_cut_sequence, head.created_at);
    let newest = trusted
        .into_iter()
        .filter(|(_, trusted)| in_epoch(trusted.head.created_at))
        .max_by_key(|(_, trusted)| reach(&trusted.head));
    let best = newest.as_ref().map(|(_, trusted)| reach(&trusted.head));
    // What reaches no further than a head that is believed cannot raise the bar.
    doubtful.retain(|doubt| {
        doubt.claims.is_none_or(|claims| in_epoch(claims.1) && best.is_none_or(|best| claims > best))
    });
    match (doubtful.first(), unbelievable) {
        (Some(doubt), Unbelievable::Refuse) => Err(doubt.failure.clone()),
        (Some(doubt), _) if doubtful.len() > MAX_SET_ASIDE => Err(too_many(doubt)),
        _ => Ok(Found { newest, set_aside: doubtful.iter().map(Doubtful::name).collect() }),
    }
}

enum Look {
    /// Of another log.
    Another,
    Trusted(TrustedHead),
    Doubtful(Doubtful),
}

fn look(path: &Path, stream: &str, deployment_id: Option<&str>, trust: &HeadTrust) -> Result<Look, Failure> {
    let bytes = head_bytes(path)?;
    let doubtful = |claims, failure| {
        let failure = source::named(failure, path);
        Look::Doubtful(Doubtful { path: path.to_owned(), sha256: head::sha256(&bytes), claims, failure })
    };
    let unchecked = match Head::read(&bytes) {
        Ok(unchecked) => unchecked,
        Err(failure) => return Ok(doubtful(None, failure)),
    };
    if !unchecked.claims().is_of(stream, deployment_id) {
        return Ok(Look::Another);
    }
    let claims = (unchecked.claims().event_cut_sequence, unchecked.claims().created_at);
    Ok(match unchecked.check(trust) {
        Ok(trusted) => Look::Trusted(trusted),
        Err(failure) if failure.class == Class::Tampered => doubtful(None, failure),
        Err(failure) => doubtful(Some(claims), failure),
    })
}

fn is_set_aside(doubt: &Doubtful, trusted: &[(PathBuf, TrustedHead)]) -> bool {
    let named = doubt.name();
    trusted.iter().filter_map(|(_, t)| t.head.new_history.as_ref()).any(|h| h.set_aside.contains(&named))
}

impl Doubtful {
    fn name(&self) -> (String, Digest) {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        (name.unwrap_or_default(), self.sha256)
    }
}

fn too_many(doubt: &Doubtful) -> Failure {
    let failure = Failure::new(
        Class::Usage,
        format!("more than {MAX_SET_ASIDE} tree heads of this folder cannot be believed"),
        "Move them to another folder, and keep them for the investigation.",
    );
    source::named(failure, &doubt.path)
}

/// The heads of a folder by name; none when there is no such folder yet.
fn heads_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the folder {} cannot be searched for tree heads: {error}", folder.display());
        Failure::new(
            Class::Usage,
            message,
            "Make it readable, or name what the backup must extend with --after.",
        )
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut heads = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.to_string_lossy().ends_with(HEAD_SUFFIX) && path.is_file() {
            heads.push(path);
        }
    }
    heads.sort();
    Ok(heads)
}
