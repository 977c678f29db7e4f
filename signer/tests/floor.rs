//! A key store whose journal is gone signs nothing until a person has stated what each CA and log had signed, and then goes on above that.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use support::ca::{HEADS, site, tree_head};
use support::x509::Tbs;
use support::{Site, certificate, files_of, generate, id, leaf_request, public_key, refusal, said};
use trstctl_signer_protocol::v1::{Algorithm, HealthRequest};

fn serials(site: &Site, text: &str) -> String {
    let path = site.folder.path().join("serials");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_its_journal_a_ca_signs_nothing_until_its_floor_and_then_above_it() {
    let (site, cas) = site().await;
    site.lose_journal();
    assert!(said(&site.check()).contains("`trstctl-signer floor`"), "{}", said(&site.check()));
    let list = serials(
        &site,
        "# published CRL 7\n01\n02 revoked\n# the control plane\n02\n03 2040-01-01T00:00:00Z\n",
    );
    let set = site.floor(&["--ca", &id(1), "--crl-number", "7", "--serials", &list]);
    assert!(set.status.success() && said(&set).contains(&id(2)), "{}", said(&set));
    let (signer, ca) = (site.start("a").await, &cas[0]);
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    assert_eq!(public_key(&mut client, &id(1)).await.unwrap(), ca.key);
    for (number, serials, expected) in [
        (7, &[&[2][..]][..], Err("crl_number_not_above_last")),
        (8, &[], Err("serial_dropped")),
        (8, &[&[2]], Ok(())),
        (9, &[&[2], &[3]], Ok(())),
    ] {
        assert_eq!(ca.crl(&mut crls, number, serials).await, expected.map_err(str::to_owned), "{number}");
    }
    for serial in [1, 2, 3] {
        assert_eq!(ca.leaf(&mut client, serial).await, Err("serial_used".into()), "{serial}");
    }
    ca.leaf(&mut client, 4).await.unwrap();
    // The other CA, and the log, are still as unknown; a floor is taken up by the running signer.
    assert_eq!(cas[1].leaf(&mut client, 20).await, Err("no_floor".into()));
    assert_eq!(cas[1].crl(&mut crls, 120, &[]).await, Err("no_floor".into()));
    let degraded = client.health(HealthRequest {}).await.unwrap().into_inner().degraded;
    assert!(degraded.iter().any(|what| what.contains(&id(2)) && what.contains("floor")), "{degraded:?}");
    let below = site.floor(&["--ca", &id(2), "--crl-number", "100", "--epoch", "0"]);
    assert!(!below.status.success() && said(&below).contains("epoch 0 is over"), "{}", said(&below));
    let set = site.floor(&["--ca", &id(2), "--crl-number", "100"]);
    assert!(set.status.success(), "{}", said(&set));
    cas[1].leaf(&mut client, 20).await.unwrap();
    assert_eq!(cas[1].crl(&mut crls, 100, &[]).await, Err("crl_number_not_above_last".into()));
    cas[1].crl(&mut crls, 101, &[]).await.unwrap();
    assert!(site.journal_verify().status.success());
    let journal = fs::read_to_string(site.keystore().join("journal")).unwrap();
    assert_eq!(journal.matches(r#""by":"Ada","reason":"the disk burnt""#).count(), 2);
}

#[tokio::test]
async fn a_log_whose_last_head_is_unknown_gets_none_until_it_is_stated() {
    let (site, _) = site().await;
    site.lose_journal();
    let root = "01".repeat(32);
    let words = |size| ["--log", "d/events", "--tree-size", size, "--root", &root];
    let set = site.floor(&words("60"));
    assert!(set.status.success(), "{}", said(&set));
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    assert_eq!(tree_head(&mut client, "d/other", 1000, 1).await, Err("no_floor".into()));
    let set = site.floor(&words("70"));
    assert!(set.status.success(), "{}", said(&set));
    for (size, root, expected) in
        [(69, 1, Err("smaller_tree_head")), (70, 2, Err("other_root")), (70, 1, Ok(())), (71, 2, Ok(()))]
    {
        let signed = tree_head(&mut client, "d/events", size, root).await;
        assert_eq!(signed, expected.map_err(str::to_owned), "{size}");
    }
    let lower = site.floor(&words("70"));
    assert!(!lower.status.success() && said(&lower).contains("only goes up"), "{}", said(&lower));
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn a_floor_lifts_what_an_older_journal_knows_and_never_lowers_it() {
    let (site, cas) = site().await;
    let signer = site.start("a").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    let files = files_of(&site.keystore());
    let below = site.floor(&["--ca", &id(1), "--crl-number", "6"]);
    assert!(!below.status.success() && said(&below).contains("up to 7"), "{}", said(&below));
    assert_eq!(files_of(&site.keystore()), files);
    cas[0].crl(&mut crls, 8, &[&[2]]).await.unwrap();
    let list = serials(&site, "20\n");
    let words = ["--ca", &id(1), "--crl-number", "11", "--serials", &list];
    let set = site.floor(&words);
    assert!(set.status.success(), "{}", said(&set));
    assert_eq!(cas[0].leaf(&mut client, 0x20).await, Err("serial_used".into()));
    assert_eq!(cas[0].crl(&mut crls, 11, &[&[2]]).await, Err("crl_number_not_above_last".into()));
    let set = site.floor(&[&words[..], &["--epoch", "6"]].concat());
    assert!(set.status.success() && said(&set).contains("below 6"), "{}", said(&set));
    // The requests of this test have epoch 1.
    assert_eq!(cas[0].leaf(&mut client, 40).await, Err("older_epoch".into()));
    let files = files_of(&site.keystore());
    let again = site.floor(&words);
    assert!(again.status.success() && said(&again).contains("stands already"), "{}", said(&again));
    assert_eq!(files_of(&site.keystore()), files);
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn nothing_is_written_for_what_cannot_be_a_floor() {
    let (site, _) = site().await;
    let bad = serials(&site, "01\nxx\n");
    let root = "01".repeat(32);
    site.lose_journal();
    let files = files_of(&site.keystore());
    for (words, expected) in [
        (&["--ca", &id(77), "--crl-number", "1"][..], "has a key"),
        (&["--ca", &id(HEADS), "--crl-number", "1"], "by --log"),
        (&["--ca", &id(1), "--crl-number", "1", "--serials", &bad], "line 2"),
        (&["--ca", &id(1), "--crl-number", "1", "--serials", "/nowhere"], "cannot be read"),
        (&["--ca", &id(1)], "--crl-number"),
        (&["--ca", &id(1), "--crl-number", "1", "--by", ""], "--by"),
        (&["--ca", &id(1), "--crl-number", "1", "--log", "d/events"], "cannot be used with"),
        (&["--log", "d/events", "--tree-size", "1"], "--root"),
        (&["--log", "d/events", "--root", &root], "--tree-size"),
        (&[], "--ca"),
    ] {
        let refused = site.floor(words);
        assert!(
            !refused.status.success() && said(&refused).contains(expected),
            "{words:?}: {}",
            said(&refused)
        );
        assert_eq!(files_of(&site.keystore()), files, "{words:?}");
    }
    let floor = ["--ca", &id(1), "--crl-number", "1"];
    site.put_kek(&[8; 32], 0o400);
    let refused = site.floor(&floor);
    assert!(
        !refused.status.success() && said(&refused).contains("nothing was written"),
        "{}",
        said(&refused)
    );
    site.put_kek(&[7; 32], 0o400);
    // A key of another store, sealed under the same KEK.
    let (other, _) = support::ca::site().await;
    let stranger = site.keystore().join(format!("{}.key", id(50)));
    let signer = other.start("b").await;
    generate(&mut signer.client().await, &id(50), Algorithm::P256).await.unwrap();
    fs::copy(other.keystore().join(format!("{}.key", id(50))), &stranger).unwrap();
    let refused = site.floor(&floor);
    assert!(!refused.status.success() && said(&refused).contains("another deployment"), "{}", said(&refused));
    fs::remove_file(&stranger).unwrap();
    assert_eq!(files_of(&site.keystore()), files);
    let empty = Site::new();
    let refused = empty.floor(&floor);
    assert!(
        !refused.status.success() && said(&refused).contains("neither a journal nor a key"),
        "{}",
        said(&refused)
    );
    assert!(files_of(&empty.keystore()).is_empty());
}

#[tokio::test]
async fn a_damaged_journal_is_moved_aside_by_a_person_and_never_overwritten() {
    let (site, _) = site().await;
    let floor = ["--ca", &id(1), "--crl-number", "7"];
    let [journal, head] = ["journal", "journal.head"].map(|name| site.keystore().join(name));
    let whole = fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    let aside = site.folder.path().join("aside");
    for damage in 0..4 {
        match damage {
            0 => fs::write(&journal, &damaged).unwrap(),
            1 => fs::write(&journal, &whole[..whole.len() / 2]).unwrap(),
            2 => fs::rename(&head, &aside).unwrap(),
            _ => fs::rename(&journal, &aside).unwrap(),
        }
        let files = files_of(&site.keystore());
        let refused = site.floor(&floor);
        let says = said(&refused);
        assert!(!refused.status.success() && says.contains("out of the key store"), "{damage}: {says}");
        assert_eq!(files_of(&site.keystore()), files, "{damage}");
        match damage {
            2 => fs::rename(&aside, &head).unwrap(),
            3 => fs::rename(&aside, &journal).unwrap(),
            _ => fs::write(&journal, &whole).unwrap(),
        }
    }
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn a_signer_that_runs_while_a_journal_is_begun_anew_signs_nothing_more_and_says_what_to_do() {
    let (site, cas) = site().await;
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    site.lose_journal();
    for _ in 0..2 {
        let request = leaf_request(
            &cas[0].key,
            &cas[0].root,
            Tbs::leaf(50, "Root", &cas[0].key, &cas[0].subject).der(),
        );
        let refused = certificate(&mut client, request).await.unwrap_err();
        assert_eq!(refusal(&refused), "unavailable");
        assert!(refused.message().contains("start it again"), "{refused}");
        assert!(site.floor(&["--ca", &id(1), "--crl-number", "7"]).status.success());
    }
    signer.kill();
    let signer = site.start("b").await;
    cas[0].leaf(&mut signer.client().await, 50).await.unwrap();
}

#[tokio::test]
async fn a_key_that_comes_back_later_is_adopted_by_the_next_floor() {
    let (site, cas) = site().await;
    site.lose_journal();
    let [named, aside] =
        [site.keystore(), site.folder.path().to_owned()].map(|folder| folder.join(format!("{}.key", id(2))));
    fs::rename(&named, &aside).unwrap();
    assert!(site.floor(&["--ca", &id(1), "--crl-number", "7"]).status.success());
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    fs::rename(&aside, &named).unwrap();
    assert_eq!(cas[1].leaf(&mut client, 50).await, Err("unreadable_key".into()));
    assert!(site.floor(&["--ca", &id(2), "--crl-number", "7"]).status.success());
    cas[1].leaf(&mut client, 50).await.unwrap();
    assert!(site.check().status.success(), "{}", said(&site.check()));
}

fn key_files(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files_of(&site.keystore());
    files.retain(|(path, _)| path.extension().is_some_and(|end| end == "key"));
    files
}

#[tokio::test]
async fn killed_at_any_instant_a_floor_does_not_stand_or_stands_whole_and_the_same_command_finishes() {
    let runs = if std::env::var_os("TRSTCTL_TORTURE").is_some() { 500 } else { 20 };
    let (site, cas) = site().await;
    let keys = key_files(&site);
    // Several entries of serials: 02 and twelve thousand others, all revoked.
    let others = (0..12_000).map(|number| format!("7f{number:08x} revoked\n"));
    let list = serials(&site, &others.chain(["02 revoked\n".into()]).collect::<String>());
    let words = ["--ca", &id(1), "--crl-number", "7", "--serials", &list, "--epoch", "1"];
    let [journal, head] = ["journal", "journal.head"].map(|name| site.keystore().join(name));
    let lose = || [&journal, &head].map(|path| drop(fs::remove_file(path)));
    // The shortest of three: a disk that was busy once would put every kill behind the end.
    let takes = (0..3).map(|_| {
        lose();
        let begun = Instant::now();
        assert!(site.floor(&words).status.success());
        begun.elapsed()
    });
    let takes = takes.min().unwrap();
    let mut unfinished = 0;
    for run in 0..runs {
        lose();
        let mut child =
            site.floor_command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later and later, until a little behind the end.
        tokio::time::sleep(takes.mul_f64(1.1 * f64::from(run + 1) / f64::from(runs))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let stands = fs::read_to_string(&journal).is_ok_and(|text| text.contains("floor_set"));
        unfinished += u32::from(!stands);
        if run % 5 == 0 && journal.exists() && fs::metadata(&journal).unwrap().len() > 0 {
            // A signer between the two signs for no CA whose floor does not stand.
            let signer = site.start(&format!("r{run}")).await;
            let signed = cas[0].crl(&mut signer.crl_client().await, 8, &[]).await;
            let words = if stands { &["serial_dropped"][..] } else { &["no_floor", "unreadable_key"] };
            assert!(signed.as_ref().is_err_and(|word| words.contains(&word.as_str())), "{signed:?} {stands}");
            signer.kill();
        }
        let again = site.floor(&words);
        assert!(again.status.success(), "{}", said(&again));
        assert!(site.journal_verify().status.success());
        let entries = fs::read_to_string(&journal).unwrap();
        // A floor whose entry was not yet answered for is stated once more.
        for (part, numbers) in [("store_created", 1..=1), ("key_adopted", 5..=5), ("floor_set", 1..=2)] {
            let number = entries.matches(&format!("\"kind\":\"{part}\"")).count();
            assert!(numbers.contains(&number), "{number} times {part}, run {run}");
        }
        assert_eq!(entries.matches("7f00002edf").count(), 2, "used and revoked, once each");
    }
    assert!(unfinished > 0, "no kill came before the end");
    assert_eq!(key_files(&site), keys);
    assert!(site.check().status.success());
    let signer = site.start("last").await;
    assert_eq!(cas[0].leaf(&mut signer.client().await, 2).await, Err("serial_used".into()));
    cas[0].leaf(&mut signer.client().await, 3).await.unwrap();
}
