//! What is to be signed as a CRL.

use jiff::Timestamp;
use trstctl_signer::fuzzing::{self, Crl, Refused};
use trstctl_signer_protocol::v1::{Algorithm, SignCrlRequest};
use x509_parser::prelude::{FromDer, ParsedExtension};
use x509_parser::revocation_list::TbsCertList;

use super::Outcome;
use super::authority::{INTERMEDIATE, both_ways, key_of, read, refused};

/// The words of refusals that come of a CRL's own content.
const WORDS: &[&str] = &[
    "bad_encoding",
    "wrong_algorithm",
    "wrong_issuer",
    "bad_validity",
    "bad_number",
    "bad_entry",
    "bad_extension",
    "wrong_key_identifier",
];

/// The signer's clock, seconds since 1970.
const NOW_S: i64 = 1_800_000_000;

/// What may be signed is what another parser takes for a complete CRL of that CA, with that number and those serials. The bytes are tried as
/// they are, and as DER without lengths.
pub fn crl_request(input: &[u8]) -> Outcome {
    let shapes = both_ways(input).map(|tbs| match asked(&tbs) {
        Ok(crl) => {
            must_be(&tbs, &crl);
            Outcome::from(format!("fit, {} serials", crl.serials.len().min(3)))
        }
        Err(refusal) => refused(&refusal, WORDS),
    });
    Outcome::from(shapes.join(" / "))
}

fn asked(tbs: &[u8]) -> Result<Crl, Refused> {
    let request = SignCrlRequest {
        key_id: String::new(),
        tbs: tbs.to_vec(),
        issuer_certificate: INTERMEDIATE.to_vec(),
        epoch: 1,
    };
    let now = Timestamp::from_second(NOW_S).expect("it is a moment");
    fuzzing::crl(&request, Algorithm::P256, key_of(INTERMEDIATE), now)
}

fn must_be(der: &[u8], crl: &Crl) {
    assert!(asked(&der[..der.len() - 1]).is_err(), "a byte less is fit too");
    assert!(asked(&[der, b"\0"].concat()).is_err(), "a byte more is fit too");
    let (rest, tbs) = TbsCertList::from_der(der).expect("another parser reads what may be signed");
    assert!(rest.is_empty() && tbs.version.is_some_and(|version| version.0 == 1));
    assert_eq!(tbs.signature.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    assert_eq!(tbs.issuer.as_raw(), read(INTERMEDIATE).subject().as_raw());
    let begins = tbs.this_update.timestamp();
    assert!(begins <= NOW_S + 3600 && tbs.next_update.is_some_and(|next| begins < next.timestamp()));
    let mut serials: Vec<_> = tbs.revoked_certificates.iter().map(|entry| entry.raw_serial()).collect();
    serials.iter_mut().for_each(|raw| *raw = &raw[raw.iter().take_while(|byte| **byte == 0).count()..]);
    let mut serials: Vec<_> = serials.into_iter().map(hex::encode).collect();
    let mut noted = crl.serials.clone();
    serials.sort();
    noted.sort();
    assert_eq!(serials, noted);
    assert!(serials.windows(2).all(|pair| pair[0] != pair[1]), "{serials:?}");
    assert!(tbs.revoked_certificates.iter().all(|entry| entry.revocation_date.timestamp() <= begins));
    let ids: Vec<_> = tbs.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    assert!(
        ids.len() == 2 && ids.contains(&"2.5.29.20".into()) && ids.contains(&"2.5.29.35".into()),
        "{ids:?}"
    );
    assert!(tbs.extensions().iter().all(|extension| !extension.critical));
    let number = tbs.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLNumber(number) => Some(number.to_string()),
        _ => None,
    });
    assert_eq!(number, Some(crl.number.to_string()));
}
