//! Sampled certificates: who issued each, and whether the journal knows its serial.

use std::collections::BTreeSet;

use trstctl_formats::{Class, Failure};

use super::Line;
use super::authorities::{Authorities, Issuer};
use crate::x509::Certificate;

const CHECK: &str = "leaf";

/// More are not sampled: each is asked about on a command line.
const MAX_LEAVES: usize = 1_000;

/// What the signer's child is to be asked about.
///
/// # Errors
/// [`Class::Usage`] for more certificates than are sampled.
pub(super) fn serials(leaves: &[Certificate]) -> Result<Vec<String>, Failure> {
    if leaves.len() > MAX_LEAVES {
        let message = format!("{} leaves were given, and at most {MAX_LEAVES} are looked at", leaves.len());
        return Err(Failure::new(Class::Usage, message, "Give a sample of them."));
    }
    let serials: BTreeSet<&str> = leaves.iter().map(|leaf| leaf.serial.as_str()).collect();
    Ok(serials.into_iter().filter(|serial| is_askable(serial)).map(str::to_owned).collect())
}

/// A signer gives no other serials: positive, at most 20 bytes with their sign.
fn is_askable(serial: &str) -> bool {
    !serial.is_empty() && (serial.len() < 40 || (serial.len() == 40 && serial.as_bytes()[0] < b'8'))
}

pub(super) fn examine(leaves: &[Certificate], authorities: &Authorities<'_>) -> Vec<Line> {
    if leaves.is_empty() {
        let to_do = "Give some certificates that the CAs issued, old and new, with --leaf FILE.";
        return vec![Line::not_checked(CHECK, "", "none was given", to_do)];
    }
    leaves.iter().map(|leaf| line(leaf, authorities)).collect()
}

fn line(leaf: &Certificate, authorities: &Authorities<'_>) -> Line {
    let name = leaf.name.as_str();
    match authorities.issuer_of(|key| leaf.is_by(key)) {
        Issuer::Key(id) => of_key(leaf, id, authorities),
        Issuer::Elsewhere(certificate) => Line::failed(
            CHECK,
            name,
            format!("{} signed it, whose key is not in this store", certificate.subject),
            "Find the key store of this CA.",
        ),
        Issuer::Nobody => Line::failed(
            CHECK,
            name,
            format!("none of these keys and CA certificates signed it; it names {}", leaf.issuer),
            "Find the key store and the certificate of that CA, or give a certificate that a CA of this store issued.",
        ),
    }
}

fn of_key(leaf: &Certificate, id: &str, authorities: &Authorities<'_>) -> Line {
    let signed = format!("key {id} signed it; serial {}", leaf.serial);
    if !authorities.has_journal() {
        let found = format!("{signed}; no journal holds to look it up in");
        return Line::not_checked(CHECK, &leaf.name, found, "Mend the line of the journal.");
    }
    let known = authorities.report.serials.iter().find(|known| known.serial == leaf.serial);
    let has = |keys: &[String]| keys.iter().any(|key| key == id);
    match known {
        Some(known) if has(&known.revoked_by) => {
            Line::ok(CHECK, &leaf.name, format!("{signed}, which the journal knows as revoked"))
        }
        Some(known) if has(&known.signed_by) => {
            Line::ok(CHECK, &leaf.name, format!("{signed}, which the journal knows"))
        }
        _ => {
            let number =
                authorities.last_crl_number(id).map_or(String::from("N"), |number| number.to_string());
            Line::failed(
                CHECK,
                &leaf.name,
                format!(
                    "{signed}, which the journal does not know: the journal is older than what was issued"
                ),
                format!(
                    "Take a newer journal from a backup, or list what was issued since in a file: trstctl-signer floor --ca {id} --crl-number {number} \
                     --serials FILE (with --keystore, --kek, --by and --reason)"
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_that_no_signer_gives_are_not_asked_about() {
        for (serial, is) in [
            ("01", true),
            ("", false),
            (&"7f".repeat(20), true),
            (&"80".repeat(20), false),
            (&"01".repeat(21), false),
            (&"ff".repeat(19), true),
        ] {
            assert_eq!(is_askable(serial), is, "{serial}");
        }
    }
}
