//! A control plane that was rolled back cannot use a serial again, count CRLs backwards, or make a revoked certificate valid.

mod support;

use support::x509::{Tbs, TbsCrl, time};
use support::{Site, certificate, crl, crl_request, generate, id, leaf_request, refusal, root_request};
use trstctl_signer_protocol::v1::{Algorithm, HealthRequest, Key, SignCertificateRequest, SignCrlRequest};
use trstctl_signer_protocol::{Client, CrlClient};

/// A root that signs leaves itself.
async fn ca(client: &mut Client) -> (Key, Vec<u8>, Vec<u8>) {
    let key = generate(client, &id(1), Algorithm::P256).await.unwrap();
    let subject = generate(client, &id(2), Algorithm::P256).await.unwrap().public_key;
    let root = certificate(client, root_request(&key, Tbs::root(&key).der())).await.unwrap();
    (key, root, subject)
}

/// A leaf of the root, under this name.
fn leaf_of_root(key: &Key, root: &[u8], subject: &[u8], serial: &[u8], name: &str) -> SignCertificateRequest {
    let serial = serial.to_vec();
    let tbs = Tbs { subject: support::x509::name(name), serial, ..Tbs::leaf(1, "Root", key, subject) };
    leaf_request(key, root, tbs.der())
}

/// A CRL that begins then.
fn crl_at(key: &Key, begins: &str, number: u8, serials: &[&[u8]]) -> Vec<u8> {
    TbsCrl { this_update: time(begins), ..TbsCrl::new(key, "Root", &[number], serials) }.der()
}

async fn sign(crls: &mut CrlClient, request: SignCrlRequest) -> Result<Vec<u8>, String> {
    crl(crls, request).await.map_err(|status| refusal(&status))
}

#[tokio::test]
async fn serials_crl_numbers_and_revocations_do_not_go_back_whichever_signer_is_asked() {
    let site = Site::new();
    let (first, second) = (site.start("a").await, site.start("b").await);
    let (key, root, subject) = ca(&mut first.client().await).await;
    let leaf = |serial| Tbs::leaf(serial, "Root", &key, &subject);
    let leaf_of = |tbs: &Tbs| leaf_request(&key, &root, tbs.der());
    let crl_of =
        |begins, number, serials: &[&[u8]]| crl_request(&key, &root, crl_at(&key, begins, number, serials));
    let (long, short) = (leaf(2), Tbs { not_after: time("20260601000000Z"), ..leaf(3) });
    for tbs in [&long, &short] {
        certificate(&mut first.client().await, leaf_of(tbs)).await.unwrap();
    }
    // 2: not expired; 3: expires in June; 4: never seen.
    let before = "20260401000000Z";
    let last = crl_of(before, 7, &[&[2], &[3], &[4]]);
    sign(&mut first.crl_client().await, last.clone()).await.unwrap();
    first.kill();
    let third = site.start("c").await;
    for signer in [&second, &third] {
        let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
        let files = support::files_of(&site.keystore());
        for used in [Tbs { subject: support::x509::name("other"), ..leaf(2) }, leaf(4), leaf(1)] {
            let refused = certificate(&mut client, leaf_of(&used)).await.unwrap_err();
            assert_eq!(refusal(&refused), "serial_used", "{refused}");
        }
        let after = "20260701000000Z";
        for (begins, number, serials, word) in [
            (before, 6, &[&[2][..], &[3], &[4]][..], "crl_number_not_above_last"),
            (before, 7, &[&[2], &[3], &[4], &[5]], "crl_number_not_above_last"),
            (before, 8, &[&[2], &[4]], "serial_dropped"),
            (after, 8, &[&[2]], "serial_dropped"),
            (after, 8, &[&[4]], "serial_dropped"),
            (after, 8, &[], "serial_dropped"),
        ] {
            assert_eq!(
                sign(&mut crls, crl_of(begins, number, serials)).await,
                Err(word.into()),
                "{number} {serials:?}"
            );
        }
        let older = SignCertificateRequest { epoch: 0, ..leaf_of(&leaf(9)) };
        assert_eq!(refusal(&certificate(&mut client, older).await.unwrap_err()), "older_epoch");
        let older = SignCrlRequest { epoch: 0, ..crl_of(before, 8, &[&[2], &[3], &[4]]) };
        assert_eq!(sign(&mut crls, older).await, Err("older_epoch".into()));
        // The very same again.
        assert!(certificate(&mut client, leaf_of(&long)).await.is_ok());
        assert!(sign(&mut crls, last.clone()).await.is_ok());
        assert_eq!(support::files_of(&site.keystore()), files, "the journal hears of none");
    }
    // What has expired may go, and is still no serial for another.
    sign(&mut third.crl_client().await, crl_of("20260701000000Z", 8, &[&[2], &[4]])).await.unwrap();
    let other = Tbs { subject: support::x509::name("other"), ..leaf(3) };
    let refused = certificate(&mut second.client().await, leaf_of(&other)).await.unwrap_err();
    assert_eq!(refusal(&refused), "serial_used", "{refused}");
    assert_eq!(sign(&mut second.crl_client().await, last).await, Err("crl_number_not_above_last".into()));
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn a_signer_killed_while_it_signs_signs_no_serial_and_no_crl_number_twice() {
    let rounds: u16 = if std::env::var_os("TRSTCTL_TORTURE").is_some() { 500 } else { 20 };
    let site = Site::new();
    let signer = site.start("made").await;
    let (key, root, subject) = ca(&mut signer.client().await).await;
    signer.kill();
    let leaf = |serial: u16, name: &str| leaf_of_root(&key, &root, &subject, &serial.to_be_bytes(), name);
    let list = |number: u16, serials: &[&[u8]]| {
        let begins = time("20260401000000Z");
        let tbs = TbsCrl { this_update: begins, ..TbsCrl::new(&key, "Root", &number.to_be_bytes(), serials) };
        crl_request(&key, &root, tbs.der())
    };
    // As those that are killed: its first requests take longer than the later ones.
    let signer = site.start("measure").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    let begun = std::time::Instant::now();
    certificate(&mut client, leaf(0x7000, "measure")).await.unwrap();
    sign(&mut crls, list(0xff, &[])).await.unwrap();
    let takes = begun.elapsed();
    signer.kill();
    let (mut noted, mut answers) = (0, 0);
    for round in 0..rounds {
        let signer = site.start(&format!("r{round}")).await;
        let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
        let (serial, number) = (0x1000 + round, 0x100 + round);
        // Later and later behind the start of the requests, until a little behind their end; most of them early, where the note is written.
        let delay = takes.mul_f64(1.25 * (f64::from(round) / f64::from(rounds)).powi(3));
        let both = async {
            let signed = certificate(&mut client, leaf(serial, "first")).await;
            (signed, sign(&mut crls, list(number, &[])).await)
        };
        let killed = tokio::time::sleep(delay);
        let answered = tokio::select! { both = both => Some(both), () = killed => None };
        signer.kill();
        let journal = std::fs::read_to_string(site.keystore().join("journal")).unwrap();
        let is_known = journal.contains(&format!("\"serial\":\"{serial:04x}\""));
        assert!(is_known || answered.is_none(), "nothing leaves that the journal does not know");
        (noted, answers) = (noted + u16::from(is_known), answers + u16::from(answered.is_some()));
        let signer = site.start(&format!("s{round}")).await;
        let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
        if is_known {
            let refused = certificate(&mut client, leaf(serial, "second")).await.unwrap_err();
            assert_eq!(refusal(&refused), "serial_used", "{refused}");
        }
        // The same may be asked for again, whether it was answered or not.
        certificate(&mut client, leaf(serial, "first")).await.unwrap();
        sign(&mut crls, list(number, &[])).await.unwrap();
        let other = list(number, &[&[99]]);
        assert_eq!(sign(&mut crls, other).await, Err("crl_number_not_above_last".into()));
    }
    println!(
        "{rounds} kills within {:?}: {noted} behind the note, {answers} of them behind both answers",
        takes.mul_f64(1.25)
    );
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn many_requests_at_once_are_all_in_the_journal_and_no_serial_twice() {
    let site = Site::new();
    let signer = site.start("a").await;
    let (key, root, subject) = ca(&mut signer.client().await).await;
    let client = signer.client().await;
    // Each serial is asked for by two that mean different certificates.
    let asked = (0..200_u8).map(|number| {
        let (mut client, serial) = (client.clone(), 20 + number / 2);
        let request = leaf_of_root(&key, &root, &subject, &[serial], &format!("n{number}"));
        tokio::spawn(async move { certificate(&mut client, request).await })
    });
    let mut signed = 0;
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Ok(_) => signed += 1,
            Err(refused) => assert_eq!(refusal(&refused), "serial_used", "{refused}"),
        }
    }
    assert_eq!(signed, 100);
    // Store, two keys, the root.
    let health = signer.client().await.health(HealthRequest {}).await.unwrap().into_inner();
    assert_eq!(health.journal_entries, 4 + 100);
    assert!(site.journal_verify().status.success());
}

#[tokio::test]
async fn a_crl_of_a_hundred_thousand_is_signed_and_its_revocations_are_kept() {
    let site = Site::new();
    let signer = site.start("a").await;
    let (key, root, _) = ca(&mut signer.client().await).await;
    let serials: Vec<_> =
        (0..100_000_u32).map(|number| [&[1; 8][..], &number.to_be_bytes()].concat()).collect();
    let serials: Vec<_> = serials.iter().map(Vec::as_slice).collect();
    let mut crls = signer.crl_client().await;
    let whole = crl_request(&key, &root, crl_at(&key, "20260401000000Z", 1, &serials));
    sign(&mut crls, whole).await.unwrap();
    signer.kill();
    let signer = site.start("b").await;
    let mut crls = signer.crl_client().await;
    let without_one = crl_request(&key, &root, crl_at(&key, "20260401000000Z", 2, &serials[1..]));
    assert_eq!(sign(&mut crls, without_one).await, Err("serial_dropped".into()));
    assert!(site.journal_verify().status.success());
}
