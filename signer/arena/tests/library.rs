//! The library with this memory: all it allocates lies there, signs from many threads, and fails as an error when there is no room.
//!
//! One test: the memory is the process's.

use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair,
    RSA_PSS_SHA256, RsaKeyPair,
};
use trstctl_signer_arena::{SecretBytes, free_bytes, install};

/// What an RSA-4096 key may take, so that a thousand have room in 16 MiB.
const RSA_KEY_BYTES: usize = 15_000;

#[test]
fn the_library_keeps_keys_there_signs_from_many_threads_and_says_when_there_is_no_room() {
    println!("{:?}", install().unwrap());
    install().unwrap();
    let random = SystemRandom::new();
    let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa4096).unwrap();
    let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let sign = || {
        ecdsa.sign(&random, b"text").unwrap();
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PSS_SHA256, &random, b"text", &mut signature).unwrap();
        assert!(Ed25519KeyPair::generate().unwrap().try_sign(b"text").is_ok());
        let ml_dsa = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
        ml_dsa.sign(b"text", &mut vec![0; ML_DSA_65_SIGNING.signature_len()]).unwrap();
    };
    sign();

    let before = free_bytes().unwrap();
    let keys: Vec<_> = (0..100).map(|_| RsaKeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()).collect();
    let mut signature = vec![0; rsa.public_modulus_len()];
    keys.iter().for_each(|key| key.sign(&RSA_PSS_SHA256, &random, b"text", &mut signature).unwrap());
    let taken = before - free_bytes().unwrap();
    println!("an RSA-4096 key takes {} bytes when it has signed", taken / keys.len());
    assert!(taken > 100 * 2048 && taken < 100 * RSA_KEY_BYTES, "{taken}");
    drop(keys);

    thread::scope(|scope| {
        // Joined one by one: the scope would not wait for what a thread gives back at its end.
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| (0..20).for_each(|_| sign()))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    // Threads gave back what they had when they ended; some that is made once stays.
    assert!(before - free_bytes().unwrap() < 256 << 10);

    let left = free_bytes().unwrap();
    let all: Vec<_> = [64 << 10, 4096, 64]
        .into_iter()
        .flat_map(|bytes| std::iter::from_fn(move || SecretBytes::zeroed(bytes).ok()))
        .collect();
    assert!(free_bytes().unwrap() == 0 && all.len() * 64 > left >> 10);
    assert!(RsaKeyPair::from_pkcs8(pkcs8.as_ref()).is_err());
    assert!(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).is_err());
    assert!(ecdsa.sign(&random, b"text").is_err());
    drop(all);
    sign();
    assert!(free_bytes().unwrap() + (64 << 10) > left);
}
