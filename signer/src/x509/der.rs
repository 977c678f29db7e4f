//! DER, read strictly, and the parts that certificates and CRLs share.

use der::asn1::{Any, ObjectIdentifier};
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::AlgorithmIdentifier;
use x509_cert::time::Time;

use super::{Rule, Unfit};
use crate::algorithm::Algorithm;

/// The last year that a UTCTime states (RFC 5280, 4.1.2.5).
const LAST_SHORT_YEAR: u16 = 2049;

/// The latest moment that the journal writes, whole seconds; what is beyond it is written as it.
const LATEST_SECOND: i64 = 253_402_207_200;

/// Reads all of `bytes`, if they are what would be written for what was read.
pub(super) fn strict<T>(bytes: &[u8]) -> Option<T>
where
    T: for<'a> Decode<'a> + Encode,
{
    let read = T::from_der(bytes).ok()?;
    (read.to_der().ok()? == bytes).then_some(read)
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

/// Seconds since 1970.
pub(super) fn seconds(time: Time) -> u64 {
    time.to_unix_duration().as_secs()
}

/// Refuses GeneralizedTime before 2050.
pub(super) fn in_right_form(time: Time) -> Result<(), Unfit> {
    let is_wrong = matches!(time, Time::GeneralTime(_)) && time.to_date_time().year() <= LAST_SHORT_YEAR;
    Rule::BadValidity.refuse_if(is_wrong, "a time before 2050 is not written as UTCTime")
}

/// As the journal writes it.
pub(super) fn timestamp(time: Time) -> Timestamp {
    let second = i64::try_from(seconds(time)).unwrap_or(LATEST_SECOND).min(LATEST_SECOND);
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}
