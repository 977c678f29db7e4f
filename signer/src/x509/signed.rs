//! What was signed, its signature behind it: put together, and checked before it leaves.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ML_DSA_65, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Sequence};
use x509_cert::AlgorithmIdentifier;

use super::der::signature_algorithm;
use crate::algorithm::Algorithm;
use crate::private_key::KeyRefused;

/// What the library signed does not verify, or does not read as what was to be signed: it does not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signature does not verify with the public key: it is not given out. Something is wrong with this host's memory or processor"
)]
pub struct BadSignature;

/// The public half of a key that signs, as it verifies what its private half has signed.
pub struct PublicHalf {
    key: ParsedPublicKey,
    /// RSA pads what is neither a certificate nor a CRL in another way.
    key_for_texts: Option<ParsedPublicKey>,
    signs_with: AlgorithmIdentifier,
}

/// Certificate and CRL alike (RFC 5280, 4.1 and 5.1). The rules were held against the bytes of what is signed: they are compared, not
/// read once more.
#[derive(Sequence)]
struct Signed<'a> {
    tbs: AnyRef<'a>,
    algorithm: AlgorithmIdentifier,
    signature: BitStringRef<'a>,
}

impl PublicHalf {
    /// Reads SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`KeyRefused`] when it is no key of this algorithm.
    pub fn new(algorithm: Algorithm, spki: &[u8]) -> Result<Self, KeyRefused> {
        let key = ParsedPublicKey::new(verifier(algorithm), spki)?;
        let key_for_texts = match algorithm {
            Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
                Some(ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki)?)
            }
            _ => None,
        };
        Ok(Self { key, key_for_texts, signs_with: signature_algorithm(algorithm) })
    }

    /// Puts a certificate or a CRL together, compares what came out with what was to be signed, and verifies its signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verified(&self, tbs: &[u8], signature: &[u8]) -> Result<Vec<u8>, BadSignature> {
        let whole = self.compared(tbs, signature)?;
        self.key.verify_sig(tbs, signature).map_err(|_| BadSignature)?;
        Ok(whole)
    }

    fn compared(&self, tbs: &[u8], signature: &[u8]) -> Result<Vec<u8>, BadSignature> {
        let whole = self.assemble(tbs, signature).map_err(|_| BadSignature)?;
        let read = Signed::from_der(&whole).map_err(|_| BadSignature)?;
        let is_same = read.algorithm == self.signs_with
            && AnyRef::from_der(tbs).is_ok_and(|tbs| read.tbs == tbs)
            && read.signature.as_bytes() == Some(signature);
        if is_same { Ok(whole) } else { Err(BadSignature) }
    }

    fn assemble(&self, tbs: &[u8], signature: &[u8]) -> der::Result<Vec<u8>> {
        let tbs = AnyRef::from_der(tbs)?;
        let algorithm = self.signs_with.clone();
        Signed { tbs, algorithm, signature: BitStringRef::from_bytes(signature)? }.to_der()
    }

    /// Verifies the signature of a text that is neither a certificate nor a CRL.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_text(&self, text: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let key = self.key_for_texts.as_ref().unwrap_or(&self.key);
        key.verify_sig(text, signature).map_err(|_| BadSignature)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_key::PrivateKey;

    /// SEQUENCE of nothing: whatever a whole begins with, it is taken as it stands.
    const TBS: &[u8] = &[0x30, 0x00];

    fn key(algorithm: Algorithm) -> (PrivateKey, PublicHalf) {
        let private = PrivateKey::generate(algorithm).unwrap();
        let public = PublicHalf::new(algorithm, &private.public_key().unwrap()).unwrap();
        (private, public)
    }

    #[test]
    fn a_signature_of_something_else_or_of_another_key_does_not_leave() {
        for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::Ed25519, Algorithm::MlDsa65] {
            let [(private, public), (other, _)] = [key(algorithm), key(algorithm)];
            let signature = private.sign_x509(TBS).unwrap();
            let whole = public.verified(TBS, &signature).unwrap();
            assert!(whole.ends_with(&signature), "{algorithm}");
            assert_eq!(public.compared(TBS, &signature), Ok(whole));
            let of_another_text = private.sign_x509(b"\x30\x01\x00").unwrap();
            assert_eq!(public.verified(TBS, &of_another_text), Err(BadSignature));
            assert_eq!(public.verified(TBS, &other.sign_x509(TBS).unwrap()), Err(BadSignature));
            let mut flipped = signature;
            *flipped.last_mut().unwrap() ^= 1;
            assert_eq!(public.verified(TBS, &flipped), Err(BadSignature), "{algorithm}");
        }
    }

    #[test]
    fn a_text_has_a_signature_of_its_own_kind() {
        for algorithm in [Algorithm::P256, Algorithm::Rsa3072, Algorithm::Ed25519] {
            let (private, public) = key(algorithm);
            let signature = private.sign(TBS).unwrap();
            assert_eq!(public.verify_text(TBS, &signature), Ok(()), "{algorithm}");
            assert_eq!(public.verify_text(b"another", &signature), Err(BadSignature), "{algorithm}");
            let is_rsa = algorithm == Algorithm::Rsa3072;
            assert_eq!(public.verified(TBS, &signature).is_err(), is_rsa, "{algorithm}");
            assert_eq!(public.verify_text(TBS, &private.sign_x509(TBS).unwrap()).is_err(), is_rsa);
        }
    }

    #[test]
    fn what_is_no_whole_value_does_not_leave() {
        let (private, public) = key(Algorithm::P256);
        for tbs in [&b""[..], b"\x30", b"\x30\x01", b"\x30\x00\x00", b"\x30\x81\x00"] {
            let signature = private.sign_x509(tbs).unwrap();
            assert_eq!(public.compared(tbs, &signature), Err(BadSignature), "{tbs:02x?}");
        }
    }

    #[test]
    fn a_key_of_another_algorithm_is_none() {
        let (private, _) = key(Algorithm::P256);
        let spki = private.public_key().unwrap();
        for other in [Algorithm::P384, Algorithm::Rsa3072, Algorithm::Ed25519, Algorithm::MlDsa65] {
            assert!(PublicHalf::new(other, &spki).is_err(), "{other}");
        }
    }
}
