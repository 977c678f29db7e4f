//! Each backup, and the keys that should open and authenticate it.

use std::path::{Path, PathBuf};

use trstctl_formats::backup::{Allow, BackupKey};
use trstctl_formats::container::{self, Container, Identity, parse_identities};
use trstctl_formats::{Class, Failure};

use super::{AtHand, Line};
use crate::progress::{Phases, Unit};
use crate::source::{self, Trust};
use crate::{secret, words};

const AUDIT_KEY: &str = "audit key";
const IDENTITY: &str = "identity";

/// # Errors
/// [`Class::Interrupted`]; anything else is a line.
pub(super) fn examine(at_hand: &AtHand, phases: &mut Phases) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for backup in &at_hand.backups {
        lines.push(audit_key(at_hand, backup, phases)?);
    }
    if at_hand.backups.is_empty() {
        let to_do = "Give the newest keyed backup with --backup FILE, and its key with --key-file FILE.";
        lines.push(Line::not_checked(AUDIT_KEY, "", "no backup was given", to_do));
    }
    for identity in &at_hand.identities {
        lines.extend(of_identity(identity, &at_hand.backups));
    }
    if at_hand.identities.is_empty() {
        let to_do = "Give the private keys that open backups with --identity FILE.";
        lines.push(Line::not_checked(IDENTITY, "", "none was given", to_do));
    }
    Ok(lines)
}

/// Whether the backup is authenticated by this key, by reading all of it.
fn audit_key(at_hand: &AtHand, backup: &Path, phases: &mut Phases) -> Result<Line, Failure> {
    let name = backup.display().to_string();
    let Some(path) = &at_hand.audit_key else {
        let to_do = "Give the audit signing key with --key-file FILE.";
        return Ok(Line::not_checked(AUDIT_KEY, name, "no key was given", to_do));
    };
    let key = match secret::read(path, "audit signing key") {
        Ok(bytes) => BackupKey::from_key_file(&bytes),
        Err(failure) => return Ok(Line::of_failure(AUDIT_KEY, name, &failure)),
    };
    // An identity that cannot be read has its own line.
    let identities: Vec<Identity> =
        at_hand.identities.iter().filter_map(|path| read(path).ok()).flatten().collect();
    if let Err(failure) = source::open(backup).and_then(|file| container::open(file, &identities)) {
        return Ok(match failure.class {
            Class::KeyMissing | Class::WrongKey => Line::not_checked(
                AUDIT_KEY,
                name,
                failure.message,
                "Give an identity that opens it with --identity FILE.",
            ),
            _ => Line::of_failure(AUDIT_KEY, name, &failure),
        });
    }
    let trust = Trust { key, unverified_mac: Allow::No, unkeyed: Allow::No, identities };
    let len_bytes = backup.metadata().ok().map(|metadata| metadata.len());
    let running = phases.begin("verify", len_bytes, Unit::Bytes);
    match source::inspect(backup, &trust, running.progress()) {
        Ok(summary) => {
            running.end(len_bytes.unwrap_or(summary.len_bytes));
            let events = words::plural(summary.records, "record");
            Ok(Line::ok(AUDIT_KEY, name, format!("it is whole, and authenticated by this key; {events}")))
        }
        Err(failure) if failure.class == Class::Interrupted => Err(failure),
        Err(failure) => {
            let found = format!("{}: {}", failure.class.name(), failure.message);
            Ok(Line::failed(AUDIT_KEY, name, found, failure.hint))
        }
    }
}

fn of_identity(path: &Path, backups: &[PathBuf]) -> Vec<Line> {
    let name = path.display().to_string();
    let identities = match read(path) {
        Ok(identities) => identities,
        Err(failure) => return vec![Line::of_failure(IDENTITY, name, &failure)],
    };
    if backups.is_empty() {
        let to_do = "Give an encrypted backup with --backup FILE.";
        return vec![Line::not_checked(IDENTITY, name, "no backup was given", to_do)];
    }
    backups.iter().map(|backup| opens(&name, &identities, backup)).collect()
}

/// Whether the header and the first bytes open.
fn opens(name: &str, identities: &[Identity], backup: &Path) -> Line {
    let shown = backup.display();
    match source::open(backup).and_then(|file| container::open(file, identities)) {
        Ok((Container::Age | Container::AgeZstd, _)) => Line::ok(IDENTITY, name, format!("it opens {shown}")),
        Ok(_) => {
            let found = format!("{shown} is not encrypted");
            Line::not_checked(IDENTITY, name, found, "Give an encrypted backup with --backup FILE.")
        }
        Err(failure) => {
            let found = format!("{shown}: {}: {}", failure.class.name(), failure.message);
            Line::failed(IDENTITY, name, found, failure.hint)
        }
    }
}

fn read(path: &Path) -> Result<Vec<Identity>, Failure> {
    let bytes = secret::read(path, "backup identity")?;
    parse_identities(&bytes).map_err(|error| secret::bad_keys(&error, &path.display().to_string()))
}
