//! No secret lies inside the set that it protects: whoever got the set would have the key with it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trstctl_formats::Failure;
use zeroize::Zeroizing;

use super::{AtHand, Line};
use crate::leak::{self, Limits, Searched, Sought, Unsearched, Why};
use crate::progress::{Phases, Unit};
use crate::{secret, words};

const OUTSIDE: &str = "secret outside";
const SET: &str = "set";

/// So many places of a secret are named in its line.
const MAX_NAMED: usize = 3;

/// How an age identity begins in its text form.
const AGE_SECRET_KEY: &str = "AGE-SECRET-KEY-1";

/// A secret by the file that it should be in alone.
#[derive(Clone, Copy)]
struct Kept<'a> {
    kind: Kind,
    file: &'a Path,
}

#[derive(Clone, Copy)]
enum Kind {
    Kek,
    AuditKey,
    Identity,
}

/// # Errors
/// [`Class::Interrupted`](trstctl_formats::Class::Interrupted); anything else is a line.
pub(super) fn examine(at_hand: &AtHand, phases: &mut Phases) -> Result<Vec<Line>, Failure> {
    if at_hand.set.is_empty() {
        let to_do = "Give the files and folders of the backup set with --set PATH.";
        return Ok(vec![Line::not_checked(OUTSIDE, "", "no set was given to search", to_do)]);
    }
    let (mut lines, mut owners, mut sought) = (Vec::new(), Vec::new(), Vec::new());
    for kept in all(at_hand) {
        match kept.sought() {
            Ok(forms) => {
                owners.extend(forms.iter().map(|_| kept.file));
                sought.extend(forms);
            }
            Err(line) => lines.push(line),
        }
    }
    let running = phases.begin("search", None, Unit::Bytes);
    let searched = leak::search(&at_hand.set, &sought, &Limits::default(), running.progress())?;
    running.end(searched.bytes);
    let mut files = owners.clone();
    files.dedup();
    lines.extend(files.into_iter().map(|file| outside(file, &owners, &searched)));
    lines.extend(searched.unsearched.iter().map(not_searched));
    Ok(lines)
}

fn all(at_hand: &AtHand) -> Vec<Kept<'_>> {
    let mut all = vec![Kept { kind: Kind::Kek, file: &at_hand.kek }];
    all.extend(at_hand.audit_key.iter().map(|file| Kept { kind: Kind::AuditKey, file }));
    all.extend(at_hand.identities.iter().map(|file| Kept { kind: Kind::Identity, file }));
    all
}

impl Kept<'_> {
    /// What to look for; a line says why nothing can be.
    fn sought(self) -> Result<Vec<Sought>, Line> {
        let name = self.file.display().to_string();
        let what = match self.kind {
            Kind::Kek => "KEK",
            Kind::AuditKey => "audit signing key",
            Kind::Identity => "backup identity",
        };
        let bytes =
            secret::read(self.file, what).map_err(|failure| Line::of_failure(OUTSIDE, &name, &failure))?;
        let forms = match self.kind {
            Kind::Kek => Sought::new(&bytes).map(|sought| vec![sought]),
            Kind::AuditKey => audit_key(&bytes),
            Kind::Identity => identities(&bytes),
        };
        forms.ok_or_else(|| {
            let found = "it cannot be told from other bytes: too short, or of a kind that is not known";
            Line::not_checked(
                OUTSIDE,
                name,
                found,
                "Give a key of at least 16 bytes, or search for it by other means.",
            )
        })
    }
}

/// The key as its file holds it, without what ends its last line; and what its PEM stands for, if it is PEM.
fn audit_key(file: &[u8]) -> Option<Vec<Sought>> {
    let whole = Sought::new(file.trim_ascii())?;
    let of_pem = std::str::from_utf8(file).ok().and_then(pem).and_then(|key| Sought::new(&key));
    Some([whole].into_iter().chain(of_pem).collect())
}

/// The native identities of a file, or the one SSH key; `None` when there is neither.
fn identities(file: &[u8]) -> Option<Vec<Sought>> {
    let text = std::str::from_utf8(file).ok()?;
    if let Some(key) = pem(text) {
        return Some(vec![Sought::new(&key)?]);
    }
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with(AGE_SECRET_KEY));
    let native = lines.map(|line| {
        let key = Zeroizing::new(bech32::decode(line).ok()?.1);
        Some(Sought::new(&key)?.or_text(line))
    });
    native.collect::<Option<Vec<_>>>().filter(|native| !native.is_empty())
}

/// What a text in PEM stands for.
fn pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_pem = text.trim_start().starts_with("-----BEGIN");
    let body = text.lines().map(str::trim).filter(|line| !line.starts_with("-----") && !line.contains(':'));
    let body = Zeroizing::new(body.collect::<String>());
    STANDARD.decode(body.as_bytes()).ok().filter(|_| is_pem).map(Zeroizing::new)
}

fn outside(file: &Path, owners: &[&Path], searched: &Searched) -> Line {
    let name = file.display().to_string();
    let mut traces: Vec<_> = searched.traces.iter().filter(|trace| owners[trace.sought] == file).collect();
    // One key may be found by several of its names.
    traces.dedup_by(|a, b| a.place == b.place);
    let what = format!("{}, {}", words::plural(searched.files, "file"), words::bytes(searched.bytes));
    if !traces.is_empty() {
        let named: Vec<String> =
            traces.iter().take(MAX_NAMED).map(|trace| format!("{} ({})", trace.place, trace.form)).collect();
        let more = traces.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let found = format!("it lies in {}{more}", named.join(", "));
        let to_do = "Take it out of the set and of every copy. Whoever had a copy has the key: make a new one (a KEK: trstctl-signer rewrap).";
        return Line::failed(OUTSIDE, name, found, to_do);
    }
    if !searched.unsearched.is_empty() {
        let found = format!("no trace in {what}, and not all could be searched");
        return Line::not_checked(OUTSIDE, name, found, "Mend the lines set, then search again.");
    }
    let closed = match searched.encrypted {
        0 => String::new(),
        number => format!("; encrypted and closed to the search: {number}"),
    };
    Line::ok(OUTSIDE, name, format!("no trace in {what}{closed}"))
}

fn not_searched(unsearched: &Unsearched) -> Line {
    let place = unsearched.place.to_string();
    match &unsearched.why {
        Why::UnknownKind(kind) => {
            let found = format!("{kind} is not opened here: only what is not compressed in it was searched");
            Line::not_checked(SET, place, found, "Unpack it, and search what was in it.")
        }
        Why::Expands => {
            let found =
                "it expands beyond all measure, a decompression bomb perhaps: it was not searched to its end";
            Line::failed(
                SET,
                place,
                found,
                "Find out what it is, and take it out of the set; or unpack it, and search what was in it.",
            )
        }
        Why::TooDeep => {
            let found = "archives within archives, too deep to be opened";
            Line::failed(SET, place, found, "Unpack it, and search what was in it.")
        }
        Why::Broken(error) => {
            let found = format!("it was not searched to its end: {error}");
            Line::failed(
                SET,
                place,
                found,
                "Take this file from another copy, let this user read it, or unpack it and search what was in it.",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_of_a_file_is_sought_and_an_ssh_key_as_a_whole() {
        let native = include_bytes!("../../../formats/tests/containers/keys/identity.key");
        let ssh = include_bytes!("../../../formats/tests/containers/keys/ssh_ed25519.key");
        assert_eq!(identities(native).map(|sought| sought.len()), Some(1));
        assert_eq!(identities(&[&native[..], b"\n", native].concat()).map(|sought| sought.len()), Some(2));
        assert_eq!(identities(ssh).map(|sought| sought.len()), Some(1));
        assert!(
            identities(b"# a comment alone\n").is_none() && identities(b"AGE-SECRET-KEY-1NONE").is_none()
        );
    }
}
