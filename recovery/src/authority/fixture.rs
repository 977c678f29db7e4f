//! A CA of the tests: its key signs here, and whatever it is told to.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use uuid::Uuid;
use x509_cert::der::Encode;
use x509_cert::der::asn1::BitString;

use super::document::{sequence, signature_algorithm};
use super::key::{Algorithm, Key, Purpose};

pub(super) struct Ca {
    pair: EcdsaKeyPair,
    pub(super) key: Key,
}

impl Ca {
    pub(super) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public_key: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = Key {
            id: Uuid::new_v4(),
            algorithm: Algorithm::P256,
            purposes: vec![Purpose::Certificates, Purpose::Crls],
            generation: 1,
            public_key: public_key.as_ref().to_vec(),
        };
        Self { pair, key }
    }

    /// A whole certificate or CRL.
    pub(super) fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), tbs).unwrap();
        let signature = BitString::from_bytes(signature.as_ref()).unwrap().to_der().unwrap();
        let algorithm = signature_algorithm(self.key.algorithm).to_der().unwrap();
        sequence(&[tbs.to_vec(), algorithm, signature]).unwrap()
    }
}
