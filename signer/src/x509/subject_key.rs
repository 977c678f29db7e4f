//! The key that a certificate is about.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_44, ML_DSA_65,
    ML_DSA_87, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::SubjectPublicKeyInfo;

use super::{Rule, Unfit};

/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The least RSA exponent.
const LEAST_EXPONENT: u64 = 65_537;

/// What a key can do besides signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Encipher keys.
    Rsa,
    /// Agree on keys.
    EllipticCurve,
    /// Nothing.
    SigningOnly,
}

/// Checks that a key is of a known kind, strong enough, and a key: a point on its curve, for instance.
pub(super) fn check(key: &SubjectPublicKeyInfo) -> Result<Family, Unfit> {
    let (family, verifier) =
        kind_of(key).ok_or(Rule::BadKey.broken("the subject's key is of an unknown kind"))?;
    let bytes = key.subject_public_key.as_bytes();
    if family == Family::Rsa {
        let is_strong = bytes.is_some_and(is_strong_rsa);
        Rule::BadKey.refuse_if(!is_strong, "the subject's RSA key is weak, too long or malformed")?;
    }
    let is_plain = family != Family::EllipticCurve || bytes.and_then(|bytes| bytes.first()) == Some(&4);
    Rule::BadKey.refuse_if(!is_plain, "the subject's key is no uncompressed point")?;
    let spki = key.to_der().map_err(|_| Rule::BadKey.broken("the subject's key is malformed"))?;
    let is_key = ParsedPublicKey::new(verifier, &spki).is_ok();
    Rule::BadKey.refuse_if(!is_key, "the subject's key is not a key of its kind")?;
    Ok(family)
}

/// Whether this is an identifier of the key: SHA-1 of its bits (RFC 5280, 4.2.1.2), or the first 20 bytes of their SHA-256 (RFC 7093).
pub(super) fn is_identifier_of(identifier: &[u8], key: &SubjectPublicKeyInfo) -> bool {
    let bits = key.subject_public_key.raw_bytes();
    identifier == digest(&SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref()
        || identifier == &digest(&SHA256, bits).as_ref()[..20]
}

fn kind_of(key: &SubjectPublicKeyInfo) -> Option<(Family, &'static dyn VerificationAlgorithm)> {
    let parameters = key.algorithm.parameters.as_ref();
    let curve = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let is_null = parameters.is_some_and(|parameters| parameters.tag() == Tag::Null);
    let (oid, curve) = (key.algorithm.oid.to_string(), curve.map(|curve| curve.to_string()));
    match (oid.as_str(), curve.as_deref()) {
        ("1.2.840.113549.1.1.1", None) if is_null => Some((Family::Rsa, &RSA_PKCS1_2048_8192_SHA256)),
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => {
            Some((Family::EllipticCurve, &ECDSA_P256_SHA256_ASN1))
        }
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Some((Family::EllipticCurve, &ECDSA_P384_SHA384_ASN1)),
        ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => Some((Family::EllipticCurve, &ECDSA_P521_SHA512_ASN1)),
        _ if parameters.is_some() => None,
        ("1.3.101.112", _) => Some((Family::SigningOnly, &ED25519)),
        ("2.16.840.1.101.3.4.3.17", _) => Some((Family::SigningOnly, &ML_DSA_44)),
        ("2.16.840.1.101.3.4.3.18", _) => Some((Family::SigningOnly, &ML_DSA_65)),
        ("2.16.840.1.101.3.4.3.19", _) => Some((Family::SigningOnly, &ML_DSA_87)),
        _ => None,
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`
fn is_strong_rsa(bytes: &[u8]) -> bool {
    let read = SliceReader::new(bytes).and_then(|mut reader| {
        let numbers = reader.sequence(|numbers| {
            Ok::<_, der::Error>((UintRef::decode(numbers)?, UintRef::decode(numbers)?))
        })?;
        reader.finish()?;
        Ok(numbers)
    });
    let Ok((modulus, exponent)) = read else { return false };
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let exponent_is_fit = exponent.len() <= 8
        && exponent.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte)) >= LEAST_EXPONENT;
    RSA_BITS.contains(&bits) && is_odd(modulus) && is_odd(exponent) && exponent_is_fit
}
