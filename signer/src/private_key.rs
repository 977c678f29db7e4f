//! A private key: made, saved and used by one library, `aws-lc-rs` (spec/signer.md, "One library signs").

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding,
};
use trstctl_signer_arena::{NoRoom, free_bytes};

use crate::algorithm::Algorithm;

/// A private key. The library wipes it on drop.
pub struct PrivateKey {
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

/// A key was not made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// The library would not; it does not say why.
    #[error("the cryptographic library refused the key")]
    Library,
    /// There is no memory to keep it in.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl From<Unspecified> for KeyRefused {
    fn from(_: Unspecified) -> Self {
        Self::Library
    }
}

impl From<KeyRejected> for KeyRefused {
    fn from(_: KeyRejected) -> Self {
        Self::Library
    }
}

/// What keys leave free of their memory, in bytes: for signing, and for what the library has for each thread and cannot be without.
const LEFT_FREE: usize = 1 << 20;

fn room_for_a_key() -> Result<(), NoRoom> {
    if free_bytes().is_ok_and(|free| free > LEFT_FREE) { Ok(()) } else { Err(NoRoom) }
}

impl PrivateKey {
    /// Makes a new key; an RSA key takes up to some seconds.
    ///
    /// # Errors
    /// [`KeyRefused`] when the library finds no randomness, or there is no memory.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyRefused> {
        room_for_a_key()?;
        let pair = match algorithm {
            Algorithm::P256 | Algorithm::P384 => EcdsaKeyPair::generate(ecdsa(algorithm)).map(Pair::Ecdsa),
            Algorithm::Rsa3072 => rsa::KeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
            Algorithm::Rsa4096 => rsa::KeyPair::generate(KeySize::Rsa4096).map(Pair::Rsa),
            Algorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::MlDsa65 => PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).map(Pair::MlDsa),
        };
        Self { algorithm, pair: pair? }.ready()
    }

    /// Reads PKCS#8.
    ///
    /// # Errors
    /// [`KeyRefused`] when it is no key of this algorithm, or there is no memory.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyRefused> {
        room_for_a_key()?;
        let pair = match algorithm {
            Algorithm::P256 | Algorithm::P384 => {
                EcdsaKeyPair::from_pkcs8(ecdsa(algorithm), pkcs8).map(Pair::Ecdsa)
            }
            Algorithm::Rsa3072 | Algorithm::Rsa4096 => rsa::KeyPair::from_pkcs8(pkcs8).map(Pair::Rsa),
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8).map(Pair::Ed25519),
            Algorithm::MlDsa65 => PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, pkcs8).map(Pair::MlDsa),
        };
        let key = Self { algorithm, pair: pair? };
        if key.has_its_size() { key.ready() } else { Err(KeyRefused::Library) }
    }

    /// What an RSA key computes with, two thirds of what it takes, the library makes at the first signature: that is now, while there is
    /// room, and the next key sees what is left.
    fn ready(self) -> Result<Self, KeyRefused> {
        if matches!(self.pair, Pair::Rsa(_)) {
            self.sign(b"")?;
        }
        Ok(self)
    }

    /// Of RSA the library takes any size.
    fn has_its_size(&self) -> bool {
        match (&self.pair, self.algorithm) {
            (Pair::Rsa(pair), Algorithm::Rsa3072) => pair.public_modulus_len() == 3072 / 8,
            (Pair::Rsa(pair), _) => pair.public_modulus_len() == 4096 / 8,
            _ => true,
        }
    }

    /// Hands PKCS#8, version 1, to `take`, and wipes it.
    ///
    /// # Errors
    /// [`KeyRefused`] when the library does not write it.
    pub fn with_pkcs8<T>(&self, take: impl FnOnce(&[u8]) -> T) -> Result<T, KeyRefused> {
        // Both kinds of document are wiped by the library when they are dropped.
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(take(pair.to_pkcs8v1()?.as_ref())),
            Pair::Ed25519(pair) => Ok(take(pair.to_pkcs8v1()?.as_ref())),
            Pair::MlDsa(pair) => Ok(take(pair.to_pkcs8v1()?.as_ref())),
            Pair::Rsa(pair) => {
                let pkcs8: Pkcs8V1Der<'_> = pair.as_der()?;
                Ok(take(pkcs8.as_ref()))
            }
        }
    }

    /// Its public half: SubjectPublicKeyInfo, DER (RFC 5280, 4.1).
    ///
    /// # Errors
    /// [`KeyRefused`] when the library does not write it.
    pub fn public_key(&self) -> Result<Vec<u8>, KeyRefused> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::MlDsa(pair) => pair.public_key().as_der(),
        }?;
        Ok(der.as_ref().to_vec())
    }

    /// Signs. ECDSA gives DER; RSA is PSS with SHA-256 and a salt of 32 bytes.
    ///
    /// # Errors
    /// [`KeyRefused`] when the library does not sign.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, KeyRefused> {
        self.sign_with(&RSA_PSS_SHA256, text)
    }

    /// Signs what becomes a certificate or a CRL. The same, but that RSA is PKCS#1 v1.5 with SHA-256, which everybody can verify.
    ///
    /// # Errors
    /// [`KeyRefused`] when the library does not sign.
    pub fn sign_x509(&self, tbs: &[u8]) -> Result<Vec<u8>, KeyRefused> {
        self.sign_with(&RSA_PKCS1_SHA256, tbs)
    }

    fn sign_with(&self, rsa: &'static dyn RsaEncoding, text: &[u8]) -> Result<Vec<u8>, KeyRefused> {
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair.sign(&SystemRandom::new(), text)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.try_sign(text)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa, &SystemRandom::new(), text, &mut signature)?;
                Ok(signature)
            }
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
                pair.sign(text, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

fn ecdsa(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        _ => &ECDSA_P384_SHA384_ASN1_SIGNING,
    }
}

/// Random bytes, of the same library.
///
/// # Errors
/// [`KeyRefused`] when it finds no randomness.
pub fn random<const N: usize>() -> Result<[u8; N], KeyRefused> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_from_its_own_pkcs8_has_the_same_public_half() {
        for algorithm in
            [Algorithm::P256, Algorithm::P384, Algorithm::Rsa3072, Algorithm::Ed25519, Algorithm::MlDsa65]
        {
            let key = PrivateKey::generate(algorithm).unwrap();
            let again = key.with_pkcs8(|pkcs8| PrivateKey::from_pkcs8(algorithm, pkcs8)).unwrap().unwrap();
            assert_eq!(again.public_key(), key.public_key(), "{algorithm}");
        }
    }

    #[test]
    fn a_key_of_another_algorithm_or_size_is_refused() {
        let key = PrivateKey::generate(Algorithm::Rsa3072).unwrap();
        for other in [Algorithm::Rsa4096, Algorithm::P256, Algorithm::Ed25519, Algorithm::MlDsa65] {
            let refused = key.with_pkcs8(|pkcs8| PrivateKey::from_pkcs8(other, pkcs8).err()).unwrap();
            assert_eq!(refused, Some(KeyRefused::Library), "{other}");
        }
    }
}
