//! `trstctl-dr keys` makes a CA without the server: root, intermediate and their CRLs, signed by a real `trstctl-signer`, verified by OpenSSL.

use std::fs;
use std::process::Command;

use trstctl_tests::{Run, Signer};

const ROOT: &str = "00000000-0000-4000-8000-00000000000a";
const INTERMEDIATE: &str = "00000000-0000-4000-8000-00000000000b";

/// A signer with the keys of a root and an intermediate.
fn signer_with_keys(algorithm: &str) -> Signer {
    let signer = Signer::start();
    for id in [ROOT, INTERMEDIATE] {
        let made = ["generate", "--algorithm", algorithm, "--purpose", "certificates,crls", "--id", id];
        signer.keys(&made).succeed();
    }
    signer
}

/// The same with `root.pem` and `intermediate.pem`.
fn signer_with_ca(algorithm: &str) -> Signer {
    let signer = signer_with_keys(algorithm);
    root(&signer, &[]).succeed();
    intermediate(&signer, &[]).succeed();
    signer
}

const OF_ROOT: &[&str] = &["certificate", "--root", "--ca", ROOT];
const OF_INTERMEDIATE: &[&str] = &["certificate", "--intermediate", "--ca", ROOT, "--key", INTERMEDIATE];

fn root(signer: &Signer, more: &[&str]) -> Run {
    with_defaults(signer, OF_ROOT, more, &[("--subject", "CN=Root,O=Example,C=NL"), ("--output", "root.pem")])
}

fn intermediate(signer: &Signer, more: &[&str]) -> Run {
    let defaults = [
        ("--issuer", "root.pem"),
        ("--subject", "CN=Intermediate,O=Example,C=NL"),
        ("--output", "intermediate.pem"),
    ];
    with_defaults(signer, OF_INTERMEDIATE, more, &defaults)
}

/// `trstctl-dr keys` with these arguments, and those of the defaults that are not among them.
fn with_defaults(signer: &Signer, command: &[&str], more: &[&str], defaults: &[(&str, &str)]) -> Run {
    let unsaid = defaults.iter().filter(|(flag, _)| !more.contains(flag));
    let unsaid: Vec<&str> = unsaid.flat_map(|(flag, value)| [*flag, *value]).collect();
    signer.keys(&[command, more, &unsaid].concat())
}

/// Its words, however they were wrapped.
fn said(run: &Run) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `openssl` says in the signer's folder, and whether it is content.
fn openssl(signer: &Signer, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).current_dir(signer.path("")).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[track_caller]
fn openssl_is_content(signer: &Signer, arguments: &[&str]) -> String {
    let (is_content, words) = openssl(signer, arguments);
    assert!(is_content, "{words}");
    words
}

#[test]
fn root_and_intermediate_of_every_algorithm_are_signed_and_verify() {
    for algorithm in ["p256", "p384", "rsa3072", "rsa4096", "ed25519"] {
        let signer = signer_with_ca(algorithm);
        let verify = ["verify", "-x509_strict", "-CAfile", "root.pem", "root.pem", "intermediate.pem"];
        openssl_is_content(&signer, &verify);
    }
    // OpenSSL before 3.5 does not know it; the command itself has verified.
    signer_with_ca("ml-dsa-65");
}

#[test]
fn certificates_say_what_was_asked_for() {
    let signer = signer_with_keys("p256");
    let made = root(&signer, &["--json", "--days", "100", "--path-len", "1"]).succeed().json();
    assert_eq!((&made["kind"], &made["subject"]), (&"root".into(), &"CN=Root,O=Example,C=NL".into()));
    let text = openssl_is_content(&signer, &["x509", "-in", "root.pem", "-noout", "-text"]);
    for words in [
        "Subject: C = NL, O = Example, CN = Root\n",
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:1\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
    ] {
        assert!(text.contains(words), "no {words}: {text}");
    }
    let serial = openssl_is_content(&signer, &["x509", "-in", "root.pem", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=").to_lowercase();
    assert_eq!((serial.len(), made["serial"].as_str()), (40, Some(serial.as_str())));
    intermediate(&signer, &[]).succeed();
    let of_root = openssl_is_content(&signer, &["x509", "-in", "root.pem", "-noout", "-enddate"]);
    let of_intermediate =
        openssl_is_content(&signer, &["x509", "-in", "intermediate.pem", "-noout", "-enddate"]);
    assert_eq!(of_root, of_intermediate, "an intermediate ends with its issuer when that is earlier");
    let text = openssl_is_content(&signer, &["x509", "-in", "intermediate.pem", "-noout", "-text"]);
    assert!(text.contains("CA:TRUE, pathlen:0\n") && text.contains("Authority Key Identifier"), "{text}");
}

#[test]
fn an_output_that_exists_is_left_alone_without_force() {
    let signer = signer_with_keys("p256");
    fs::write(signer.path("root.pem"), "mine").unwrap();
    root(&signer, &[]).fail(2, "usage");
    assert_eq!(fs::read_to_string(signer.path("root.pem")).unwrap(), "mine");
    root(&signer, &["--force"]).succeed();
    assert!(
        fs::read_to_string(signer.path("root.pem")).unwrap().starts_with("-----BEGIN CERTIFICATE-----\n")
    );
}

#[test]
fn what_the_signer_refuses_to_certify_is_named_and_nothing_is_written() {
    let signer = signer_with_ca("p256");
    root(&signer, &["--path-len", "0", "--output", "root-0.pem"]).succeed();
    let refusals: [(&[&str], &str); 4] = [
        (&["--subject", "CN=Root,O=Example,C=NL"], "bad_name"),
        (&["--days", "36525"], "bad_validity"),
        (&["--issuer", "intermediate.pem"], "bad_issuer"),
        (&["--issuer", "root-0.pem"], "wrong_constraints"),
    ];
    for (arguments, word) in refusals {
        let run = intermediate(&signer, &[arguments, &["--output", "no.pem"]].concat()).fail(8, "refused");
        assert!(
            said(&run).contains(&format!("({word})")) && said(&run).contains("to do: "),
            "{}",
            run.stderr
        );
        assert!(!signer.path("no.pem").exists());
    }
}

#[test]
fn mistakes_are_told_before_the_signer_is_asked() {
    let mut signer = signer_with_ca("p256");
    signer.stop();
    let mistakes: [(&[&str], &str); 4] = [
        (&["--subject", "Intermediate"], "RFC 4514"),
        (&["--issuer", "kek"], "no certificate"),
        (&["--issuer", "none.pem"], "cannot be read"),
        (&[], "exists already"),
    ];
    for (arguments, words) in mistakes {
        let run = intermediate(&signer, arguments).fail(2, "usage");
        assert!(said(&run).contains(words), "no {words}: {}", run.stderr);
    }
    for arguments in [&["--issuer", "root.pem"][..], &["--key", INTERMEDIATE]] {
        assert_eq!(root(&signer, arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn newest_epoch_is_taken_and_an_older_one_refused_by_name() {
    let signer = signer_with_keys("p256");
    root(&signer, &["--output", "a.pem", "--epoch", "7"]).succeed();
    root(&signer, &["--output", "b.pem"]).succeed();
    let run = root(&signer, &["--output", "c.pem", "--epoch", "6"]).fail(8, "refused");
    assert!(
        said(&run).contains("(older_epoch)") && said(&run).contains("Leave out --epoch"),
        "{}",
        run.stderr
    );
    assert_eq!(signer.keys(&["list", "--json"]).json()["signer"]["epoch"], 7);
}

fn crl(signer: &Signer, more: &[&str]) -> Run {
    with_defaults(
        signer,
        &["crl"],
        more,
        &[("--ca", ROOT), ("--issuer", "root.pem"), ("--output", "root.crl")],
    )
}

fn crl_of_intermediate(signer: &Signer, more: &[&str]) -> Run {
    let of = ["--ca", INTERMEDIATE, "--issuer", "intermediate.pem"];
    crl(signer, &[&of, more].concat())
}

/// The serial of a certificate, as OpenSSL prints it.
fn serial(signer: &Signer, certificate: &str) -> String {
    let said = openssl_is_content(signer, &["x509", "-in", certificate, "-noout", "-serial"]);
    said.trim().trim_start_matches("serial=").to_owned()
}

#[test]
fn crls_of_both_cas_of_every_algorithm_let_openssl_verify_the_chain() {
    for algorithm in ["p256", "p384", "rsa3072", "rsa4096", "ed25519"] {
        let signer = signer_with_ca(algorithm);
        crl(&signer, &["--output", "root-crl.pem"]).succeed();
        crl_of_intermediate(&signer, &["--output", "crl.pem", "--revoke", "0A:keyCompromise"]).succeed();
        let crls = ["root-crl.pem", "crl.pem"].map(|name| fs::read_to_string(signer.path(name)).unwrap());
        fs::write(signer.path("crls.pem"), crls.concat()).unwrap();
        let verify =
            ["verify", "-x509_strict", "-crl_check_all", "-CAfile", "root.pem", "-CRLfile", "crls.pem"];
        openssl_is_content(&signer, &[&verify[..], &["intermediate.pem"]].concat());
        let said =
            openssl_is_content(&signer, &["crl", "-in", "crl.pem", "-CAfile", "intermediate.pem", "-noout"]);
        assert!(said.contains("verify OK"), "{algorithm}: {said}");
        // The root revokes the intermediate.
        let revoke = serial(&signer, "intermediate.pem") + ":cACompromise";
        let next = ["--previous", "root-crl.pem", "--revoke", &revoke, "--output", "next.pem"];
        crl(&signer, &next).succeed();
        let verify =
            ["verify", "-crl_check_all", "-CAfile", "root.pem", "-CRLfile", "next.pem", "intermediate.pem"];
        let (is_content, said) = openssl(&signer, &verify);
        assert!(!is_content && said.contains("certificate revoked"), "{algorithm}: {said}");
    }
    let signer = signer_with_ca("ml-dsa-65");
    crl(&signer, &["--revoke", "0a"]).succeed();
    // It verifies its predecessor, and its answer.
    crl(&signer, &["--previous", "root.crl", "--output", "next.crl"]).succeed();
}

#[test]
fn the_next_crl_keeps_every_entry_with_date_and_reason_and_counts_on() {
    let signer = signer_with_ca("p256");
    crl(&signer, &["--number", "41", "--revoke", "0A:keyCompromise", "--revoke", "0100"]).succeed();
    let second = ["--json", "--previous", "root.crl", "--revoke", "0B:superseded", "--output", "second.pem"];
    let second = crl(&signer, &second).succeed().json();
    assert_eq!((&second["number"], &second["previous_number"]), (&42.into(), &41.into()));
    assert_eq!((&second["revoked"], &second["revoked_now"]), (&3.into(), &1.into()));
    let text = |arguments: &[&str]| {
        let text = openssl_is_content(&signer, &[&["crl", "-noout", "-text"], arguments].concat());
        text.lines()
            .skip_while(|line| !line.starts_with("Revoked"))
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (first, second) = (text(&["-inform", "DER", "-in", "root.crl"]), text(&["-in", "second.pem"]));
    let entries = |text: &str| -> Vec<String> {
        let entries = text.split("Signature Algorithm").next().unwrap().split("Serial Number: ").skip(1);
        entries.map(ToOwned::to_owned).collect()
    };
    let (first, second) = (entries(&first), entries(&second));
    assert_eq!(
        second.iter().map(|entry| entry.lines().next().unwrap()).collect::<Vec<_>>(),
        ["0A", "0B", "0100"]
    );
    assert_eq!([&second[0], &second[2]], [&first[0], &first[1]]);
    assert!(first[0].contains("Key Compromise") && second[1].contains("Superseded"), "{first:?} {second:?}");
}

#[test]
fn a_crl_that_goes_back_behind_the_last_is_refused_by_name() {
    let signer = signer_with_ca("p256");
    crl(&signer, &["--output", "1.crl"]).succeed();
    crl(&signer, &["--previous", "1.crl", "--revoke", "0A", "--output", "2.crl"]).succeed();
    // What came back from a backup is the first; the second is lost.
    let older = crl(&signer, &["--previous", "1.crl", "--output", "no.crl"]).fail(8, "refused");
    assert!(
        said(&older).contains("(crl_number_not_above_last)") && said(&older).contains("--previous"),
        "{}",
        older.stderr
    );
    let dropped =
        crl(&signer, &["--previous", "1.crl", "--number", "3", "--output", "no.crl"]).fail(8, "refused");
    assert!(said(&dropped).contains("(serial_dropped): serial 0a "), "{}", dropped.stderr);
    assert!(!signer.path("no.crl").exists());
    // What the advice leads to.
    let goes_on = ["--previous", "1.crl", "--number", "3", "--revoke", "0A", "--output", "3.crl"];
    crl(&signer, &goes_on).succeed();
    crl(&signer, &["--previous", "3.crl", "--output", "4.crl"]).succeed();
}

#[test]
fn a_previous_crl_that_is_not_the_cas_own_is_never_gone_on_from() {
    let signer = signer_with_ca("p256");
    crl(&signer, &["--revoke", "0A"]).succeed();
    crl_of_intermediate(&signer, &["--output", "other.crl"]).succeed();
    let after = |previous: &str| crl(&signer, &["--previous", previous, "--output", "no.crl"]);
    after("other.crl").fail(5, "tampered");
    let mut bytes = fs::read(signer.path("root.crl")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(signer.path("flipped.crl"), &bytes).unwrap();
    after("flipped.crl").fail(5, "tampered");
    fs::write(signer.path("short.crl"), &bytes[..last]).unwrap();
    for name in ["short.crl", "root.pem", "none.crl"] {
        after(name).fail(2, "usage");
    }
    assert!(!signer.path("no.crl").exists());
}

#[test]
fn mistakes_about_a_crl_are_told_and_nothing_is_signed() {
    let signer = signer_with_ca("p256");
    crl(&signer, &["--number", "5", "--revoke", "0A"]).succeed();
    let before = signer.keys(&["list", "--json"]).json()["signer"]["journal_entries"].clone();
    let mistakes: [(&[&str], &str); 6] = [
        (&["--previous", "root.crl", "--revoke", "0a", "--output", "no.crl"], "revoked already"),
        (&["--revoke", "0b", "--revoke", "0B", "--output", "no.crl"], "named twice"),
        (&["--previous", "root.crl", "--number", "5", "--output", "no.crl"], "not above"),
        (&["--previous", "root.crl", "--output", "no.txt"], ".pem for PEM"),
        (&["--previous", "root.crl"], "exists already"),
        (&["--previous", "root.crl", "--issuer", "root.crl", "--output", "no.crl"], "no certificate"),
    ];
    for (arguments, words) in mistakes {
        let run = crl(&signer, arguments).fail(2, "usage");
        assert!(said(&run).contains(words), "no {words}: {}", run.stderr);
    }
    for revoke in ["", "0", "00", "xy", "0a:", "0a:certificateHold", "0a:unspecified"] {
        let run = crl(&signer, &["--revoke", revoke, "--output", "no.crl"]);
        assert!(run.code == Some(2) && run.stderr.starts_with("error: "), "{revoke}: {}", run.stderr);
    }
    assert_eq!(signer.keys(&["list", "--json"]).json()["signer"]["journal_entries"], before);
}
