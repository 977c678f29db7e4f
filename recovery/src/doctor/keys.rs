//! Secret files, recipients and identities: each read as a command would read it, and what it means when there is none.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use trstctl_formats::Failure;
use trstctl_formats::container::{self, Compression, Identity, Recipient};

use super::{Check, SecretFile, Site};
use crate::{secret, words};

pub(super) fn examine(site: &Site) -> Vec<Check> {
    let mut checks: Vec<Check> = site.secrets.iter().map(secret_file).collect();
    let recipients = recipients(site.recipients_file.as_deref());
    checks.push(match &recipients {
        Ok(recipients) if recipients.is_empty() => Check::warning(
            "recipients",
            "none: backups are not encrypted",
            "Set TRSTCTL_BACKUP_RECIPIENTS_FILE to a file with an age recipient on each line.",
        ),
        Ok(recipients) => Check::ok(
            "recipients",
            format!("backups are encrypted to {}", words::plural(recipients.len() as u64, "recipient")),
        ),
        Err(failure) => Check::failed("recipients", failure),
    });
    let identities = site.trust.as_ref().map_or(&[][..], |trust| &trust.identities);
    checks.push(identity(&recipients.unwrap_or_default(), identities));
    checks
}

fn secret_file(file: &SecretFile) -> Check {
    let Some(path) = &file.path else { return absent(file) };
    match secret::read(path, file.what) {
        Ok(_) => owner(file.name, path),
        Err(failure) => Check::failed(file.name, &failure),
    }
}

fn absent(file: &SecretFile) -> Check {
    match file.name {
        "audit key" => Check::warning(
            file.name,
            "none: backups detect damage, not tampering",
            "Set TRSTCTL_AUDIT_SIGNING_KEY_FILE.",
        ),
        _ => Check::not_checked(file.name, format!("no {} is configured", file.what)),
    }
}

/// Whoever owns a secret file may change it.
fn owner(name: &'static str, path: &Path) -> Check {
    let shown = path.display();
    let Ok(metadata) = path.metadata() else {
        return Check::not_checked(name, format!("{shown} has gone meanwhile"));
    };
    let found = format!("{shown}, mode {:04o}, readable", metadata.mode() & 0o7777);
    let ours = rustix::process::geteuid().as_raw();
    if [0, ours].contains(&metadata.uid()) {
        return Check::ok(name, found);
    }
    let to_do = format!("chown it to this user or root: user {} can change it.", metadata.uid());
    Check::warning(name, format!("{found}, owned by user {}", metadata.uid()), to_do)
}

fn recipients(path: Option<&Path>) -> Result<Vec<Recipient>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    secret::read_recipients(path)
}

/// Tried on a few bytes: can this host open what it encrypts?
fn identity(recipients: &[Recipient], identities: &[Identity]) -> Check {
    let name = "identity";
    match (recipients.is_empty(), identities.is_empty()) {
        (true, true) => Check::not_checked(name, "backups are not encrypted, and no identity is configured"),
        (false, true) => Check::ok(
            name,
            "none on this host: it cannot read its own backups. Be sure that whoever restores can",
        ),
        (true, false) => Check::ok(name, "configured, for encrypted backups of other hosts"),
        (false, false) if opens(recipients, identities) => {
            Check::ok(name, "it opens what is encrypted to the recipients")
        }
        (false, false) => Check::problem(
            name,
            "it does not open what is encrypted to the recipients",
            "Add the identity's recipient to TRSTCTL_BACKUP_RECIPIENTS_FILE, or name the identity that fits.",
        ),
    }
}

fn opens(recipients: &[Recipient], identities: &[Identity]) -> bool {
    const TEXT: &[u8] = b"{trstctl-dr doctor";
    let sealed = container::seal(Vec::new(), Compression::None, recipients)
        .and_then(|mut seal| seal.write_all(TEXT).and_then(|()| seal.finish()));
    let Ok(sealed) = sealed else { return false };
    let Ok((_, mut plain)) = container::open(sealed.as_slice(), identities) else { return false };
    let mut opened = Vec::new();
    plain.read_to_end(&mut opened).is_ok() && opened == TEXT
}
