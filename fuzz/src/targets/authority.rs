//! The CA whose keys the signer's targets ask: certificates that a signer once signed; the keys are gone, and are not needed.

use trstctl_signer::fuzzing::Refused;
use trstctl_signer_protocol::v1::{CertificateKind, LeafUsage, SignCertificateRequest};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Outcome, refusal};
use crate::der;

/// The root, and the CA below it, DER.
pub const ROOT: &[u8] = include_bytes!("../../signed/root.der");
pub const INTERMEDIATE: &[u8] = include_bytes!("../../signed/intermediate.der");

/// A certificate that is one.
pub fn read(certificate: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(certificate).expect("it was signed").1
}

/// The public key of a certificate that is one.
pub fn key_of(certificate: &[u8]) -> &[u8] {
    read(certificate).tbs_certificate.subject_pki.raw
}

/// A request for a leaf of the CA below, of the root, or for a CA below the root.
pub fn request(kind: CertificateKind, tbs: &[u8]) -> SignCertificateRequest {
    let (issuer_certificate, usages) = match kind {
        CertificateKind::Leaf => (INTERMEDIATE.to_vec(), vec![LeafUsage::ServerAuth.into()]),
        CertificateKind::Intermediate => (ROOT.to_vec(), vec![]),
        _ => (vec![], vec![]),
    };
    SignCertificateRequest {
        key_id: String::new(),
        tbs: tbs.to_vec(),
        issuer_certificate,
        epoch: 1,
        kind: kind.into(),
        usages,
    }
}

/// What every refusal must be: one of the words of `signer.proto`, with words for a person.
pub fn refused(refused: &Refused, words: &[&str]) -> Outcome {
    assert!(words.contains(&refused.word.as_str()), "{refused:?}");
    assert!(!refused.message.is_empty() && !refused.message.contains('\n'), "{refused:?}");
    Outcome::from(format!("{}: {}", refused.word, refusal::shape_of(&refused.message)))
}

/// The bytes as they are, and what they stand for as text without lengths.
pub fn both_ways(input: &[u8]) -> [Vec<u8>; 2] {
    [input.to_vec(), der::of_text(input)]
}
