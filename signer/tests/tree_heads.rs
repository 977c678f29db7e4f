//! A log whose head was signed never goes backwards, whichever signer is asked.

mod support;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use support::{Site, generate, id, refusal};
use tonic::Status;
use trstctl_signer_protocol::Client;
use trstctl_signer_protocol::v1::{
    Algorithm, GenerateKeyRequest, HealthRequest, Key, Purpose, SignTreeHeadRequest, SignTreeHeadResponse,
};

async fn tree_head_key(client: &mut Client) -> Key {
    let purposes = vec![Purpose::TreeHeads.into()];
    let request = GenerateKeyRequest { key_id: id(1), algorithm: Algorithm::Ed25519.into(), purposes };
    client.generate_key(request).await.unwrap().into_inner()
}

fn head(tree_size: u64, root: u8, epoch: u64) -> SignTreeHeadRequest {
    SignTreeHeadRequest { key_id: id(1), log: "d/events".into(), tree_size, root: vec![root; 32], epoch }
}

async fn sign(client: &mut Client, request: SignTreeHeadRequest) -> Result<SignTreeHeadResponse, Status> {
    Ok(client.sign_tree_head(request).await?.into_inner())
}

#[tokio::test]
async fn a_signed_head_verifies_and_says_which_log() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let key = tree_head_key(&mut client).await;
    let signed = sign(&mut client, head(7, 0xab, 1)).await.unwrap();
    let text = "d/events\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n";
    assert_eq!(signed.text, text.as_bytes());
    assert!(
        UnparsedPublicKey::new(&ED25519, &key.public_key).verify(text.as_bytes(), &signed.signature).is_ok()
    );
}

#[tokio::test]
async fn a_control_plane_that_was_rolled_back_is_refused_by_name_by_both_signers_and_after_kill() {
    let site = Site::new();
    let (first, second) = (site.start("a").await, site.start("b").await);
    tree_head_key(&mut first.client().await).await;
    sign(&mut first.client().await, head(7, 1, 3)).await.unwrap();
    first.kill();
    let third = site.start("c").await;
    for signer in [&second, &third] {
        let mut client = signer.client().await;
        for (request, word) in [
            (head(6, 1, 3), "smaller_tree_head"),
            (head(0, 1, 4), "smaller_tree_head"),
            (head(7, 2, 3), "other_root"),
            (head(8, 2, 2), "older_epoch"),
        ] {
            let refused = sign(&mut client, request).await.unwrap_err();
            assert_eq!(refusal(&refused), word, "{refused}");
        }
        // The same again, and another log.
        let files = support::files_of(&site.keystore());
        assert!(sign(&mut client, head(7, 1, 3)).await.is_ok());
        assert_eq!(support::files_of(&site.keystore()), files, "asked again, the journal does not grow");
        let other = SignTreeHeadRequest { log: "d/other".into(), ..head(1, 9, 3) };
        assert!(sign(&mut client, other).await.is_ok());
    }
    let mut client = second.client().await;
    sign(&mut client, head(8, 2, 5)).await.unwrap();
    let refused = sign(&mut third.client().await, head(7, 1, 5)).await.unwrap_err();
    assert_eq!(refusal(&refused), "smaller_tree_head", "{refused}");
    assert!(site.journal_verify().status.success());
    assert_eq!(client.health(HealthRequest {}).await.unwrap().into_inner().epoch, 5);
}

#[tokio::test]
async fn a_key_of_another_purpose_and_heads_that_are_none_are_refused_before_the_journal_hears_of_them() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    tree_head_key(&mut client).await;
    generate(&mut client, &id(2), Algorithm::Ed25519).await.unwrap();
    let files = support::files_of(&site.keystore());
    for (request, word) in [
        (SignTreeHeadRequest { key_id: id(2), ..head(1, 1, 1) }, "wrong_purpose"),
        (SignTreeHeadRequest { key_id: id(3), ..head(1, 1, 1) }, "unknown_key"),
        (SignTreeHeadRequest { root: vec![1; 31], ..head(1, 1, 1) }, "bad_request"),
        (SignTreeHeadRequest { log: "two\nlines".into(), ..head(1, 1, 1) }, "bad_request"),
    ] {
        let refused = sign(&mut client, request).await.unwrap_err();
        assert_eq!(refusal(&refused), word, "{refused}");
    }
    assert_eq!(support::files_of(&site.keystore()), files);
}
