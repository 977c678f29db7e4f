//! Root, intermediate, leaf and the CRLs of both CAs, signed over the real socket, verified by OpenSSL and by x509-parser.

mod support;

use std::path::Path;
use std::process::Command;

use support::x509::{Tbs, TbsCrl};
use support::{
    Site, certificate, crl, crl_request, generate, id, intermediate_request, leaf_request, root_request,
};
use trstctl_signer_protocol::v1::Algorithm;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

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
    let tbs = Tbs::root(&root_key).der();
    let root = certificate(&mut client, root_request(&root_key, tbs)).await.unwrap();
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
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-crl_check_all", "-attime", "1900000000"])
        .args(["-CAfile", "root.pem", "-untrusted", "intermediate.pem", "-CRLfile", "crls.pem", "leaf.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn openssl_and_x509_parser_verify_a_chain_and_its_crls_of_every_algorithm() {
    for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::Rsa3072, Algorithm::Ed25519] {
        let site = Site::new();
        let chain = chain(&site, algorithm).await;
        let (is_good, said) = openssl_verify(site.folder.path(), &chain, &chain.leaves[0]);
        assert!(is_good, "{algorithm:?}: {said}");
        let (is_good, said) = openssl_verify(site.folder.path(), &chain, &chain.leaves[1]);
        assert!(!is_good && said.contains("certificate revoked"), "{algorithm:?}: {said}");
        let read = |der| X509Certificate::from_der(der).unwrap().1;
        let (root, intermediate) = (read(&chain.root), read(&chain.intermediate));
        assert!(root.verify_signature(None).is_ok(), "{algorithm:?}");
        assert!(intermediate.verify_signature(Some(root.public_key())).is_ok(), "{algorithm:?}");
        for leaf in &chain.leaves {
            assert!(read(leaf).verify_signature(Some(intermediate.public_key())).is_ok(), "{algorithm:?}");
        }
        for (der, by) in chain.crls.iter().zip([&root, &intermediate]) {
            let (_, crl) = CertificateRevocationList::from_der(der).unwrap();
            assert!(crl.verify_signature(by.public_key()).is_ok(), "{algorithm:?}");
        }
        assert!(site.journal_verify().status.success());
    }
}
