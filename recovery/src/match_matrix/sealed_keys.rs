//! What the signer's child said: the KEK, the journal, and each sealed key.

use std::path::Path;

use trstctl_signer_protocol::probe::{Journal, Key, Report, Verdict};

use super::Line;

pub(super) fn examine(report: &Report, keystore: &Path) -> Vec<Line> {
    let mut lines = vec![kek(report, keystore), journal(report)];
    lines.extend(report.keys.iter().map(sealed_key));
    lines.extend(report.missing.iter().map(|id| missing(id)));
    lines.extend(report.without_floor.iter().map(|id| without_floor(id)));
    lines
}

/// Of the KEK alone: whether it is the one that the keys name.
fn kek(report: &Report, keystore: &Path) -> Line {
    let given = report.kek_id.as_str();
    let all = report.keys.len();
    let open = report.keys.iter().filter(|key| key.verdict == Verdict::Open).count();
    if all == 0 {
        let found = format!("{} holds no sealed key (*.key)", keystore.display());
        return Line::failed("KEK", given, found, "Name the signer's key store, or a copy of it.");
    }
    let mut others: Vec<&str> = report
        .keys
        .iter()
        .filter(|key| key.verdict == Verdict::WrongKek)
        .filter_map(|key| key.kek_id.as_deref())
        .collect();
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        let found = format!("it opens {open} of {all} sealed keys; none names another KEK");
        return Line::ok("KEK", given, found);
    }
    let found = format!(
        "it opens {open} of {all} sealed keys; others are sealed under the KEK {}",
        others.join(", ")
    );
    Line::failed(
        "KEK",
        given,
        found,
        format!("Fetch the KEK {} from where it is kept.", others.join(" and ")),
    )
}

fn journal(report: &Report) -> Line {
    match &report.journal {
        Journal::Holds { entries, head } => Line::ok(
            "journal",
            "",
            format!("it holds: {entries} entries, head {}…", &head[..head.len().min(16)]),
        ),
        Journal::Missing { what } | Journal::Broken { what } => Line::failed(
            "journal",
            "",
            what.clone(),
            "Restore journal and journal.head from the same backup as the keys. Where there is none, trstctl-signer floor starts a new one above \
             what was published.",
        ),
    }
}

fn sealed_key(key: &Key) -> Line {
    let check = "sealed key";
    let subject = key.key_id.as_deref().unwrap_or(&key.file);
    let to_do = match key.verdict {
        Verdict::Open => return Line::ok(check, subject, format!("{}; {}", kind(key), key.what)),
        Verdict::WrongKek => {
            "Fetch the KEK that the key names, or the key's file from the backup that belongs to this KEK."
        }
        Verdict::Damaged => "Take this file from another copy of the key store.",
        Verdict::Forged => {
            "Somebody changed this file: take it from a copy that is out of their reach, and find out who it was."
        }
        Verdict::Mismatch => "Take keys and journal from one backup, each file under its own name.",
        Verdict::Unreadable => "Let this user read the file, and copy links as the files that they lead to.",
    };
    Line::failed(check, subject, format!("{}: {}", key.verdict, key.what), to_do)
}

fn kind(key: &Key) -> String {
    format!("{}, {}", key.algorithm.as_deref().unwrap_or("unknown"), key.purposes.join(" and "))
}

fn missing(id: &str) -> Line {
    let found = "the journal knows this key, and there is no file for it";
    Line::failed("sealed key", id, found, format!("Put {id}.key from a backup into the key store."))
}

fn without_floor(id: &str) -> Line {
    let found = "its journal was begun anew and does not know what this CA signed: it signs nothing until that is stated";
    let to_do = format!(
        "Find the number of the newest CRL that it published: trstctl-signer floor --ca {id} --crl-number N (with --keystore, --kek, --by and --reason)"
    );
    Line::failed("floor", id, found, to_do)
}
