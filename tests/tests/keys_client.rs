//! `trstctl-dr keys` as the client of a real `trstctl-signer`: what it lists and makes, and what it says when it cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use serde_json::json;
use trstctl_tests::{Run, Signer, program, signer_binary};

const ID: &str = "11111111-2222-4333-8444-555555555555";

/// Names of the sealed keys in the key store.
fn sealed(signer: &Signer) -> Vec<String> {
    let entries = fs::read_dir(signer.path("keystore")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".key")).collect();
    names.sort();
    names
}

/// Its words, however they were wrapped.
fn said(run: &Run) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn keys_of_every_algorithm_are_made_and_listed_in_80_columns() {
    let signer = Signer::start();
    let empty = signer.keys(&["list"]).succeed();
    assert!(empty.stdout.starts_with("The signer holds no key."), "{}", empty.stdout);
    for algorithm in ["p256", "p384", "rsa3072", "rsa4096", "ml-dsa-65"] {
        let made = signer.keys(&["generate", "--algorithm", algorithm, "--purpose", "certificates,crls"]);
        assert!(made.succeed().stdout.contains(algorithm));
    }
    signer.keys(&["generate", "--algorithm", "ed25519", "--purpose", "tree-heads"]).succeed();
    let listed = signer.keys(&["list"]).succeed();
    assert!(listed.stdout.lines().all(|line| line.chars().count() <= 80), "{}", listed.stdout);
    for words in ["p384       certificates,crls  1", "ed25519    tree-heads         1"] {
        assert!(listed.stdout.contains(words), "no {words}: {}", listed.stdout);
    }
    assert_eq!(sealed(&signer).len(), 6);
}

#[test]
fn list_as_json_says_what_each_key_is_and_how_the_signer_is() {
    let signer = Signer::start();
    let made = signer.keys(&["generate", "--json", "--algorithm", "p256", "--purpose", "crls", "--id", ID]);
    let made = made.succeed().json()["key"].clone();
    let mut listed = signer.keys(&["list", "--json"]).succeed().json();
    assert_eq!(listed["keys"], json!([made]));
    assert_eq!(made["public_key_sha256"].as_str().unwrap().len(), 64);
    for (key, digits) in [("deployment_id", 32), ("kek_id", 32), ("journal_head", 64)] {
        let text = listed["signer"][key].take();
        let text = text.as_str().unwrap();
        assert!(text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}: {text}");
    }
    assert!(listed["signer"]["degraded"].take().is_array());
    assert!(listed["signer"]["version"].take().is_string());
    listed["keys"][0]["public_key_sha256"].take();
    let expected = json!({
        "id": ID, "algorithm": "p256", "purposes": ["crls"], "generation": 1, "public_key_sha256": null,
    });
    assert_eq!(listed["keys"], json!([expected]));
    let expected = json!({
        "version": null, "deployment_id": null, "kek_id": null, "keys": 1, "journal_entries": listed["signer"]["journal_entries"],
        "journal_head": null, "epoch": 0, "degraded": null,
    });
    assert_eq!(listed["signer"], expected);
}

#[test]
fn asking_for_a_key_again_makes_no_second_one() {
    let signer = Signer::start();
    let ask = |id: &str| signer.keys(&["generate", "--algorithm", "p256", "--purpose", "crls", "--id", id]);
    ask(ID).succeed();
    let again = ask(ID).fail(2, "usage");
    for words in ["key_exists", ID, "keys list"] {
        assert!(said(&again).contains(words), "no {words}: {}", again.stderr);
    }
    assert_eq!(sealed(&signer).len(), 1);
}

#[test]
fn id_chosen_at_random_is_told_before_the_request_and_with_every_failure() {
    let mut signer = Signer::start();
    let made = signer.keys(&["generate", "--algorithm", "ed25519", "--purpose", "certificates"]).succeed();
    let told = made.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(made.stderr.starts_with("Asking for the key ") && made.stdout.contains(&told), "{}", made.stderr);
    signer.stop();
    let failed = signer.keys(&["--quiet", "generate", "--algorithm", "ed25519", "--purpose", "certificates"]);
    let failed = failed.fail(8, "unreachable");
    assert!(said(&failed).contains("Ask again with --id "), "{}", failed.stderr);
}

#[test]
fn refusals_come_out_by_their_word() {
    let signer = Signer::start();
    let run = signer.keys(&["generate", "--algorithm", "p256", "--purpose", "tree-heads", "--id", ID]);
    assert!(run.fail(2, "usage").stderr.contains("(bad_request): a key for tree heads is an Ed25519 key"));
    assert_eq!(sealed(&signer).len(), 0);
    signer.keys(&["generate", "--algorithm", "dsa", "--purpose", "crls"]).fail_as_a_mistake();
    signer.keys(&["generate", "--algorithm", "p256"]).fail_as_a_mistake();
}

#[test]
fn a_ca_whose_past_a_new_journal_does_not_know_signs_no_crl_and_what_to_do_is_said() {
    const OTHER: &str = "22222222-3333-4444-8555-666666666666";
    let mut signer = Signer::start();
    let keys = |signer: &Signer, words: &str| signer.keys(&words.split(' ').collect::<Vec<_>>());
    for id in [ID, OTHER] {
        let words = format!("generate --algorithm p256 --purpose certificates,crls --id {id}");
        keys(&signer, &words).succeed();
    }
    keys(&signer, &format!("certificate --root --ca {ID} --subject CN=Root --output root.pem")).succeed();
    keys(&signer, &format!("crl --ca {ID} --issuer root.pem --number 6 --output 6.crl")).succeed();
    signer.stop();
    for name in ["journal", "journal.head"] {
        fs::remove_file(signer.path("keystore").join(name)).unwrap();
    }
    let floor = |signer: &Signer, of: &str, number: &str| {
        let mut command = std::process::Command::new(signer_binary());
        command
            .arg("floor")
            .arg("--keystore")
            .arg(signer.path("keystore"))
            .arg("--kek")
            .arg(signer.path("kek"));
        command.args(["--by", "Ada", "--reason", "the disk burnt", "--ca", of, "--crl-number", number]);
        Run::of(&mut command).succeed()
    };
    // It begins the journal, which adopts both keys.
    floor(&signer, OTHER, "0");
    signer.start_again();
    let next = format!("crl --ca {ID} --issuer root.pem --previous 6.crl --output 7.crl");
    let refused = keys(&signer, &next).fail(8, "refused");
    let floor_of_it = format!("trstctl-signer floor --ca {ID} --crl-number N");
    for words in ["(no_floor)", &floor_of_it, "trstctl-signer floor --ca ID --crl-number N"] {
        assert!(said(&refused).contains(words), "no {words}: {}", refused.stderr);
    }
    assert!(!signer.path("7.crl").exists());
    // Which is what to do; the signer that runs takes it up.
    floor(&signer, ID, "6");
    assert_eq!(keys(&signer, &format!("--json {next}")).succeed().json()["number"], 7);
}

trait Mistake {
    fn fail_as_a_mistake(self);
}

impl Mistake for Run {
    #[track_caller]
    fn fail_as_a_mistake(self) {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
    }
}

#[test]
fn a_signer_that_is_not_there_is_told_from_one_that_has_gone_and_one_that_nobody_named() {
    let mut signer = Signer::start();
    let missing = signer.keys(&["list", "--socket", "run/none"]).fail(8, "unreachable");
    assert!(missing.stderr.contains("there is no such socket") && missing.stderr.contains("run/none"));
    assert!(missing.stderr.contains("trstctl-signer --keystore DIR"), "{}", missing.stderr);
    // Killed, it leaves its socket behind.
    signer.stop();
    let gone = signer.keys(&["list"]).fail(8, "unreachable");
    assert!(gone.stderr.contains("no signer listens on it"), "{}", gone.stderr);
    let nobody = Run::of(program().args(["keys", "list"])).fail(2, "usage");
    assert!(nobody.stderr.contains("TRSTCTL_SIGNER_SOCKET"), "{}", nobody.stderr);
}

#[test]
fn socket_may_be_named_by_flag_environment_or_file() {
    let signer = Signer::start();
    signer.keys(&["list", "--socket", "run/s"]).succeed();
    fs::write(signer.path("config.toml"), "signer_socket = \"run/s\"\n").unwrap();
    let mut command = program();
    command.current_dir(signer.path("")).args(["--config", "config.toml", "keys", "list"]);
    Run::of(&mut command).succeed();
}

/// A process of another user is dropped by the signer without an answer.
#[test]
fn a_user_that_the_signer_was_not_told_of_learns_how_to_be_let_in() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root may become another user");
        return;
    }
    let signer = Signer::start();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(signer.path(""), open.clone()).unwrap();
    let as_user = |uid: u32| {
        let mut command = program();
        command.current_dir("/").args(["keys", "list", "--socket"]).arg(signer.socket()).uid(uid);
        Run::of(&mut command).fail(8, "unreachable")
    };
    let closed = as_user(12345);
    assert!(said(&closed).contains("may not open the socket") && said(&closed).contains("--allow-uid 12345"));
    fs::set_permissions(signer.path("run"), open).unwrap();
    fs::set_permissions(signer.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let foreign = as_user(12345);
    assert!(said(&foreign).contains("without an answer") && said(&foreign).contains("--allow-uid 12345"));
}
