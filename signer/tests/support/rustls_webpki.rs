//! A chain and its CRLs verified by rustls-webpki, with ring; ML-DSA-65, which ring has not, by fips204. Neither shares code with the
//! signer or its library.

use fips204::ml_dsa_65::PublicKey;
use fips204::traits::{SerDes as _, Verifier as _};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};

/// ML-DSA-65 of RFC 9881: the key and the signature have the same algorithm identifier, without parameters.
#[derive(Debug)]
pub struct MlDsa65;

impl SignatureVerificationAlgorithm for MlDsa65 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = public_key.try_into().map_err(|_| InvalidSignature)?;
        let key = PublicKey::try_from_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = signature.try_into().map_err(|_| InvalidSignature)?;
        key.verify(message, &signature, &[]).then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ML_DSA_65
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ML_DSA_65
    }
}

/// Verifies a server's certificate at a moment, in seconds since 1970: the path to the root, and that nothing on it is revoked. A CRL that is
/// missing or out of date is an error.
pub fn verify(
    leaf: &[u8],
    intermediate: &[u8],
    root: &[u8],
    crls: &[Vec<u8>],
    at_s: u64,
) -> Result<(), Error> {
    let root = CertificateDer::from(root);
    let intermediate = [CertificateDer::from(intermediate)];
    let leaf = CertificateDer::from(leaf);
    let crls = crls.iter().map(|der| Ok(BorrowedCertRevocationList::from_der(der)?.into()));
    let crls = crls.collect::<Result<Vec<CertRevocationList<'_>>, Error>>()?;
    let crls: Vec<_> = crls.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&crls).expect("there are CRLs");
    let revocation = revocation.with_expiration_policy(ExpirationPolicy::Enforce).build();
    EndEntityCert::try_from(&leaf)?.verify_for_usage(
        &[ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, ED25519, &MlDsa65],
        &[anchor_from_trusted_cert(&root)?],
        &intermediate,
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_s)),
        KeyUsage::server_auth(),
        Some(revocation),
        None,
    )?;
    Ok(())
}
