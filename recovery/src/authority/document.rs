//! Certificates and CRLs as bytes: read strictly from files, put together, and believed only with a signature that verifies.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ML_DSA_65, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use jiff::Timestamp;
use trstctl_formats::{Class, Failure};
use x509_cert::AlgorithmIdentifier;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, DateTime, Decode, Encode, Header, Tag, pem};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use super::key::Algorithm;

/// Longer files are not read: the signer takes CRLs of up to 8 MiB, which are 11 MiB as PEM.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What begins a PEM file, behind any explanation.
const PEM_BEGINNING: &[u8] = b"-----BEGIN ";

/// The DER in a file, which is PEM with this label, or DER.
///
/// # Errors
/// A file that cannot be read, or is too long; PEM that is malformed, of another label, or more than one.
pub(super) fn read(path: &Path, label: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unusable(path, &format!("it cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable(path, "it is longer than any that the signer takes"));
    }
    if !bytes.windows(PEM_BEGINNING.len()).any(|window| window == PEM_BEGINNING) {
        return Ok(bytes);
    }
    match pem::decode_vec(&bytes) {
        Ok((found, der)) if found == label => Ok(der),
        Ok((found, _)) => Err(unusable(path, &format!("it holds a {found}, and a {label} was expected"))),
        Err(_) => Err(unusable(path, &format!("it is no PEM file with one {label}"))),
    }
}

/// The failure to use a file as what it was named for.
pub(super) fn unusable(path: &Path, why: &str) -> Failure {
    let name = path.display().to_string();
    let hint = "Name a file with one certificate or CRL, as PEM or DER.";
    Failure::new(Class::Usage, format!("{name} cannot be used: {why}"), hint).in_file(name)
}

/// As PEM.
pub(super) fn to_pem(label: &'static str, der: &[u8]) -> Result<String, Failure> {
    pem::encode_string(label, pem::LineEnding::LF, der).map_err(|_| unwritable())
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

/// Whether this is a signature of `message` by the key (SubjectPublicKeyInfo, DER), of an algorithm that the signer has.
pub(super) fn verifies(
    public_key: &[u8],
    algorithm: &AlgorithmIdentifier,
    message: &[u8],
    signature: &BitString,
) -> bool {
    let known = Algorithm::ALL.into_iter().find(|known| signature_algorithm(*known) == *algorithm);
    let (Some(known), Some(signature)) = (known, signature.as_bytes()) else { return false };
    UnparsedPublicKey::new(verifier(known), public_key).verify(message, signature).is_ok()
}

fn verifier(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::P256 => &ECDSA_P256_SHA256_ASN1,
        Algorithm::P384 => &ECDSA_P384_SHA384_ASN1,
        Algorithm::Rsa3072 | Algorithm::Rsa4096 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Ed25519 => &ED25519,
        Algorithm::MlDsa65 => &ML_DSA_65,
    }
}

/// What DER has no form for; everything that is typed was checked before.
pub(super) fn unwritable() -> Failure {
    crate::internal("what is to be signed has no form in DER")
}
