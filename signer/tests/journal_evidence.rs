//! The journal is held against the keys beside it and the CRLs that were published, and says what it knows as one document.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use support::ca::{Ca, HEADS, site, tree_head};
use support::x509::TbsCrl;
use support::{Signer, Site, crl, crl_request, id, said};

fn journal(site: &Site, words: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
    command.arg("journal").args(words).arg("--keystore").arg(site.keystore()).output().unwrap()
}

fn key_file(site: &Site, number: u32) -> PathBuf {
    site.keystore().join(format!("{}.key", id(number)))
}

/// A CRL of this CA, in a file.
async fn publish(site: &Site, signer: &Signer, ca: &Ca, number: u8) -> String {
    let tbs = TbsCrl::new(&ca.key, "Root", &[number], &[&[2]]).der();
    let der = crl(&mut signer.crl_client().await, crl_request(&ca.key, &ca.root, tbs)).await.unwrap();
    let path = site.folder.path().join(format!("{number}.crl"));
    fs::write(&path, der).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_key_of_the_journal_has_its_file_and_every_file_its_key() {
    let (site, _) = site().await;
    let whole = journal(&site, &["verify"]);
    assert!(whole.status.success(), "{}", said(&whole));
    let [first, second, aside] = [key_file(&site, 1), key_file(&site, 2), site.folder.path().join("aside")];
    let bytes = fs::read(&first).unwrap();
    for (damage, expected) in [
        ("missing", "has no file"),
        ("damaged", "is no sealed key"),
        ("another", "states another id"),
        ("stranger", "knows no such key"),
        ("no id", "a file x.key"),
    ] {
        match damage {
            "missing" => fs::rename(&first, &aside).unwrap(),
            "damaged" => fs::write(&first, &bytes[1..]).unwrap(),
            "another" => drop(fs::copy(&second, &first).unwrap()),
            "stranger" => drop(fs::copy(&second, key_file(&site, 50)).unwrap()),
            _ => fs::write(site.keystore().join("x.key"), &bytes).unwrap(),
        }
        let found = journal(&site, &["verify"]);
        assert!(!found.status.success() && said(&found).contains(expected), "{damage}: {}", said(&found));
        assert!(said(&found).contains("The journal holds."), "{damage}");
        let _ = fs::remove_file(&aside);
        let _ = fs::remove_file(key_file(&site, 50));
        let _ = fs::remove_file(site.keystore().join("x.key"));
        fs::write(&first, &bytes).unwrap();
    }
    // A file from before it was sealed again.
    let new_kek = site.folder.path().join("new-kek");
    site.put_kek(&[8; 32], 0o400);
    fs::rename(site.kek(), &new_kek).unwrap();
    site.put_kek(&[7; 32], 0o400);
    let mut rewrap = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
    rewrap.arg("rewrap").arg("--keystore").arg(site.keystore()).arg("--kek").arg(site.kek());
    assert!(rewrap.arg("--new-kek").arg(&new_kek).status().unwrap().success());
    assert!(journal(&site, &["verify"]).status.success());
    fs::write(&first, &bytes).unwrap();
    let found = journal(&site, &["verify"]);
    assert!(!found.status.success() && said(&found).contains("has generation 1"), "{}", said(&found));
}

#[tokio::test]
async fn a_published_crl_that_the_journal_does_not_know_is_named() {
    let (site, [ca, _]) = site().await;
    let signer = site.start("a").await;
    let older = publish(&site, &signer, &ca, 8).await;
    let backup = ["journal", "journal.head"]
        .map(|name| (site.keystore().join(name), fs::read(site.keystore().join(name)).unwrap()));
    let last = publish(&site, &signer, &ca, 9).await;
    signer.kill();
    let pem = site.folder.path().join("last.pem");
    let lines = BASE64_STANDARD.encode(fs::read(&last).unwrap());
    fs::write(&pem, format!("published\n-----BEGIN X509 CRL-----\n{lines}\n-----END X509 CRL-----\n"))
        .unwrap();
    let pem = pem.to_str().unwrap();
    let all = journal(&site, &["verify", "--crl", &older, "--crl", &last, "--crl", pem]);
    assert!(all.status.success(), "{}", said(&all));
    assert_eq!(said(&all).matches(&format!("of CA {}, whose last has the number 9", id(1))).count(), 3);
    let junk = site.kek();
    let found = journal(&site, &["verify", "--crl", junk.to_str().unwrap()]);
    assert!(!found.status.success() && said(&found).contains("no CRL"), "{}", said(&found));
    // A journal from before the last.
    for (path, bytes) in &backup {
        fs::write(path, bytes).unwrap();
    }
    let found = journal(&site, &["verify", "--crl", &older, "--crl", pem]);
    assert!(!found.status.success() && said(&found).contains("above all that it knows"), "{}", said(&found));
    assert!(site.floor(&["--ca", &id(1), "--crl-number", "9"]).status.success());
    let found = journal(&site, &["verify", "--crl", &last]);
    assert!(!found.status.success() && said(&found).contains("before a floor"), "{}", said(&found));
}

#[tokio::test]
async fn what_the_journal_says_of_each_key_is_one_document() {
    let (site, _) = site().await;
    let signer = site.start("a").await;
    tree_head(&mut signer.client().await, "d/events", 71, 2).await.unwrap();
    let serials = site.folder.path().join("serials");
    fs::write(&serials, "0a 2030-01-01T00:00:00Z\n0b revoked\n").unwrap();
    let words = ["--ca", &id(1), "--crl-number", "9", "--serials", serials.to_str().unwrap()];
    assert!(site.floor(&words).status.success());
    assert!(site.allow(&["dropped-serial", "--ca", &id(2), "--serial", "02"]).status.success());
    let exported = journal(&site, &["export"]);
    assert!(exported.status.success(), "{}", said(&exported));
    let whole: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let lines = fs::read_to_string(site.keystore().join("journal")).unwrap();
    assert_eq!(
        (whole["version"].clone(), whole["entries"].clone()),
        (json!(1), json!(lines.lines().count()))
    );
    assert!(said(&journal(&site, &["verify"])).contains(whole["head"].as_str().unwrap()));
    assert_eq!(whole["tree_heads"], json!([{"log": "d/events", "tree_size": 71, "root": "02".repeat(32)}]));
    let key = |number| {
        whole["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == json!(id(number))).unwrap()
    };
    let of = |number: u32, list: &str, part: &str| -> Vec<Value> {
        key(number)[list].as_array().unwrap().iter().map(|item| item[part].clone()).collect()
    };
    assert_eq!(of(1, "certificates", "serial"), ["01", "02", "03"]);
    assert_eq!(of(1, "crls", "number"), [7]);
    assert_eq!(
        key(1)["used"],
        json!([{"serial": "0a", "not_after": "2030-01-01T00:00:00Z"}, {"serial": "0b"}])
    );
    assert_eq!((key(1)["revoked"].clone(), key(2)["revoked"].clone()), (json!(["02", "0b"]), json!([])));
    assert_eq!((key(1)["last_crl_number"].clone(), key(1)["has_floor"].clone()), (json!(9), json!(true)));
    assert_eq!(
        (key(HEADS)["purposes"].clone(), key(HEADS)["certificates"].clone()),
        (json!(["tree-heads"]), json!([]))
    );
    let kinds: Vec<_> =
        whole["statements"].as_array().unwrap().iter().map(|entry| entry["act"]["kind"].clone()).collect();
    assert_eq!(kinds, ["floor_set", "dropped_serial_allowed"]);
    assert_eq!(whole["statements"][0]["act"]["by"], "Ada");
}
