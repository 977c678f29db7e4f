//! The words of every verdict: what happened, where, and what to do next.

use super::ends::{LastText, Trailer};
use super::facts::LineFault;
use crate::backup::FormatVersion;
use crate::{Class, Failure};

const OTHER_COPY: &str = "Do not restore from this file. Fetch it again from where it is kept and compare sizes; if that copy \
                          fails too, take the backup before it.";
const OTHER_BACKUP: &str = "Do not restore from this file: whoever wrote it, wrote it wrong. Take another backup, and keep this \
                            one for the investigation.";
const INCIDENT: &str = "Treat it as a security incident: keep the file as evidence, and restore from another copy whose \
                        authentication holds.";

fn placed(mut failure: Failure, line: Option<u64>, offset: u64, sequence: Option<u64>) -> Failure {
    failure.place.line = line;
    failure.place.offset = Some(offset);
    failure.place.sequence = sequence;
    failure
}

fn at_last(failure: Failure, last: &LastText<'_>) -> Failure {
    placed(failure, last.line, last.offset, None)
}

fn at_fault(failure: Failure, fault: &LineFault) -> Failure {
    placed(failure, Some(fault.line), fault.offset, fault.sequence)
}

pub(crate) fn no_header(first: &[u8]) -> Failure {
    let what = if first.is_empty() { "it is empty" } else { "its first line is not the header of one" };
    let message = format!("This is no backup of the event log: {what}.");
    Failure::new(Class::NotABackup, message, "Check the file's name and where it came from.").at(1, 0)
}

pub(crate) fn ends_in_header(len: u64) -> Failure {
    Failure::new(Class::Truncated, "The file ends inside its first line.", OTHER_COPY).at(1, len)
}

pub(crate) fn header(class: Class, fault: &LineFault) -> Failure {
    let (message, hint) = match class {
        Class::NewerVersion => (
            "The backup has a newer format version than this program reads (1 and 2).".to_owned(),
            "Use the release of trstctl-dr that wrote it, or a newer one.",
        ),
        Class::NotABackup => (
            format!("This is no backup that can be read: in its header, {}.", fault.what),
            "Check the file's name and where it came from.",
        ),
        _ => (format!("The header is damaged: {}.", fault.what), OTHER_COPY),
    };
    at_fault(Failure::new(class, message, hint), fault)
}

pub(crate) fn no_last_line(offset: u64) -> Failure {
    let message = "The file ends after its header: there is no trailer.";
    placed(Failure::new(Class::Truncated, message, OTHER_COPY), Some(1), offset, None)
}

pub(crate) fn ends_in_line(last: &LastText<'_>) -> Failure {
    let message = "The file ends inside a line: the rest of it, and the trailer, are missing.";
    at_last(Failure::new(Class::Truncated, message, OTHER_COPY), last)
}

pub(crate) fn no_trailer(last: &LastText<'_>) -> Failure {
    let message = "The last line is not the trailer: the end of the file is missing.";
    at_last(Failure::new(Class::Truncated, message, OTHER_COPY), last)
}

pub(crate) fn trailer_over_limit(last: &LastText<'_>, version: FormatVersion) -> Failure {
    let message = format!("The trailer is longer than {} bytes, the longest line.", version.max_line_bytes());
    at_last(Failure::new(Class::Damaged, message, OTHER_COPY), last)
}

pub(crate) fn trailer(last: &LastText<'_>, fault: &LineFault) -> Failure {
    let message = format!("The trailer is damaged: {}.", fault.what);
    placed(Failure::new(Class::Damaged, message, OTHER_COPY), last.line, fault.offset, None)
}

pub(crate) fn wrong_key(last: &LastText<'_>, found: &str, ours: &str) -> Failure {
    let message = format!("The backup was authenticated with key {found}; the key of this host is {ours}.");
    let hint = "After a rotation, give the older audit signing key with --key-file FILE.";
    at_last(Failure::new(Class::WrongKey, message, hint), last)
}

pub(crate) fn key_missing(last: &LastText<'_>, trailer: &Trailer) -> Failure {
    let which = match trailer {
        Trailer::V2(trailer) => trailer.authentication.as_ref().map(|a| format!(" (key {})", a.key_id)),
        Trailer::V1(_) => None,
    };
    let which = which.unwrap_or_default();
    let message = format!("The backup is authenticated{which}, and this host has no key to check that with.");
    let hint = "Give the audit signing key with --key-file FILE. --allow-unverified-mac accepts the file on its checksum, \
                which shows damage and not tampering.";
    at_last(Failure::new(Class::KeyMissing, message, hint), last)
}

pub(crate) fn unkeyed(last: &LastText<'_>, host_has_key: bool) -> Failure {
    let message = if host_has_key {
        "The backup is not authenticated, and this host expects one that is: somebody may have cut the MAC off."
    } else {
        "The backup is not authenticated: its checksum shows damage, and not tampering."
    };
    let hint = "If you know where this file comes from, accept it with --allow-unkeyed.";
    at_last(Failure::new(Class::Unkeyed, message, hint), last)
}

pub(crate) fn tampered_trailer(last: &LastText<'_>) -> Failure {
    let message = "The trailer was changed after it was written: its MAC does not hold, though the key is the right one.";
    at_last(Failure::new(Class::Tampered, message, INCIDENT), last)
}

pub(crate) fn tampered_v1(last: &LastText<'_>) -> Failure {
    let message = "The checksum holds and the MAC does not: either the file was changed and its checksum computed again, or \
                   it was authenticated with another key (version 1 cannot tell which).";
    let hint = "If the audit signing key was rotated since, try the older one with --key-file FILE. Otherwise treat it as a \
                security incident: keep the file as evidence, and restore from another copy.";
    at_last(Failure::new(Class::Tampered, message, hint), last)
}

pub(crate) fn damaged(last: &LastText<'_>, first: Option<&LineFault>, tenants: &[String]) -> Failure {
    let mut message =
        String::from("The file is damaged: its content does not have the checksum of its trailer.");
    if let Some(fault) = first {
        message += &format!(" The first fault is in line {}: {}.", fault.line, fault.what);
    }
    if !tenants.is_empty() {
        message += &format!(" Tenants whose records differ: {}.", list(tenants));
    }
    let failure = Failure::new(Class::Damaged, message, OTHER_COPY);
    match first {
        Some(fault) => at_fault(failure, fault),
        None => at_last(failure, last),
    }
}

pub(crate) fn malformed(fault: &LineFault) -> Failure {
    let message = format!("The checksum holds, but line {} is no record: {}.", fault.line, fault.what);
    at_fault(Failure::new(Class::MalformedRecord, message, OTHER_BACKUP), fault)
}

pub(crate) fn inconsistent(fault: &LineFault) -> Failure {
    let message =
        format!("The checksum holds, but line {} contradicts the rest: {}.", fault.line, fault.what);
    at_fault(Failure::new(Class::Inconsistent, message, OTHER_BACKUP), fault)
}

pub(crate) fn inconsistent_trailer(last: &LastText<'_>, what: &str) -> Failure {
    let message = format!("The checksum holds, but the trailer contradicts the records: {what}.");
    at_last(Failure::new(Class::Inconsistent, message, OTHER_BACKUP), last)
}

pub(crate) fn beyond_end(asked: u64, end: u64, version: FormatVersion) -> Failure {
    let message = match version {
        FormatVersion::V1 => format!("--through {asked} asks for more records than the {end} of the backup."),
        FormatVersion::V2 => format!("--through {asked} lies beyond {end}, the last sequence of the backup."),
    };
    Failure::new(Class::Usage, message, "Choose a lower one, or leave --through out to take everything.")
}

pub(crate) fn no_message(sequence: u64, expected: &str) -> Failure {
    let message = format!("Record {sequence} cannot be restored: expected {expected}.");
    Failure::new(Class::MalformedRecord, message, OTHER_BACKUP).at_sequence(sequence)
}

pub(crate) fn changed_between_passes(line: Option<u64>, offset: u64) -> Failure {
    let message =
        "The file changed after it was verified: what was read the second time is not what was checked.";
    let hint = "Nothing of it may be used. Find out who writes to the file, copy it to a place of its own, and run the same \
                command again.";
    placed(Failure::new(Class::Damaged, message, hint), line, offset, None)
}

pub(crate) fn stopped_in_second_pass() -> Failure {
    let message = "Stopped while the backup was read the second time.";
    Failure::new(Class::Interrupted, message, "Run the same command again.")
}

/// Some names of a list, in quotes, and how many there are besides.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A text that stands in the file: whoever made the file must not write to the reader's terminal, nor fill it.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut escaped = text.chars().flat_map(char::escape_debug);
    let shown: String = escaped.by_ref().take(SHOWN).collect();
    let more = if escaped.next().is_some() { "…" } else { "" };
    format!("\"{shown}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_file_are_quoted_escaped_and_cut() {
        assert_eq!(list(&[String::new(), String::from("a b")]), "\"\", \"a b\"");
        assert_eq!(quoted("a\u{1b}[2J\n\u{202e}\""), "\"a\\u{1b}[2J\\n\\u{202e}\\\"\"");
        assert_eq!(quoted(&"x".repeat(80)), format!("\"{}\"", "x".repeat(80)));
        assert_eq!(quoted(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(80)));
        assert_eq!(list(&vec![String::from("t"); 7]), "\"t\", \"t\", \"t\", \"t\", \"t\" and 2 more");
    }
}
