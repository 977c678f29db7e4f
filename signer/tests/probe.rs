//! `--probe`: a signer without a socket says of each sealed key whether the KEK opens it, whatever became of the rest.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use support::x509::{Tbs, TbsCrl};
use support::{
    Site, certificate, crl, crl_request, files_of, generate, id, leaf_request, public_key, root_request, said,
};
use trstctl_signer_protocol::probe::{Authority, Journal, Key, Report, Serial, Verdict};
use trstctl_signer_protocol::v1::Algorithm;

/// A store with a CA that has signed itself (serial 1), a leaf (2) and CRL number 7, which revokes serial 4, and one key more.
async fn store() -> (Site, Vec<u8>) {
    let site = Site::new();
    let signer = site.start("a").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    let ca = generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
    let other = generate(&mut client, &id(2), Algorithm::Rsa3072).await.unwrap();
    let root = certificate(&mut client, root_request(&ca, Tbs::root(&ca).der())).await.unwrap();
    let leaf = Tbs::leaf(2, "Root", &ca, &other.public_key).der();
    certificate(&mut client, leaf_request(&ca, &root, leaf)).await.unwrap();
    let number_7 = TbsCrl::new(&ca, "Root", &[7], &[&[4]]).der();
    crl(&mut crls, crl_request(&ca, &root, number_7)).await.unwrap();
    let public_key = public_key(&mut client, &id(1)).await.unwrap().public_key;
    (site, public_key)
}

fn probe(site: &Site, more: &[&str]) -> (Option<i32>, Report) {
    let Output { status, stdout, stderr } = site.command().arg("--probe").args(more).output().unwrap();
    let report = serde_json::from_slice(&stdout);
    (status.code(), report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr))))
}

fn file(site: &Site, number: u32) -> PathBuf {
    site.keystore().join(format!("{}.key", id(number)))
}

fn of(report: &Report, number: u32) -> &Key {
    let file = format!("{}.key", id(number));
    report.keys.iter().find(|key| key.file == file).unwrap()
}

#[tokio::test]
async fn open_keys_are_proven_and_the_past_of_their_ca_is_told_and_nothing_is_written() {
    let (site, spki) = store().await;
    let before = files_of(&site.keystore());
    let (code, report) = probe(&site, &["--serial", "02", "--serial", "04", "--serial", "7f"]);
    assert_eq!(code, Some(0));
    assert_eq!(files_of(&site.keystore()), before);
    let key = of(&report, 1);
    assert_eq!((key.verdict, key.key_id.as_ref()), (Verdict::Open, Some(&id(1))));
    assert_eq!(key.public_key, Some(BASE64_STANDARD.encode(&spki)));
    assert_eq!(key.public_key_sha256, Some(hex::encode(Sha256::digest(&spki))));
    assert_eq!((key.algorithm.as_deref(), key.generation), (Some("p256"), Some(1)));
    assert_eq!(key.purposes, ["certificates", "crls"]);
    assert_eq!(key.kek_id.as_ref(), Some(&report.kek_id));
    assert_eq!(of(&report, 2).algorithm.as_deref(), Some("rsa-3072"));
    assert!(matches!(&report.journal, Journal::Holds { entries: 6, head } if head.len() == 64), "{report:?}");
    assert_eq!(report.deployment_id.map(|id| id.len()), Some(32));
    assert_eq!(report.authorities, [Authority { key_id: id(1), last_crl_number: Some(7) }]);
    let serial = |serial: &str, signed: &[u32], revoked: &[u32]| Serial {
        serial: serial.to_owned(),
        signed_by: signed.iter().copied().map(id).collect(),
        revoked_by: revoked.iter().copied().map(id).collect(),
    };
    assert_eq!(report.serials, [serial("02", &[1], &[]), serial("04", &[], &[1]), serial("7f", &[], &[])]);
}

/// The same command where the key store is mounted read-only, for it alone.
fn over_a_read_only_mount(site: &Site, command: &Command) -> Command {
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/new" 2>/dev/null && exec "$@""#;
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "sh", "-c", mount]).arg(site.keystore());
    mounted.arg(command.get_program()).args(command.get_args());
    mounted
}

#[tokio::test]
async fn over_a_read_only_mount_probe_and_check_say_what_they_say_over_a_writable_folder() {
    let (site, _) = store().await;
    let tried = over_a_read_only_mount(&site, &Command::new("true")).output();
    if let Some(why) =
        tried.map_or_else(|error| Some(error.to_string()), |run| (!run.status.success()).then(|| said(&run)))
    {
        return println!("skipped: nothing can be mounted here ({}), which takes root", why.trim());
    }
    let whole = fs::read(file(&site, 1)).unwrap();
    // Everything well; a damaged key; a journal that does not hold; none.
    for state in 0..4 {
        match state {
            0 => {}
            1 => fs::write(file(&site, 1), &whole[1..]).unwrap(),
            2 => fs::write(site.keystore().join("journal.head"), "none").unwrap(),
            _ => site.lose_journal(),
        }
        for words in [&["--check"][..], &["--probe", "--serial", "02"]] {
            let mut command = site.command();
            command.args(words);
            let writable = command.output().unwrap();
            let read_only = over_a_read_only_mount(&site, &command).output().unwrap();
            assert_eq!(read_only, writable, "state {state}, {words:?}: {}", said(&read_only));
            assert_eq!(
                writable.status.success(),
                state == 0 || (state > 1 && words[0] == "--probe"),
                "state {state}, {words:?}"
            );
        }
        fs::write(file(&site, 1), &whole).unwrap();
    }
}

#[tokio::test]
async fn wrong_kek_damage_and_forgery_are_told_apart_and_stop_no_other_key() {
    let (site, _) = store().await;
    let sealed = fs::read(file(&site, 1)).unwrap();
    let change = |at: usize, with_checksum: bool| {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        if with_checksum {
            let end = bytes.len() - 32;
            let checksum = Sha256::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&checksum);
        }
        fs::write(file(&site, 1), bytes).unwrap();
        let (code, report) = probe(&site, &[]);
        assert_eq!((code, of(&report, 2).verdict), (Some(3), Verdict::Open));
        of(&report, 1).clone()
    };
    let damaged = change(200, false);
    assert_eq!((damaged.verdict, damaged.key_id, damaged.kek_id), (Verdict::Damaged, Some(id(1)), None));
    assert_eq!(change(200, true).verdict, Verdict::Forged);
    fs::write(file(&site, 1), &sealed).unwrap();
    site.put_kek(&[8; 32], 0o400);
    let (code, report) = probe(&site, &[]);
    let key = of(&report, 1);
    assert_eq!((code, key.verdict), (Some(3), Verdict::WrongKek));
    let sealed_under = key.kek_id.as_ref().unwrap();
    assert!(key.what.contains(sealed_under) && key.what.contains(&report.kek_id), "{}", key.what);
    assert_ne!(*sealed_under, report.kek_id);
}

#[tokio::test]
async fn file_under_another_name_a_missing_one_and_one_outside_the_folder_are_named() {
    let (site, _) = store().await;
    let (one, two) = (file(&site, 1), file(&site, 2));
    let verdict = |number| {
        let (code, report) = probe(&site, &[]);
        assert_eq!(code, Some(3));
        (of(&report, number).verdict, report)
    };
    let away = site.folder.path().join("away");
    fs::rename(&two, &away).unwrap();
    fs::copy(&one, &two).unwrap();
    assert_eq!(verdict(2).0, Verdict::Mismatch);
    fs::remove_file(&two).unwrap();
    assert_eq!(verdict(1).1.missing, [id(2)]);
    symlink(&away, &two).unwrap();
    assert_eq!(verdict(2).0, Verdict::Unreadable, "the process reaches no other folder");
    fs::rename(&away, &two).unwrap();
    fs::copy(&one, site.keystore().join("copy of one.key")).unwrap();
    let copy = verdict(1).1.keys.into_iter().find(|key| key.file == "copy of one.key").unwrap();
    assert_eq!((copy.verdict, copy.key_id), (Verdict::Mismatch, Some(id(1))));
    assert!(copy.what.contains(&format!("{}.key", id(1))), "{}", copy.what);
}

#[tokio::test]
async fn keys_open_without_a_journal_or_with_one_that_does_not_hold_and_the_report_says_so() {
    let (site, _) = store().await;
    let journal = site.keystore().join("journal");
    let mut entries = fs::read(&journal).unwrap();
    entries[40] ^= 1;
    fs::write(&journal, entries).unwrap();
    let (code, report) = probe(&site, &["--serial", "02"]);
    assert_eq!((code, of(&report, 1).verdict), (Some(0), Verdict::Open));
    assert!(matches!(&report.journal, Journal::Broken { what } if what.contains("entry 1")), "{report:?}");
    assert_eq!((report.authorities, report.serials), (Vec::new(), Vec::new()));
    fs::remove_file(&journal).unwrap();
    let (code, report) = probe(&site, &[]);
    assert_eq!(code, Some(0));
    assert!(matches!(report.journal, Journal::Missing { .. }));
    assert!(of(&report, 1).what.contains("no journal"));
    assert!(report.deployment_id.is_some(), "the keys tell it too");
}

#[tokio::test]
async fn a_store_without_keys_is_not_good_and_without_a_kek_there_is_no_report() {
    let site = Site::new();
    assert_eq!(probe(&site, &[]).0, Some(3));
    site.put_kek(&[7; 31], 0o400);
    let refused = site.command().arg("--probe").output().unwrap();
    assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(1), true));
}

/// A key store entry that nobody ever writes to holds the process where it is confined already.
#[tokio::test]
async fn the_process_that_opens_keys_is_confined() {
    let (site, _) = store().await;
    let fifo = site.keystore().join("0.key");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = site.command().arg("--probe").stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        let status = fs::read_to_string(&status).unwrap();
        if status.contains("Seccomp:\t2") {
            break status;
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // Whoever opens the other end lets it go on.
    fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}
