//! Root, intermediate, leaf and the CRLs of both CAs, signed over the real socket, verified by OpenSSL, rustls-webpki and
//! x509-parser.

#[path = "support/rustls_webpki.rs"]
mod rustls_webpki;
mod support;

use std::path::Path;
use std::process::Command;

use rustls_pki_types::SignatureVerificationAlgorithm as _;
use support::x509::{
    DIGITAL_SIGNATURE, KEY_AGREEMENT, KEY_ENCIPHERMENT, ML_DSA_65, Tbs, TbsCrl, aki, key_usage,
};
use support::{
    Site, certificate, crl, crl_request, generate, id, intermediate_request, leaf_request, refusal,
    root_request,
};
use trstctl_signer_protocol::v1::Algorithm;
use webpki::Error;
use x509_parser::asn1_rs::BitString;
use x509_parser::prelude::{AlgorithmIdentifier, CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::verify::verify_signature;

/// When everything is valid, in seconds since 1970, and when nothing is any more.
const AT_S: u64 = 1_900_000_000;
const AFTER_ALL_S: u64 = 2_300_000_000;

/// What one signer signed for a whole chain.
struct Chain {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    /// The second is revoked.
    leaves: [Vec<u8>; 2],
    crls: [Vec<u8>; 2],
}

async fn chain(site: &Site, algorithm: Algorithm) -> Chain {
    let signer = site.start("a").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    let root_key = generate(&mut client, &id(1), algorithm).await.unwrap();
    let key = generate(&mut client, &id(2), algorithm).await.unwrap();
    let subject = generate(&mut client, &id(3), Algorithm::P256).await.unwrap().public_key;
    let root = match algorithm {
        // It may always, and for linters that cannot verify that it is self-signed, it must.
        Algorithm::MlDsa65 => Tbs::root(&root_key).with(aki(&root_key.public_key)),
        _ => Tbs::root(&root_key),
    };
    let root = certificate(&mut client, root_request(&root_key, root.der())).await.unwrap();
    let tbs = Tbs::intermediate(2, &root_key, &key).der();
    let intermediate = certificate(&mut client, intermediate_request(&root_key, &root, tbs)).await.unwrap();
    let mut leaves = [const { Vec::new() }; 2];
    for (serial, leaf) in (3..).zip(&mut leaves) {
        let tbs = Tbs::leaf(serial, "Intermediate", &key, &subject).der();
        *leaf = certificate(&mut client, leaf_request(&key, &intermediate, tbs)).await.unwrap();
    }
    let of_root = TbsCrl::new(&root_key, "Root", &[1], &[]).der();
    let of_intermediate = TbsCrl::new(&key, "Intermediate", &[1], &[&[4]]).der();
    let crls = [
        crl(&mut crls, crl_request(&root_key, &root, of_root)).await.unwrap(),
        crl(&mut crls, crl_request(&key, &intermediate, of_intermediate)).await.unwrap(),
    ];
    Chain { root, intermediate, leaves, crls }
}

fn pem(kind: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// What `openssl verify` says of a leaf, with the CRLs of the whole chain.
fn openssl_verify(folder: &Path, chain: &Chain, leaf: &[u8]) -> (bool, String) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("root.pem", pem("CERTIFICATE", &chain.root));
    write("intermediate.pem", pem("CERTIFICATE", &chain.intermediate));
    write("leaf.pem", pem("CERTIFICATE", leaf));
    write("crls.pem", chain.crls.iter().map(|der| pem("X509 CRL", der)).collect());
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-crl_check_all"])
        .args(["-attime", &AT_S.to_string()])
        .args(["-CAfile", "root.pem", "-untrusted", "intermediate.pem", "-CRLfile", "crls.pem", "leaf.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn openssl_agrees(folder: &Path, chain: &Chain) {
    let (is_good, said) = openssl_verify(folder, chain, &chain.leaves[0]);
    assert!(is_good, "{said}");
    let (is_good, said) = openssl_verify(folder, chain, &chain.leaves[1]);
    assert!(!is_good && said.contains("certificate revoked"), "{said}");
}

fn rustls_webpki_agrees(chain: &Chain) {
    let verify = |leaf, crls: &[Vec<u8>], at_s| {
        rustls_webpki::verify(leaf, &chain.intermediate, &chain.root, crls, at_s)
    };
    let [good, revoked] = &chain.leaves;
    assert_eq!(verify(good, &chain.crls, AT_S), Ok(()));
    assert_eq!(verify(revoked, &chain.crls, AT_S), Err(Error::CertRevoked));
    for crl in &chain.crls {
        let alone = verify(good, std::slice::from_ref(crl), AT_S);
        assert_eq!(alone, Err(Error::UnknownRevocationStatus), "it needs the CRLs of both CAs");
    }
    let late = verify(good, &chain.crls, AFTER_ALL_S);
    assert!(matches!(late, Err(Error::CertExpired { .. } | Error::CrlExpired { .. })), "{late:?}");
}

/// Each signature alone, that of the root over itself too: by the parser's own means, and ML-DSA-65, which it has not, by fips204.
fn x509_parser_agrees(chain: &Chain) {
    let read = |der| X509Certificate::from_der(der).unwrap().1;
    let (root, intermediate) = (read(&chain.root), read(&chain.intermediate));
    let [first, second] = chain.leaves.each_ref().map(|leaf| read(leaf));
    for (certificate, by) in
        [(&root, &root), (&intermediate, &root), (&first, &intermediate), (&second, &intermediate)]
    {
        let (id, tbs) = (&certificate.signature_algorithm, certificate.tbs_certificate.as_ref());
        assert!(is_signed(by, id, &certificate.signature_value, tbs), "{}", certificate.subject());
        assert!(!is_signed(by, id, &certificate.signature_value, &tbs[1..]), "{}", certificate.subject());
    }
    for (der, by) in chain.crls.iter().zip([&root, &intermediate]) {
        let (_, crl) = CertificateRevocationList::from_der(der).unwrap();
        let tbs = crl.tbs_cert_list.as_ref();
        assert!(is_signed(by, &crl.signature_algorithm, &crl.signature_value, tbs), "{}", crl.issuer());
    }
}

fn is_signed(
    by: &X509Certificate<'_>,
    id: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    tbs: &[u8],
) -> bool {
    if id.algorithm.to_id_string() != ML_DSA_65.0 {
        return verify_signature(by.public_key(), id, signature, tbs).is_ok();
    }
    let key = &by.public_key().subject_public_key.data;
    rustls_webpki::MlDsa65.verify_signature(key, tbs, &signature.data).is_ok()
}

/// Leaves everything in the folder that `TRSTCTL_KEEP_SIGNED` names, for `scripts/lint-signed`.
fn keep(algorithm: Algorithm, chain: &Chain) {
    let Some(folder) = std::env::var_os("TRSTCTL_KEEP_SIGNED") else { return };
    let folder = Path::new(&folder).join(algorithm.as_str_name().to_lowercase().replace("algorithm_", ""));
    std::fs::create_dir_all(&folder).unwrap();
    let Chain { root, intermediate, leaves: [leaf, revoked], crls: [of_root, of_intermediate] } = chain;
    for (name, kind, der) in [
        ("root.pem", "CERTIFICATE", root),
        ("intermediate.pem", "CERTIFICATE", intermediate),
        ("leaf.pem", "CERTIFICATE", leaf),
        ("revoked.pem", "CERTIFICATE", revoked),
        ("root.crl.pem", "X509 CRL", of_root),
        ("intermediate.crl.pem", "X509 CRL", of_intermediate),
    ] {
        std::fs::write(folder.join(name), pem(kind, der)).unwrap();
    }
}

#[tokio::test]
async fn openssl_x509_parser_and_rustls_webpki_verify_a_chain_and_its_crls_of_every_algorithm() {
    for algorithm in [
        Algorithm::P256,
        Algorithm::P384,
        Algorithm::Rsa3072,
        Algorithm::Rsa4096,
        Algorithm::Ed25519,
        Algorithm::MlDsa65,
    ] {
        println!("{algorithm:?}");
        let site = Site::new();
        let chain = chain(&site, algorithm).await;
        keep(algorithm, &chain);
        // OpenSSL has ML-DSA from 3.5 on.
        if algorithm != Algorithm::MlDsa65 {
            openssl_agrees(site.folder.path(), &chain);
        }
        rustls_webpki_agrees(&chain);
        x509_parser_agrees(&chain);
        assert!(site.journal_verify().status.success());
    }
}

#[tokio::test]
async fn ml_dsa_65_is_named_as_rfc_9881_says_and_without_parameters() {
    let site = Site::new();
    let chain = chain(&site, Algorithm::MlDsa65).await;
    let is_ml_dsa = |id: &AlgorithmIdentifier<'_>| {
        id.algorithm.to_id_string() == "2.16.840.1.101.3.4.3.18" && id.parameters.is_none()
    };
    for der in [&chain.root, &chain.intermediate] {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        assert!(is_ml_dsa(&certificate.signature_algorithm));
        assert!(is_ml_dsa(&certificate.tbs_certificate.signature));
        assert!(is_ml_dsa(&certificate.public_key().algorithm));
        assert_eq!(certificate.public_key().subject_public_key.data.len(), 1952);
        assert_eq!(certificate.signature_value.data.len(), 3309);
    }
    for der in &chain.crls {
        let (_, crl) = CertificateRevocationList::from_der(der).unwrap();
        assert!(is_ml_dsa(&crl.signature_algorithm) && is_ml_dsa(&crl.tbs_cert_list.signature));
        assert_eq!(crl.signature_value.data.len(), 3309);
    }
}

#[tokio::test]
async fn a_leaf_with_a_key_of_ml_dsa_65_may_sign_and_nothing_else() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let key = generate(&mut client, &id(1), Algorithm::MlDsa65).await.unwrap();
    let subject = generate(&mut client, &id(2), Algorithm::MlDsa65).await.unwrap().public_key;
    let root = certificate(&mut client, root_request(&key, Tbs::root(&key).der())).await.unwrap();
    let leaf = Tbs::leaf(2, "Root", &key, &subject);
    for other in [KEY_ENCIPHERMENT, KEY_AGREEMENT] {
        let tbs = leaf.clone().with(key_usage(DIGITAL_SIGNATURE | other)).der();
        let refused = certificate(&mut client, leaf_request(&key, &root, tbs)).await.unwrap_err();
        assert_eq!(refusal(&refused), "wrong_usage");
    }
    certificate(&mut client, leaf_request(&key, &root, leaf.der())).await.unwrap();
}
