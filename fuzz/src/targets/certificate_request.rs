//! What is to be signed as a certificate.

use trstctl_signer::fuzzing::{self, Refused};
use trstctl_signer_protocol::v1::{Algorithm, CertificateKind};
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Version};

use super::Outcome;
use super::authority::{INTERMEDIATE, ROOT, both_ways, key_of, read, refused, request};

/// The words of refusals that come of a certificate's own content.
const WORDS: &[&str] = &[
    "bad_encoding",
    "bad_version",
    "bad_serial",
    "wrong_algorithm",
    "bad_validity",
    "bad_name",
    "wrong_issuer",
    "bad_key",
    "bad_extension",
    "wrong_key_identifier",
    "wrong_constraints",
    "wrong_usage",
];

/// What may be signed is what another parser takes for a certificate of that kind, of that CA. Tried as a leaf, as a CA below the root and as
/// a root; the bytes as they are, and as DER without lengths.
pub fn certificate_request(input: &[u8]) -> Outcome {
    let mut shapes = Vec::new();
    for tbs in both_ways(input) {
        for kind in [CertificateKind::Leaf, CertificateKind::Intermediate, CertificateKind::Root] {
            shapes.push(match asked(kind, &tbs) {
                Ok(serial) => {
                    must_be(kind, &tbs, &serial);
                    Outcome::from("fit")
                }
                Err(refusal) => refused(&refusal, WORDS),
            });
        }
    }
    Outcome::from(shapes.join(" / "))
}

fn asked(kind: CertificateKind, tbs: &[u8]) -> Result<String, Refused> {
    let signatory = if kind == CertificateKind::Leaf { INTERMEDIATE } else { ROOT };
    fuzzing::certificate(&request(kind, tbs), Algorithm::P256, key_of(signatory))
}

fn must_be(kind: CertificateKind, der: &[u8], serial: &str) {
    assert!(asked(kind, &der[..der.len() - 1]).is_err(), "a byte less is fit too");
    assert!(asked(kind, &[der, b"\0"].concat()).is_err(), "a byte more is fit too");
    let (rest, tbs) = TbsCertificate::from_der(der).expect("another parser reads what may be signed");
    assert!(rest.is_empty() && tbs.version() == X509Version::V3);
    assert_eq!(tbs.signature.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    assert!(tbs.signature.parameters.is_none() && tbs.issuer_uid.is_none() && tbs.subject_uid.is_none());
    is_serial(tbs.raw_serial(), serial);
    let signatory = read(if kind == CertificateKind::Leaf { INTERMEDIATE } else { ROOT });
    let is_self = kind == CertificateKind::Root;
    let issuer = if is_self { &tbs.subject } else { signatory.subject() };
    assert_eq!(tbs.issuer.as_raw(), issuer.as_raw());
    assert_eq!(tbs.subject_pki.raw == signatory.public_key().raw, is_self);
    let (begins, ends) = (tbs.validity.not_before.timestamp(), tbs.validity.not_after.timestamp());
    let of = signatory.validity();
    assert!(begins < ends);
    assert!(is_self || (of.not_before.timestamp() <= begins && ends <= of.not_after.timestamp()));
    has_the_extensions_of(kind, &tbs);
}

/// A serial of 1 to 20 bytes, above 0, is the one that the journal would note.
fn is_serial(raw: &[u8], noted: &str) {
    assert!((1..=20).contains(&raw.len()) && raw[0] & 0x80 == 0, "{raw:x?}");
    let significant = &raw[raw.iter().take_while(|byte| **byte == 0).count()..];
    assert!(!significant.is_empty(), "zero");
    assert_eq!(hex::encode(significant), noted);
}

fn has_the_extensions_of(kind: CertificateKind, tbs: &TbsCertificate<'_>) {
    let all = tbs.extensions_map().expect("no extension is there twice");
    for extension in all.values() {
        let parsed = extension.parsed_extension();
        assert!(parsed.error().is_none(), "{parsed:?}");
        assert!(!extension.critical || !parsed.unsupported(), "{extension:?}");
    }
    let is_ca = tbs.basic_constraints().expect("there is one").is_some_and(|found| found.value.ca);
    assert_eq!(is_ca, kind != CertificateKind::Leaf);
    let usage = tbs.key_usage().expect("there is one").expect("a key usage").value;
    assert_eq!(usage.key_cert_sign(), is_ca, "{usage:?}");
    if kind == CertificateKind::Intermediate {
        let constraints = tbs.basic_constraints().expect("there is one").expect("of a CA").value;
        assert_eq!(constraints.path_len_constraint, Some(0), "the root allows one CA below it");
    }
    let server = tbs.extended_key_usage().expect("there is one").is_some_and(|found| found.value.server_auth);
    assert_eq!(server, kind == CertificateKind::Leaf);
    let has_names = tbs.subject_alternative_name().expect("there is one").is_some();
    assert!(has_names || kind != CertificateKind::Leaf);
    let is_odd = |parsed: &ParsedExtension<'_>| matches!(parsed, ParsedExtension::NameConstraints(_));
    assert!(is_ca || !tbs.extensions().iter().any(|extension| is_odd(extension.parsed_extension())));
}
