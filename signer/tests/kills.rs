//! A signer that is killed at any instant while it makes keys: what was answered is there, and nothing stands in the way.

mod support;

use std::time::Duration;

use support::{Site, generate, id, public_key, refusal};
use trstctl_signer_protocol::v1::Algorithm;

/// Signers that are killed.
const KILLS: u32 = 20;

#[tokio::test]
async fn no_answered_key_is_lost_and_every_id_can_be_asked_for_again() {
    let site = Site::new();
    let mut answered = Vec::new();
    for round in 0..KILLS {
        let signer = site.start(&format!("r{round}")).await;
        let mut client = signer.client().await;
        // Later and later behind the start of a request: 0 to 3.8 ms, which a key takes.
        let delay = Duration::from_micros(u64::from(round) * 200);
        let key_id = id(round + 1);
        let making = generate(&mut client, &key_id, Algorithm::P256);
        let killed = tokio::time::sleep(delay);
        tokio::select! {
            key = making => answered.push(key.unwrap()),
            () = killed => {}
        }
        signer.kill();
        let signer = site.start(&format!("s{round}")).await;
        let mut client = signer.client().await;
        match generate(&mut client, &key_id, Algorithm::P256).await {
            Ok(key) => answered.push(key),
            Err(refused) => {
                assert_eq!(refusal(&refused), "key_exists", "{refused}");
                let key = public_key(&mut client, &key_id).await.unwrap();
                if answered.last().is_none_or(|last| last.key_id != key_id) {
                    answered.push(key);
                }
            }
        }
    }
    let signer = site.start("last").await;
    let mut client = signer.client().await;
    assert_eq!(answered.len(), KILLS as usize);
    for key in answered {
        assert_eq!(public_key(&mut client, &key.key_id).await.unwrap(), key);
    }
    let names = support::files_of(&site.keystore());
    assert!(!names.iter().any(|(path, _)| path.to_string_lossy().ends_with(".pending")));
    assert!(site.check().status.success() && site.journal_verify().status.success());
}
