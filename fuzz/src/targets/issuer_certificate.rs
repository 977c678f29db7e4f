//! The certificate of the CA that is to sign, which comes with each request.

use jiff::Timestamp;
use trstctl_signer::fuzzing;
use trstctl_signer_protocol::v1::{Algorithm, CertificateKind, SignCertificateRequest, SignCrlRequest};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Outcome;
use super::authority::{INTERMEDIATE, both_ways, key_of, read, refused, request};
use crate::der;

const LEAF: &[u8] = include_bytes!("../../signed/leaf.der");
const CRL: &[u8] = include_bytes!("../../signed/intermediate.crl.der");

/// A CA's certificate with which a good leaf, or a good CRL, may be signed is one of that CA: of its name, key, key identifier, and that use. The
/// bytes are tried as they are, and as DER without lengths.
pub fn issuer_certificate(input: &[u8]) -> Outcome {
    let mut shapes = Vec::new();
    for issuer in both_ways(input) {
        let asked = SignCertificateRequest {
            issuer_certificate: issuer.clone(),
            ..request(CertificateKind::Leaf, der::first_part(LEAF).expect("it was signed"))
        };
        let leaf = fuzzing::certificate(&asked, Algorithm::P256, key_of(INTERMEDIATE)).map(drop);
        let asked = SignCrlRequest {
            key_id: String::new(),
            tbs: der::first_part(CRL).expect("it was signed").to_vec(),
            issuer_certificate: issuer.clone(),
            epoch: 1,
        };
        let now = Timestamp::from_second(1_800_000_000).expect("it is a moment");
        let crl = fuzzing::crl(&asked, Algorithm::P256, key_of(INTERMEDIATE), now).map(drop);
        if leaf.is_ok() || crl.is_ok() {
            must_be(&issuer, leaf.is_ok(), crl.is_ok());
        }
        let words = ["bad_issuer", "wrong_issuer", "wrong_key_identifier", "bad_validity"];
        shapes.extend([leaf, crl].map(|answer| match answer {
            Ok(()) => Outcome::from("fit"),
            Err(refusal) => refused(&refusal, &words),
        }));
    }
    Outcome::from(shapes.join(" / "))
}

fn must_be(der: &[u8], signs_leaf: bool, signs_crl: bool) {
    let (rest, found) = X509Certificate::from_der(der).expect("another parser reads a CA's certificate");
    let good = read(INTERMEDIATE);
    assert!(rest.is_empty() && found.signature_algorithm == found.tbs_certificate.signature);
    assert_eq!(found.subject().as_raw(), good.subject().as_raw());
    assert_eq!(found.public_key().raw, good.public_key().raw);
    assert!(found.is_ca());
    let usage = found.key_usage().expect("there is one").expect("a key usage").value;
    assert!(!signs_leaf || usage.key_cert_sign());
    assert!(!signs_crl || usage.crl_sign());
    let identifier = |of: &X509Certificate<'_>| {
        let found = of.get_extension_unique(&x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER);
        found.expect("it is there once").expect("it is there").value.to_vec()
    };
    assert_eq!(identifier(&found), identifier(&good));
}
