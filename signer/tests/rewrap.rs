//! Keys that are sealed again under a new KEK: killed at any instant, each opens with the old or the new one, and the same
//! command again finishes.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use support::{Site, files_of, generate, id, public_key, refusal, said};
use trstctl_formats::Digest;
use trstctl_formats::sealed_key::{Kek, SealedKey};
use trstctl_signer_protocol::v1::{Algorithm, HealthRequest, Key};

const KEYS: u32 = 4;

fn new_kek(site: &Site) -> PathBuf {
    site.folder.path().join("new-kek")
}

/// Puts two KEKs in place: the one that the store has, and the next.
fn put_keks(site: &Site, old: u8, new: u8) {
    site.put_kek(&[new; 32], 0o400);
    let _ = std::fs::remove_file(new_kek(site));
    std::fs::rename(site.kek(), new_kek(site)).unwrap();
    site.put_kek(&[old; 32], 0o400);
}

fn rewrap(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
    command.arg("rewrap").arg("--keystore").arg(site.keystore()).arg("--kek").arg(site.kek());
    command.arg("--new-kek").arg(new_kek(site));
    command
}

/// A site with keys, and no signer.
async fn site_with_keys() -> (Site, Vec<Key>) {
    let site = Site::new();
    let signer = site.start("make").await;
    let mut client = signer.client().await;
    let mut keys = Vec::new();
    for number in 1..=KEYS {
        keys.push(generate(&mut client, &id(number), Algorithm::P256).await.unwrap());
    }
    signer.kill();
    (site, keys)
}

/// Generation and public key of each key file, which must open with one of these KEKs; and how many open with the last.
fn opened(keystore: &Path, keks: [u8; 2]) -> (Vec<(u32, Digest)>, usize) {
    let keks = keks.map(|byte| Kek::new([byte; 32]));
    let mut of_last = 0;
    let files =
        files_of(keystore).into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "key"));
    let keys = files.map(|(path, bytes)| {
        let sealed = SealedKey::read(&bytes).unwrap();
        let mut out = vec![0; sealed.plaintext_len()];
        let which = keks.iter().position(|kek| sealed.open(kek, &mut out).is_ok());
        of_last += which.unwrap_or_else(|| panic!("{} opens with neither KEK", path.display()));
        (sealed.header().generation, sealed.header().public_key_sha256)
    });
    (keys.collect(), of_last)
}

#[tokio::test]
async fn killed_at_any_instant_each_key_opens_with_one_of_the_two_and_the_same_command_finishes() {
    let runs = if std::env::var_os("TRSTCTL_TORTURE").is_some() { 500 } else { 30 };
    let (site, made) = site_with_keys().await;
    let digests: Vec<_> = opened(&site.keystore(), [7, 7]).0.into_iter().map(|(_, digest)| digest).collect();
    put_keks(&site, 7, 8);
    let begun = Instant::now();
    assert!(rewrap(&site).status().unwrap().success());
    let takes = begun.elapsed();
    let mut unfinished = 0;
    for run in 0..runs {
        let (old, new) = if run % 2 == 0 { (8, 7) } else { (7, 8) };
        put_keks(&site, old, new);
        let mut child = rewrap(&site).stdout(Stdio::null()).spawn().unwrap();
        // Later and later, until a little behind the end.
        tokio::time::sleep(takes.mul_f64(1.2 * f64::from(run + 1) / f64::from(runs))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let (keys, of_new) = opened(&site.keystore(), [old, new]);
        assert_eq!(keys.len(), KEYS as usize);
        unfinished += u32::from((1..KEYS as usize).contains(&of_new));
        // Again without a kill; what is done is not done twice.
        let again = rewrap(&site).output().unwrap();
        assert!(again.status.success(), "{}", said(&again));
        let (keys, of_new) = opened(&site.keystore(), [old, new]);
        assert_eq!(of_new, KEYS as usize);
        assert_eq!(keys, digests.iter().map(|digest| (run + 3, *digest)).collect::<Vec<_>>());
    }
    println!("{runs} kills within {:?}: {unfinished} between the first key and the last", takes.mul_f64(1.2));
    assert!(site.journal_verify().status.success());
    let last = if runs % 2 == 0 { 8 } else { 7 };
    site.put_kek(&[last; 32], 0o400);
    let signer = site.start("last").await;
    let mut client = signer.client().await;
    for key in made {
        let again = public_key(&mut client, &key.key_id).await.unwrap();
        assert_eq!(again, Key { generation: runs + 2, ..key });
    }
    assert!(
        !files_of(&site.keystore()).iter().any(|(path, _)| path.to_string_lossy().ends_with(".rewrapped"))
    );
}

#[tokio::test]
async fn nothing_is_written_when_a_key_opens_with_neither_kek_or_both_keks_are_one() {
    let (site, _) = site_with_keys().await;
    put_keks(&site, 9, 8);
    let files = files_of(&site.keystore());
    let refused = rewrap(&site).output().unwrap();
    assert!(
        !refused.status.success() && said(&refused).contains("nothing was written"),
        "{}",
        said(&refused)
    );
    put_keks(&site, 7, 7);
    let refused = rewrap(&site).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("is the old one"), "{}", said(&refused));
    put_keks(&site, 7, 8);
    let damaged = site.keystore().join(format!("{}.key", id(KEYS)));
    let whole = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &whole[..whole.len() - 1]).unwrap();
    let refused = rewrap(&site).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("damaged"), "{}", said(&refused));
    std::fs::write(&damaged, whole).unwrap();
    assert_eq!(files_of(&site.keystore()), files);
}

#[tokio::test]
async fn a_running_signer_signs_on_and_makes_no_key_under_the_old_kek() {
    let (site, made) = site_with_keys().await;
    put_keks(&site, 7, 8);
    let signer = site.start("a").await;
    assert!(rewrap(&site).status().unwrap().success());
    let mut client = signer.client().await;
    assert_eq!(public_key(&mut client, &made[0].key_id).await.unwrap(), made[0]);
    let refused = generate(&mut client, &id(KEYS + 1), Algorithm::P256).await.unwrap_err();
    assert_eq!(refusal(&refused), "wrong_kek", "{refused}");
    let health = client.health(HealthRequest {}).await.unwrap().into_inner();
    let asks = |sentence: &String| sentence.contains("sealed again") && sentence.contains("start it again");
    assert!(health.degraded.iter().any(asks), "{:?}", health.degraded);
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn a_key_whose_file_is_missing_is_named_and_the_check_counts_keys_alone() {
    let (site, made) = site_with_keys().await;
    put_keks(&site, 7, 8);
    std::fs::remove_file(site.keystore().join(format!("{}.key", made[0].key_id))).unwrap();
    let run = rewrap(&site).output().unwrap();
    assert!(run.status.success() && said(&run).contains(&made[0].key_id), "{}", said(&run));
    let check = site.check();
    let all = format!("that it does not, or that are missing: {KEYS}.");
    assert!(!check.status.success() && said(&check).contains(&all), "{}", said(&check));
    assert!(said(&check).contains("sealed again"), "{}", said(&check));
}
