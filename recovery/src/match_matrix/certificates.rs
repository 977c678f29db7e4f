//! Each CA certificate and its key, both ways.

use trstctl_signer_protocol::probe::{Key, Verdict};

use super::Line;
use super::authorities::Authorities;
use crate::x509::Certificate;

const CHECK: &str = "CA certificate";

pub(super) fn examine(authorities: &Authorities<'_>) -> Vec<Line> {
    let mut lines: Vec<Line> =
        authorities.certificates.iter().map(|certificate| of_certificate(certificate, authorities)).collect();
    lines.extend(authorities.ca_keys().filter_map(|key| of_key(key, authorities)));
    lines
}

fn of_certificate(certificate: &Certificate, authorities: &Authorities<'_>) -> Line {
    let subject = certificate.name.as_str();
    let whose = &certificate.subject;
    match authorities.key_of(&certificate.public_key) {
        Some(key) if key.verdict == Verdict::Open => {
            Line::ok(CHECK, subject, format!("{whose}: its key is {}", id(key)))
        }
        Some(key) => Line::failed(
            CHECK,
            subject,
            format!("{whose}: its key is {}, which does not open: {}", id(key), key.verdict),
            "Mend the line of that sealed key.",
        ),
        None => Line::failed(
            CHECK,
            subject,
            format!("{whose}: no key of this store has its public key"),
            "Find the key store of this CA, or its certificate that belongs to these keys. Make no new CA in its place.",
        ),
    }
}

/// A CA's key without a certificate is named. A key that does not open has its own line.
fn of_key(key: &Key, authorities: &Authorities<'_>) -> Option<Line> {
    let is_certified = authorities
        .certificates
        .iter()
        .any(|certificate| authorities.key_of(&certificate.public_key).is_some_and(|of| of.file == key.file));
    (!is_certified && key.verdict == Verdict::Open).then(|| {
        let found = "none of the certificates given is that of this key";
        Line::not_checked(CHECK, id(key), found, "Give the CA's certificate with --ca-certificate FILE.")
    })
}

fn id(key: &Key) -> &str {
    key.key_id.as_deref().unwrap_or(&key.file)
}
