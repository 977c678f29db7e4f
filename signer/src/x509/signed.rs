//! What was signed, its signature behind it: put together, and checked before it leaves.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ML_DSA_65, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Encode, Header, Tag};

use super::Signatory;
use super::der::{signature_algorithm, strict};
use crate::algorithm::Algorithm;

/// What the library signed does not verify, or does not read as what was to be signed: it does not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signature does not verify with the public key: it is not given out. Something is wrong with this host's memory or processor"
)]
pub struct BadSignature;

/// A whole certificate.
///
/// # Errors
/// [`BadSignature`].
pub fn certificate(tbs: &[u8], signature: &[u8], key: Signatory<'_>) -> Result<Vec<u8>, BadSignature> {
    let whole = assemble(tbs, signature, key.algorithm)?;
    let read: Certificate = strict(&whole).ok_or(BadSignature)?;
    verify(tbs, read.signature(), key)?;
    Ok(whole)
}

/// A whole CRL.
///
/// # Errors
/// [`BadSignature`].
pub fn crl(tbs: &[u8], signature: &[u8], key: Signatory<'_>) -> Result<Vec<u8>, BadSignature> {
    let whole = assemble(tbs, signature, key.algorithm)?;
    let read: CertificateList = strict(&whole).ok_or(BadSignature)?;
    verify(tbs, &read.signature, key)?;
    Ok(whole)
}

/// `SEQUENCE { what was signed, AlgorithmIdentifier, BIT STRING }`
fn assemble(tbs: &[u8], signature: &[u8], algorithm: Algorithm) -> Result<Vec<u8>, BadSignature> {
    let write = || {
        let algorithm = signature_algorithm(algorithm).to_der()?;
        let signature = BitString::from_bytes(signature)?.to_der()?;
        let content = [tbs, &algorithm, &signature].concat();
        let header = Header::new(Tag::Sequence, content.len().try_into()?).to_der()?;
        Ok::<_, x509_cert::der::Error>([header, content].concat())
    };
    write().map_err(|_| BadSignature)
}

fn verify(tbs: &[u8], signature: &BitString, key: Signatory<'_>) -> Result<(), BadSignature> {
    check(tbs, signature.as_bytes().ok_or(BadSignature)?, key)
}

/// Checks the bare signature of a text.
///
/// # Errors
/// [`BadSignature`].
pub fn check(tbs: &[u8], signature: &[u8], key: Signatory<'_>) -> Result<(), BadSignature> {
    let public = UnparsedPublicKey::new(verifier(key.algorithm), key.public_key);
    public.verify(tbs, signature).map_err(|_| BadSignature)
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
