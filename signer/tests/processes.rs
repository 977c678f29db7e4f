//! Two processes over a real socket: keys are made, found again, probed, never overwritten, and never opened by another KEK.

mod support;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ML_DSA_65, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use support::{Site, files_of, generate, id, public_key, refusal};
use trstctl_signer_protocol::probe_text;
use trstctl_signer_protocol::v1::{
    Algorithm, GenerateKeyRequest, HealthRequest, ListKeysRequest, ProbeRequest, Purpose,
};

const ALGORITHMS: [(Algorithm, &dyn VerificationAlgorithm); 5] = [
    (Algorithm::P256, &ECDSA_P256_SHA256_ASN1),
    (Algorithm::P384, &ECDSA_P384_SHA384_ASN1),
    (Algorithm::Rsa3072, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ed25519, &ED25519),
    (Algorithm::MlDsa65, &ML_DSA_65),
];

#[tokio::test]
async fn a_key_that_was_made_is_there_after_kill_and_shows_by_a_probe_that_it_is_the_same() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let mut made = Vec::new();
    for (number, (algorithm, _)) in (1..).zip(ALGORITHMS) {
        made.push(generate(&mut client, &id(number), algorithm).await.unwrap());
    }
    signer.kill();
    let signer = site.start("b").await;
    let mut client = signer.client().await;
    let listed = client.list_keys(ListKeysRequest {}).await.unwrap().into_inner().keys;
    assert_eq!(listed, made);
    for (key, (algorithm, verifier)) in made.iter().zip(ALGORITHMS) {
        assert_eq!(public_key(&mut client, &key.key_id).await.unwrap(), *key);
        let nonce = b"a fresh nonce of 32 bytes, always".to_vec();
        let request = ProbeRequest { key_id: key.key_id.clone(), nonce: nonce.clone() };
        let signature = client.probe(request).await.unwrap().into_inner().signature;
        let public = UnparsedPublicKey::new(verifier, &key.public_key);
        assert!(public.verify(&probe_text(&nonce), &signature).is_ok(), "{algorithm:?}");
    }
    let health = client.health(HealthRequest {}).await.unwrap().into_inner();
    assert_eq!((health.keys, health.journal_entries), (5, 6));
}

#[tokio::test]
async fn a_key_is_never_overwritten_by_this_signer_or_another_over_the_same_store() {
    let site = Site::new();
    let (first, second) = (site.start("a").await, site.start("b").await);
    let (mut first, mut second) = (first.client().await, second.client().await);
    let key = generate(&mut first, &id(1), Algorithm::P256).await.unwrap();
    let files = files_of(&site.keystore());
    for client in [&mut first, &mut second] {
        let refused = generate(client, &id(1), Algorithm::Ed25519).await.unwrap_err();
        assert_eq!(refusal(&refused), "key_exists", "{refused}");
    }
    assert_eq!(files_of(&site.keystore()), files);
    // The other finds it where it looks once more.
    assert_eq!(public_key(&mut second, &id(1)).await.unwrap(), key);
    assert_eq!(refusal(&public_key(&mut second, &id(2)).await.unwrap_err()), "unknown_key");
}

#[tokio::test]
async fn another_kek_opens_nothing_and_both_are_named() {
    let site = Site::new();
    let signer = site.start("a").await;
    generate(&mut signer.client().await, &id(1), Algorithm::Ed25519).await.unwrap();
    let own = signer.client().await.health(HealthRequest {}).await.unwrap().into_inner().kek_id;
    signer.kill();
    assert!(site.check().status.success());
    site.put_kek(&[8; 32], 0o400);
    let checked = site.check();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success());
    let signer = site.start("b").await;
    let other = signer.client().await.health(HealthRequest {}).await.unwrap().into_inner().kek_id;
    assert!(own != other && said.contains(&own) && said.contains(&other), "{said}");
    let mut client = signer.client().await;
    let refused = public_key(&mut client, &id(1)).await.unwrap_err();
    assert_eq!(refusal(&refused), "unreadable_key", "{refused}");
    let files = files_of(&site.keystore());
    let refused = generate(&mut client, &id(2), Algorithm::Ed25519).await.unwrap_err();
    assert_eq!(refusal(&refused), "wrong_kek", "{refused}");
    assert_eq!(files_of(&site.keystore()), files, "no key is made under a KEK that is not the store's");
}

#[tokio::test]
async fn a_file_under_another_name_is_no_other_key() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    for number in [1, 2] {
        generate(&mut client, &id(number), Algorithm::Ed25519).await.unwrap();
    }
    signer.kill();
    let path = |number| site.keystore().join(format!("{}.key", id(number)));
    std::fs::remove_file(path(2)).unwrap();
    std::fs::copy(path(1), path(2)).unwrap();
    let signer = site.start("b").await;
    let mut client = signer.client().await;
    assert!(public_key(&mut client, &id(1)).await.is_ok());
    let refused = public_key(&mut client, &id(2)).await.unwrap_err();
    assert_eq!(refusal(&refused), "unreadable_key", "{refused}");
    assert!(refused.message().contains("another id than its name"), "{refused}");
}

#[tokio::test]
async fn a_store_with_keys_and_without_its_journal_does_not_start_anew() {
    let site = Site::new();
    let signer = site.start("a").await;
    generate(&mut signer.client().await, &id(1), Algorithm::P256).await.unwrap();
    signer.kill();
    std::fs::remove_file(site.keystore().join("journal")).unwrap();
    let files = files_of(&site.keystore());
    let checked = site.check();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success() && said.contains("no journal"), "{said}");
    assert_eq!(files_of(&site.keystore()), files);
}

#[test]
fn a_check_makes_no_store_of_an_empty_folder() {
    let site = Site::new();
    let checked = site.check();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success() && said.contains("no journal"), "{said}");
    assert!(files_of(&site.keystore()).is_empty());
}

#[tokio::test]
async fn a_stop_drains_and_removes_the_socket() {
    let site = Site::new();
    let mut signer = site.start("a").await;
    let mut client = signer.client().await;
    // A peer that never says a word.
    let _silent = tokio::net::UnixStream::connect(&signer.socket).await.unwrap();
    generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
    let pid = rustix::process::Pid::from_child(&signer.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(signer.child.wait().unwrap().success());
    assert!(!signer.socket.exists());
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_made() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let files = files_of(&site.keystore());
    let good = GenerateKeyRequest {
        key_id: id(1),
        algorithm: Algorithm::P256.into(),
        purposes: vec![Purpose::Crls.into()],
    };
    let with_tree_heads = vec![Purpose::TreeHeads.into(), Purpose::Crls.into()];
    for bad in [
        GenerateKeyRequest { key_id: "../x".into(), ..good.clone() },
        GenerateKeyRequest { key_id: id(1).to_uppercase().replace('0', "A"), ..good.clone() },
        GenerateKeyRequest { algorithm: 0, ..good.clone() },
        GenerateKeyRequest { algorithm: 7, ..good.clone() },
        GenerateKeyRequest { algorithm: -1, ..good.clone() },
        GenerateKeyRequest { purposes: vec![], ..good.clone() },
        GenerateKeyRequest { purposes: vec![0], ..good.clone() },
        GenerateKeyRequest { purposes: with_tree_heads, ..good.clone() },
    ] {
        let refused = client.generate_key(bad.clone()).await.unwrap_err();
        assert_eq!(refusal(&refused), "bad_request", "{bad:?}");
    }
    for len in [0, 15, 65] {
        let request = ProbeRequest { key_id: id(1), nonce: vec![1; len] };
        assert_eq!(refusal(&client.probe(request).await.unwrap_err()), "bad_request");
    }
    assert_eq!(files_of(&site.keystore()), files);
    assert!(client.generate_key(good).await.is_ok());
}

#[tokio::test]
async fn two_signers_that_begin_one_store_at_once_both_serve_it() {
    let site = Site::new();
    let (first, second) = tokio::join!(site.start("a"), site.start("b"));
    let made = generate(&mut first.client().await, &id(1), Algorithm::P256).await.unwrap();
    assert_eq!(public_key(&mut second.client().await, &id(1)).await.unwrap(), made);
}

#[tokio::test]
async fn a_check_and_a_look_at_the_journal_change_nothing() {
    let site = Site::new();
    let signer = site.start("a").await;
    generate(&mut signer.client().await, &id(1), Algorithm::P256).await.unwrap();
    signer.kill();
    // What a start would finish.
    let pending = site.keystore().join(format!("{}.key.pending", id(2)));
    std::fs::copy(site.keystore().join(format!("{}.key", id(1))), pending).unwrap();
    let files = files_of(&site.keystore());
    assert!(site.check().status.success() && site.journal_verify().status.success());
    assert_eq!(files_of(&site.keystore()), files);
}

#[tokio::test]
async fn the_socket_of_a_killed_signer_is_taken_over() {
    let site = Site::new();
    let signer = site.start("a").await;
    let socket = signer.socket.clone();
    signer.kill();
    assert!(socket.exists());
    let signer = site.start("a").await;
    assert!(signer.client().await.health(HealthRequest {}).await.is_ok());
}

#[tokio::test]
async fn a_second_signer_does_not_take_the_socket_of_a_first() {
    let site = Site::new();
    let signer = site.start("a").await;
    let second = site.command().arg("--socket").arg(&signer.socket).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8(second.stderr).unwrap().contains("another signer answers"));
    assert!(signer.client().await.health(HealthRequest {}).await.is_ok());
}

#[tokio::test]
async fn a_kek_file_has_32_bytes_may_be_a_link_and_is_best_read_by_one_user() {
    let site = Site::new();
    for bytes in [&[7; 31][..], &[7; 33], b"", &[b"07".repeat(32), b"\n".to_vec()].concat()] {
        site.put_kek(bytes, 0o400);
        let checked = site.command().arg("--socket").arg(site.socket("x")).output().unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(!checked.status.success() && said.contains("exactly 32 bytes"), "{said}");
        assert!(files_of(&site.keystore()).is_empty(), "nothing is made for a wrong KEK");
    }
    for mode in [0o444, 0o440, 0o640, 0o604] {
        site.put_kek(&[7; 32], mode);
        let said = String::from_utf8(site.check().stderr).unwrap();
        assert!(said.contains("open to others"), "{mode:o}: {said}");
    }
    // As Kubernetes mounts a secret.
    let kept = site.folder.path().join("..data-kek");
    site.put_kek(&[7; 32], 0o400);
    std::fs::rename(site.kek(), &kept).unwrap();
    std::os::unix::fs::symlink(&kept, site.kek()).unwrap();
    let signer = site.start("a").await;
    assert!(signer.client().await.health(HealthRequest {}).await.is_ok());
    // A link to elsewhere is none of that.
    let elsewhere = tempfile::TempDir::new().unwrap();
    std::fs::rename(&kept, elsewhere.path().join("kek")).unwrap();
    std::fs::remove_file(site.kek()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("kek"), site.kek()).unwrap();
    assert!(String::from_utf8(site.check().stderr).unwrap().contains("a link out of its folder"));
    std::fs::remove_file(site.kek()).unwrap();
    assert!(!site.check().status.success(), "a missing KEK is never made anew");
    assert!(!site.kek().exists());
}

#[tokio::test]
async fn a_lock_that_another_process_does_not_let_go_of_is_not_waited_for_without_end() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let made = generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
    let journal = std::fs::File::open(site.keystore().join("journal")).unwrap();
    journal.lock().unwrap();
    let refused = generate(&mut client, &id(2), Algorithm::P256).await.unwrap_err();
    assert_eq!(refusal(&refused), "unavailable");
    assert!(refused.message().contains("fuser -v"), "{refused}");
    assert_eq!(public_key(&mut client, &id(1)).await.unwrap(), made, "what needs no journal is answered");
    let verify = site.journal_verify();
    assert!(!verify.status.success() && support::said(&verify).contains("fuser -v"), "{verify:?}");
    journal.unlock().unwrap();
    generate(&mut client, &id(2), Algorithm::P256).await.unwrap();
}
