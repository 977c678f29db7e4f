//! A signer that is killed at any instant while it makes keys: what was answered is there, and nothing stands in the way.

mod support;

use std::time::Duration;

use support::{Site, generate, id, public_key, refusal};
use trstctl_signer_protocol::v1::Algorithm;

/// How long a request takes on this machine, of a signer that found a key store; keys with these ids are made.
async fn time_of_a_key(site: &Site, ids: [String; 2]) -> Duration {
    let mut takes = Duration::ZERO;
    for key_id in ids {
        let signer = site.start("measure").await;
        let mut client = signer.client().await;
        let begun = std::time::Instant::now();
        generate(&mut client, &key_id, Algorithm::P256).await.unwrap();
        takes = begun.elapsed();
        signer.kill();
    }
    takes
}

#[tokio::test]
async fn no_answered_key_is_lost_and_every_id_can_be_asked_for_again() {
    let kills = if std::env::var_os("TRSTCTL_TORTURE").is_some() { 500 } else { 20 };
    let site = Site::new();
    let mut answered = Vec::new();
    // Made before the kill without an answer, and made when asked for again.
    let (mut unanswered, mut again) = (0, 0);
    let mut making_takes = time_of_a_key(&site, [id(kills + 1), id(kills + 2)]).await;
    for round in 0..kills {
        let signer = site.start(&format!("r{round}")).await;
        let mut client = signer.client().await;
        // Later and later behind the start of a request, until a little behind its end.
        let delay = making_takes.mul_f64(1.25 * f64::from(round) / f64::from(kills));
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
        let begun = std::time::Instant::now();
        match generate(&mut client, &key_id, Algorithm::P256).await {
            Ok(key) => {
                // A store that grows, and a machine with other work, take longer.
                making_takes = begun.elapsed();
                again += 1;
                answered.push(key);
            }
            Err(refused) => {
                assert_eq!(refusal(&refused), "key_exists", "{refused}");
                let key = public_key(&mut client, &key_id).await.unwrap();
                if answered.last().is_none_or(|last| last.key_id != key_id) {
                    unanswered += 1;
                    answered.push(key);
                }
            }
        }
    }
    let signer = site.start("last").await;
    let mut client = signer.client().await;
    assert_eq!(answered.len(), kills as usize);
    let before = kills - again - unanswered;
    println!(
        "{kills} kills within {:?}: {again} before the key was made, {unanswered} before its answer, {before} behind",
        making_takes.mul_f64(1.25)
    );
    for key in answered {
        assert_eq!(public_key(&mut client, &key.key_id).await.unwrap(), key);
    }
    let names = support::files_of(&site.keystore());
    assert!(!names.iter().any(|(path, _)| path.to_string_lossy().ends_with(".pending")));
    assert!(site.check().status.success() && site.journal_verify().status.success());
}

#[tokio::test]
async fn what_a_kill_left_pending_is_finished_when_the_journal_knows_it_and_removed_when_not() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let key = generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
    generate(&mut client, &id(2), Algorithm::P256).await.unwrap();
    signer.kill();
    let path = |number, ending| site.keystore().join(format!("{}{ending}", id(number)));
    // Killed between the entry and the name; between the file and the entry; between the name and the removal.
    std::fs::rename(path(1, ".key"), path(1, ".key.pending")).unwrap();
    std::fs::copy(path(2, ".key"), path(3, ".key.pending")).unwrap();
    std::fs::copy(path(2, ".key"), path(2, ".key.pending")).unwrap();
    let signer = site.start("b").await;
    let mut client = signer.client().await;
    assert_eq!(public_key(&mut client, &id(1)).await.unwrap(), key);
    let mut names: Vec<_> = support::files_of(&site.keystore()).into_iter().map(|(path, _)| path).collect();
    names.retain(|path| !path.to_string_lossy().contains("journal"));
    assert_eq!(names, [path(1, ".key"), path(2, ".key")]);
    assert!(generate(&mut client, &id(3), Algorithm::P256).await.is_ok());
}

#[tokio::test]
async fn an_id_is_never_used_again_also_when_its_file_is_gone() {
    let site = Site::new();
    let signer = site.start("a").await;
    generate(&mut signer.client().await, &id(1), Algorithm::P256).await.unwrap();
    signer.kill();
    std::fs::remove_file(site.keystore().join(format!("{}.key", id(1)))).unwrap();
    let signer = site.start("b").await;
    let mut client = signer.client().await;
    let refused = generate(&mut client, &id(1), Algorithm::P256).await.unwrap_err();
    assert_eq!(refusal(&refused), "key_exists", "{refused}");
    let refused = public_key(&mut client, &id(1)).await.unwrap_err();
    assert_eq!(refusal(&refused), "unreadable_key", "{refused}");
    assert!(!site.check().status.success(), "the journal against the key store");
}
