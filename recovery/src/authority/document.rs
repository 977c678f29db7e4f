//! Certificates and CRLs as bytes: one in a file, read strictly, and what they are put together of.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use trstctl_formats::{Class, Failure};
use x509_cert::AlgorithmIdentifier;
use x509_cert::der::asn1::{Any, ObjectIdentifier, OctetString};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, DateTime, Decode, Encode, Header, Tag};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use super::key::Algorithm;
use crate::x509::file::{self, Kind};

/// Bytes that a line of PEM stands for: it has 64 characters (RFC 7468, 2).
const PEM_LINE_BYTES: usize = 48;

/// The DER of the only one in a file, PEM or DER.
///
/// # Errors
/// A file that cannot be read, or holds none, several, or something else.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, Failure> {
    let mut ders = file::read(path, kind, |_, der| Some(der.to_vec()))?;
    match (ders.pop(), ders.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err(unusable(path, "it holds several, and one was expected")),
    }
}

/// The failure to use a file as what it was named for.
pub(super) fn unusable(path: &Path, why: &str) -> Failure {
    let name = path.display().to_string();
    let hint = "Name a file with one certificate or CRL, as PEM or DER.";
    Failure::new(Class::Usage, format!("{name} cannot be used: {why}"), hint).in_file(name)
}

/// As PEM.
pub(super) fn to_pem(kind: Kind, der: &[u8]) -> String {
    let label = kind.label();
    let lines: String = der.chunks(PEM_LINE_BYTES).map(|line| STANDARD.encode(line) + "\n").collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// Reads all of `bytes`, if they are what would be written for what was read.
pub(super) fn strict<T>(bytes: &[u8]) -> Option<T>
where
    T: for<'a> Decode<'a> + Encode,
{
    let read = T::from_der(bytes).ok()?;
    (read.to_der().ok()? == bytes).then_some(read)
}

/// `SEQUENCE { parts }`
pub(super) fn sequence(parts: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    let content = parts.concat();
    let header = Header::new(Tag::Sequence, content.len().try_into()?).to_der()?;
    Ok([header, content].concat())
}

/// An extension.
pub(super) fn extension<T: AssociatedOid + Encode>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// As UTCTime through 2049, as GeneralizedTime from then on (RFC 5280, 4.1.2.5); whole seconds.
pub(super) fn time(instant: Timestamp) -> der::Result<Time> {
    let since_1970 = Duration::from_secs(u64::try_from(instant.as_second()).unwrap_or(0));
    Ok(Time::from(DateTime::from_unix_duration(since_1970)?))
}

/// The same back.
pub(super) fn instant(time: Time) -> Timestamp {
    let second = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// How the signatures of a key of this algorithm are named (RFC 5758, 8410, 4055, 9881).
pub(super) fn signature_algorithm(algorithm: Algorithm) -> AlgorithmIdentifier {
    let (oid, parameters) = match algorithm {
        Algorithm::P256 => ("1.2.840.10045.4.3.2", None),
        Algorithm::P384 => ("1.2.840.10045.4.3.3", None),
        Algorithm::Rsa3072 | Algorithm::Rsa4096 => ("1.2.840.113549.1.1.11", Some(Any::null())),
        Algorithm::Ed25519 => ("1.3.101.112", None),
        Algorithm::MlDsa65 => ("2.16.840.1.101.3.4.3.18", None),
    };
    AlgorithmIdentifier { oid: ObjectIdentifier::new_unwrap(oid), parameters }
}

/// What DER has no form for; everything that is typed was checked before.
pub(super) fn unwritable() -> Failure {
    crate::internal("what is to be signed has no form in DER")
}
