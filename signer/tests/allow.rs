//! A person lifts one refusal, by name; the running signers take it up, and it is over when it is used, or when something else of its kind is signed.

mod support;

use support::ca::{Ca, HEADS, site, tree_head};
use support::x509::Tbs;
use support::{Site, certificate, files_of, id, leaf_request, refusal, said};
use trstctl_signer_protocol::Client;
use trstctl_signer_protocol::v1::{HealthRequest, SignCertificateRequest};

fn allow(site: &Site, words: &[&str]) {
    let allowed = site.allow(words);
    assert!(allowed.status.success(), "{}", said(&allowed));
}

fn refused(word: &str) -> Result<(), String> {
    Err(word.to_owned())
}

async fn leaf_in_epoch(ca: &Ca, client: &mut Client, serial: u8, epoch: u64) -> Result<(), String> {
    let tbs = Tbs::leaf(serial, "Root", &ca.key, &ca.subject).der();
    let request = SignCertificateRequest { epoch, ..leaf_request(&ca.key, &ca.root, tbs) };
    certificate(client, request).await.map(drop).map_err(|status| refusal(&status))
}

#[tokio::test]
async fn one_crl_number_is_allowed_once_and_numbers_go_on_from_there() {
    let (site, [ca, other]) = site().await;
    let (first, second) = (site.start("a").await, site.start("b").await);
    let (mut crls, mut others) = (first.crl_client().await, second.crl_client().await);
    allow(&site, &["crl-number", "--ca", &id(1), "--number", "4"]);
    let journal = std::fs::read_to_string(site.keystore().join("journal")).unwrap();
    assert!(
        journal.ends_with(
            r#""number":4,"by":"Ada","reason":"rolled back on purpose"}}
"#
        ),
        "{journal}"
    );
    for (number, serials, expected) in [
        (3, &[&[2][..]][..], refused("crl_number_not_above_last")),
        (5, &[&[2]], refused("crl_number_not_above_last")),
        (7, &[&[2], &[3]], refused("crl_number_not_above_last")),
        (4, &[], refused("serial_dropped")),
        (4, &[&[2]], Ok(())),
        (4, &[&[2], &[3]], refused("crl_number_not_above_last")),
        (5, &[&[2]], Ok(())),
    ] {
        assert_eq!(ca.crl(&mut crls, number, serials).await, expected, "{number} {serials:?}");
    }
    assert_eq!(other.crl(&mut others, 4, &[&[2]]).await, refused("crl_number_not_above_last"));
    // Not used, and over.
    allow(&site, &["crl-number", "--ca", &id(1), "--number", "2"]);
    ca.crl(&mut others, 6, &[&[2]]).await.unwrap();
    assert_eq!(ca.crl(&mut crls, 2, &[&[2]]).await, refused("crl_number_not_above_last"));
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn one_revoked_serial_may_leave_the_crl_and_is_used_all_the_same() {
    let (site, [ca, other]) = site().await;
    let signer = site.start("a").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    ca.crl(&mut crls, 8, &[&[2], &[9]]).await.unwrap();
    allow(&site, &["dropped-serial", "--ca", &id(1), "--serial", "09"]);
    assert_eq!(ca.crl(&mut crls, 9, &[&[9]]).await, refused("serial_dropped"));
    assert_eq!(other.crl(&mut crls, 9, &[]).await, refused("serial_dropped"));
    ca.crl(&mut crls, 9, &[&[2]]).await.unwrap();
    ca.crl(&mut crls, 10, &[&[2]]).await.unwrap();
    assert_eq!(ca.leaf(&mut client, 9).await, refused("serial_used"));
    ca.crl(&mut crls, 11, &[&[2], &[9]]).await.unwrap();
    assert_eq!(ca.crl(&mut crls, 12, &[&[2]]).await, refused("serial_dropped"));
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn one_head_of_a_log_is_allowed_and_the_log_goes_on_from_it() {
    let (site, _) = site().await;
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    tree_head(&mut client, "d/other", 70, 1).await.unwrap();
    allow(&site, &["tree-head", "--log", "d/events", "--tree-size", "60", "--root", &"02".repeat(32)]);
    for (log, size, root, expected) in [
        ("d/events", 59, 2, refused("smaller_tree_head")),
        ("d/events", 60, 3, refused("smaller_tree_head")),
        ("d/other", 60, 2, refused("smaller_tree_head")),
        ("d/events", 60, 2, Ok(())),
        ("d/events", 60, 3, refused("other_root")),
        ("d/events", 61, 3, Ok(())),
        ("d/events", 60, 2, refused("smaller_tree_head")),
    ] {
        assert_eq!(tree_head(&mut client, log, size, root).await, expected, "{log} {size} {root}");
    }
    allow(&site, &["tree-head", "--log", "d/events", "--tree-size", "61", "--root", &"04".repeat(32)]);
    tree_head(&mut client, "d/events", 62, 5).await.unwrap();
    assert_eq!(tree_head(&mut client, "d/events", 61, 4).await, refused("smaller_tree_head"));
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn an_epoch_that_ended_all_signing_is_lowered_to_the_one_that_is_allowed() {
    let (site, [ca, _]) = site().await;
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    leaf_in_epoch(&ca, &mut client, 20, u64::MAX).await.unwrap();
    assert_eq!(leaf_in_epoch(&ca, &mut client, 21, 3).await, refused("older_epoch"));
    allow(&site, &["epoch", "--epoch", "3"]);
    for (serial, epoch, expected) in [
        (21, 2, refused("older_epoch")),
        (21, 4, refused("older_epoch")),
        (21, 3, Ok(())),
        (22, 2, refused("older_epoch")),
        (22, 4, Ok(())),
    ] {
        assert_eq!(leaf_in_epoch(&ca, &mut client, serial, epoch).await, expected, "{serial} {epoch}");
    }
    assert_eq!(client.health(HealthRequest {}).await.unwrap().into_inner().epoch, 4);
    allow(&site, &["epoch", "--epoch", "1"]);
    leaf_in_epoch(&ca, &mut client, 23, 4).await.unwrap();
    assert_eq!(ca.leaf(&mut client, 24).await, refused("older_epoch"), "not used, and over");
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn what_is_not_refused_is_not_allowed_either_and_a_floor_still_only_goes_up() {
    let (site, _) = site().await;
    let files = files_of(&site.keystore());
    let root = "01".repeat(32);
    let head = |size| ["tree-head", "--log", "d/events", "--tree-size", size, "--root", &root];
    for words in [
        &["crl-number", "--ca", &id(1), "--number", "8"][..],
        &["crl-number", "--ca", &id(77), "--number", "1"],
        &["crl-number", "--ca", &id(HEADS), "--number", "1"],
        &["dropped-serial", "--ca", &id(1), "--serial", "03"],
        &head("70"),
        &head("71"),
        &["epoch", "--epoch", "1"],
        &["epoch", "--epoch", "1", "--by", "two\nlines"],
    ] {
        let refused = site.allow(words);
        assert!(!refused.status.success(), "{words:?}: {}", said(&refused));
        assert_eq!(files_of(&site.keystore()), files, "{words:?}");
    }
    allow(&site, &["crl-number", "--ca", &id(1), "--number", "4"]);
    allow(&site, &head("60"));
    for words in [
        &["--ca", &id(1), "--crl-number", "4"][..],
        &["--log", "d/events", "--tree-size", "60", "--root", &root],
    ] {
        let refused = site.floor(words);
        assert!(!refused.status.success() && said(&refused).contains("only goes up"), "{}", said(&refused));
    }
}
