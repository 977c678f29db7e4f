//! Each CRL: who signed it, and whether the journal goes as far.

use std::collections::BTreeSet;

use super::Line;
use super::authorities::{Authorities, Issuer, floor};
use crate::x509::Crl;

const CHECK: &str = "CRL";

pub(super) fn examine(crls: &[Crl], authorities: &Authorities<'_>) -> Vec<Line> {
    let mut covered = BTreeSet::new();
    let mut lines: Vec<Line> = crls
        .iter()
        .map(|crl| match authorities.issuer_of(|key| crl.is_by(key)) {
            Issuer::Key(id) => {
                covered.insert(id);
                of_key(crl, id, authorities)
            }
            Issuer::Elsewhere(certificate) => Line::failed(
                CHECK,
                &crl.name,
                format!("{} signed it, whose key is not in this store", certificate.subject),
                "Find the key store of this CA.",
            ),
            Issuer::Nobody => nobody(crl, authorities),
        })
        .collect();
    let without = authorities.report.authorities.iter().filter_map(|authority| {
        let number = authority.last_crl_number?;
        (!covered.contains(authority.key_id.as_str())).then(|| {
            let found = format!(
                "the journal's last CRL of this CA has the number {number}; none was given to compare"
            );
            Line::not_checked(
                CHECK,
                &authority.key_id,
                found,
                "Fetch the CRL that is published, and give it with --crl FILE.",
            )
        })
    });
    lines.extend(without);
    if lines.is_empty() {
        let to_do = "Give the newest CRL of each CA with --crl FILE.";
        lines.push(Line::not_checked(CHECK, "", "none was given, and the journal knows of none", to_do));
    }
    lines
}

fn of_key(crl: &Crl, id: &str, authorities: &Authorities<'_>) -> Line {
    let name = crl.name.as_str();
    let Some(number) = crl.number else {
        let to_do = "Fetch the CRL that this CA published: every one of it has a number.";
        return Line::failed(CHECK, name, format!("key {id} signed it, and it has no number"), to_do);
    };
    let signed = format!("key {id} signed it; number {number}");
    if !authorities.has_journal() {
        let found = format!("{signed}; no journal holds to compare that with");
        return Line::not_checked(
            CHECK,
            name,
            found,
            format!("Mend the line of the journal; without one, {}", lower(&floor(id, number))),
        );
    }
    match authorities.last_crl_number(id) {
        Some(last) if number == last => Line::ok(CHECK, name, format!("{signed}, the journal's last")),
        Some(last) if number < last => {
            Line::ok(CHECK, name, format!("{signed}; the journal knows a newer one, {last}"))
        }
        last => {
            let known = last.map_or(String::from("none"), |last| last.to_string());
            let found = format!(
                "{signed}, and the last that the journal knows is {known}: the journal is older than what was published"
            );
            Line::failed(
                CHECK,
                name,
                found,
                format!(
                    "Take a newer journal from a backup, or go on above it: {}",
                    lower(&floor(id, number))
                ),
            )
        }
    }
}

fn nobody(crl: &Crl, authorities: &Authorities<'_>) -> Line {
    let issuer = &crl.issuer;
    match authorities.named(issuer) {
        Some(_) => Line::failed(
            CHECK,
            &crl.name,
            format!(
                "it names {issuer}, and the key of that CA did not sign it: it was changed, or another CA goes by the same name"
            ),
            "Fetch the CRL again from where it is published.",
        ),
        None => Line::failed(
            CHECK,
            &crl.name,
            format!("none of these keys and CA certificates signed it; it names {issuer}"),
            "Give the CRL of a CA of this store, and its certificate with --ca-certificate FILE.",
        ),
    }
}

/// The sentence behind another one.
fn lower(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
