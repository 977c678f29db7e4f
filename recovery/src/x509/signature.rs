//! What a certificate and a CRL have in common: something signed, the algorithm, the signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_44, ML_DSA_65, ML_DSA_87, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_cert::AlgorithmIdentifier;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Error, Reader, SliceReader};

/// `SEQUENCE { what is signed, AlgorithmIdentifier, BIT STRING }`
#[derive(Debug)]
pub(crate) struct Signed {
    /// As it stands: a signature covers bytes, not what they mean.
    tbs: Vec<u8>,
    algorithm: String,
    signature: Vec<u8>,
}

impl Signed {
    /// The parts of a whole certificate or CRL.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let parts = reader.sequence(|parts| {
            let tbs = parts.tlv_bytes()?.to_vec();
            let algorithm = AlgorithmIdentifier::decode(parts)?.oid.to_string();
            Ok::<_, Error>((tbs, algorithm, BitString::decode(parts)?))
        });
        let (tbs, algorithm, signature) = parts.ok()?;
        reader.finish().ok()?;
        Some(Self { tbs, algorithm, signature: signature.as_bytes()?.to_vec() })
    }

    /// Whether this key (SPKI, DER) signed it. Not so for an algorithm that is not known here, SHA-1 for one.
    pub(crate) fn is_by(&self, public_key: &[u8]) -> bool {
        let verifies = |verifier: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*verifier, public_key).verify(&self.tbs, &self.signature).is_ok()
        };
        verifiers(&self.algorithm).iter().any(verifies)
    }
}

/// What may verify a signature of this algorithm: the id names no curve, and of PSS no hash.
fn verifiers(algorithm: &str) -> &'static [&'static dyn VerificationAlgorithm] {
    match algorithm {
        "1.2.840.10045.4.3.2" => &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1],
        "1.2.840.10045.4.3.3" => &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P256_SHA384_ASN1],
        "1.2.840.10045.4.3.4" => &[&ECDSA_P521_SHA512_ASN1],
        "1.2.840.113549.1.1.11" => &[&RSA_PKCS1_2048_8192_SHA256],
        "1.2.840.113549.1.1.12" => &[&RSA_PKCS1_2048_8192_SHA384],
        "1.2.840.113549.1.1.13" => &[&RSA_PKCS1_2048_8192_SHA512],
        "1.2.840.113549.1.1.10" => {
            &[&RSA_PSS_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA384, &RSA_PSS_2048_8192_SHA512]
        }
        "1.3.101.112" => &[&ED25519],
        "2.16.840.1.101.3.4.3.17" => &[&ML_DSA_44],
        "2.16.840.1.101.3.4.3.18" => &[&ML_DSA_65],
        "2.16.840.1.101.3.4.3.19" => &[&ML_DSA_87],
        _ => &[],
    }
}
