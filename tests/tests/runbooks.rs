//! The runbooks about keys, run as they are written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use trstctl_tests::{Run, Signer, binary, signer_binary};

/// A runbook, and a folder in place of the hosts that it speaks of.
struct Runbook {
    text: String,
    places: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Runbook {
    fn new(name: &str, places: &Path) -> Self {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks").join(name);
        for folder in ["srv/trstctl", "mnt/store", "mnt/kek", "mnt/published", "mnt/paper"] {
            fs::create_dir_all(places.join(folder)).unwrap();
        }
        Self { text: fs::read_to_string(document).unwrap(), places: places.to_owned(), variables: Vec::new() }
    }

    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.places.join(path)
    }

    /// Runs its commands in their order up to the first that fails: those that everybody needs, and those for these cases.
    fn run(&self, cases: &[&str]) -> Run {
        let mut script = String::from("set -euo pipefail\ntrap 'jobs -p | xargs -r kill; wait' EXIT\n");
        script.push_str(&self.commands(cases));
        for place in ["/srv/", "/mnt/"] {
            script = script.replace(place, &self.places.join(&place[1..]).display().to_string());
        }
        let folders =
            [binary(), signer_binary()].map(|program| program.parent().unwrap().display().to_string());
        let path = format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", path).env("USER", "operator").envs(self.variables.clone());
        Run::of(command.current_dir(&self.places).arg("-c").arg(script))
    }

    /// The blocks marked `sh`, or `sh` and one of these cases.
    fn commands(&self, cases: &[&str]) -> String {
        let mut commands = String::new();
        let mut is_wanted = false;
        for line in self.text.lines() {
            match line.trim().strip_prefix("```") {
                Some(mark) => {
                    let mut words = mark.split(' ');
                    is_wanted = words.next() == Some("sh") && words.all(|case| cases.contains(&case));
                }
                None if is_wanted => {
                    commands.push_str(line);
                    commands.push('\n');
                }
                None => {}
            }
        }
        assert!(!commands.is_empty(), "the runbook has commands");
        commands
    }
}

const ROOT: &str = "00000001-0000-4000-8000-000000000001";
const ISSUING: &str = "00000002-0000-4000-8000-000000000001";
const NEW: &str = "00000003-0000-4000-8000-000000000001";
const REVOKED: &str = "1234567890abcdef";

/// A CA that has issued a certificate, and published a CRL.
fn authority() -> Signer {
    let signer = Signer::start();
    let run = |arguments: &str| drop(signer.keys(&arguments.split(' ').collect::<Vec<_>>()).succeed());
    run(&format!("generate --algorithm p384 --purpose certificates,crls --id {ROOT}"));
    run(&format!("generate --algorithm p384 --purpose certificates,crls --id {ISSUING}"));
    run(&format!("certificate --root --ca {ROOT} --subject CN=Root --path-len 1 --output root.pem"));
    run(&format!(
        "certificate --intermediate --ca {ROOT} --issuer root.pem --key {ISSUING} --subject CN=Issuing --output issuing.pem"
    ));
    run(&format!("crl --ca {ROOT} --issuer root.pem --number 6 --output first.crl"));
    signer
}

/// The next CRL: it revokes a serial.
fn next_crl(signer: &Signer) {
    let crl = format!(
        "crl --ca {ROOT} --issuer root.pem --previous first.crl --revoke {REVOKED} --output second.crl"
    );
    signer.keys(&crl.split(' ').collect::<Vec<_>>()).succeed();
}

fn secret(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What is left when the host is lost: its KEK, and what was published.
fn published(signer: &Signer, runbook: &Runbook) {
    for (from, to) in [
        ("kek", "mnt/kek/kek"),
        ("root.pem", "mnt/published/ca.pem"),
        ("issuing.pem", "mnt/published/issued.pem"),
        ("second.crl", "mnt/published/ca.crl"),
    ] {
        fs::copy(signer.path(from), runbook.path(to)).unwrap();
    }
}

/// Whether the CRL has the number that follows the lost host's last one, and still revokes what that revoked.
fn assert_continues(crl: &Path) {
    let mut command = Command::new("openssl");
    command.args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(crl);
    let text = Run::of(&mut command).succeed().stdout;
    let number = text.split("X509v3 CRL Number:").nth(1).unwrap().split_whitespace().next();
    assert_eq!(number, Some("8"), "{text}");
    assert!(text.contains(&REVOKED.to_uppercase()), "{text}");
}

#[test]
fn a_ceremony_makes_a_ca_whose_shares_and_backup_bring_it_back() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let runbook = Runbook::new("key-ceremony.md", folder.path());
    let run = runbook.run(&[]).succeed();
    assert!(run.stdout.contains("PROVEN"), "{}", run.stdout);
    assert!(!runbook.path("mnt/paper/shares").exists());
}

#[test]
fn a_ca_whose_host_is_lost_goes_on_where_it_was() {
    let mut signer = authority();
    next_crl(&signer);
    signer.stop();
    let runbook = Runbook::new("signer-host-lost.md", &signer.path("")).with("CA", ROOT);
    copy(&signer.path("keystore"), &runbook.path("mnt/store"));
    published(&signer, &runbook);
    runbook.run(&["kek", "check"]).succeed();
    assert_continues(&runbook.path("srv/trstctl/next.crl"));
}

#[test]
fn a_kek_comes_from_shares_when_its_file_is_gone() {
    let mut signer = authority();
    next_crl(&signer);
    let escrow = ["escrow", "--kek", "kek", "--shares", "3", "--threshold", "2", "--output", "shares"];
    signer.keys(&escrow).succeed();
    signer.stop();
    let runbook = Runbook::new("signer-host-lost.md", &signer.path("")).with("CA", ROOT);
    copy(&signer.path("keystore"), &runbook.path("mnt/store"));
    published(&signer, &runbook);
    fs::remove_file(runbook.path("mnt/kek/kek")).unwrap();
    for share in ["share-1.txt", "share-3.txt"] {
        fs::copy(signer.path("shares").join(share), runbook.path("mnt/kek").join(share)).unwrap();
    }
    runbook.run(&["shares", "check"]).succeed();
    assert_continues(&runbook.path("srv/trstctl/next.crl"));
}

/// With its journal as it was before the last CRL, and without any.
#[test]
fn a_store_older_than_what_was_published_is_named_and_goes_on_above_a_floor() {
    for has_journal in [true, false] {
        let mut signer = authority();
        let runbook = Runbook::new("signer-host-lost.md", &signer.path("")).with("CA", ROOT);
        copy(&signer.path("keystore"), &runbook.path("mnt/store"));
        next_crl(&signer);
        signer.stop();
        published(&signer, &runbook);
        if !has_journal {
            fs::remove_file(runbook.path("mnt/store/journal")).unwrap();
            fs::remove_file(runbook.path("mnt/store/journal.head")).unwrap();
        }
        let checked = runbook.run(&["kek", "check"]);
        assert_ne!(checked.code, Some(0));
        assert!(checked.stdout.contains("trstctl-signer floor"), "{}", checked.stdout);
        assert!(!runbook.path("srv/trstctl/next.crl").exists());
        runbook.run(&["kek", "floor"]).succeed();
        assert_continues(&runbook.path("srv/trstctl/next.crl"));
    }
}

#[test]
fn a_store_from_the_middle_of_a_rewrap_whose_journal_is_gone_goes_on_under_the_new_kek() {
    let mut signer = authority();
    next_crl(&signer);
    signer.stop();
    let runbook =
        Runbook::new("signer-host-lost.md", &signer.path("")).with("CA", ROOT).with("OTHER", ISSUING);
    let sealed = |id: &str| signer.path("keystore").join(format!("{id}.key"));
    let under_the_old = fs::read(sealed(ROOT)).unwrap();
    secret(&runbook.path("mnt/kek/new-kek"), &[8; 32]);
    let mut rewrap = Command::new(signer_binary());
    rewrap.arg("rewrap").arg("--keystore").arg(signer.path("keystore")).arg("--kek").arg(signer.path("kek"));
    Run::of(rewrap.arg("--new-kek").arg(runbook.path("mnt/kek/new-kek"))).succeed();
    fs::write(sealed(ROOT), under_the_old).unwrap();
    copy(&signer.path("keystore"), &runbook.path("mnt/store"));
    for name in ["journal", "journal.head"] {
        fs::remove_file(runbook.path("mnt/store").join(name)).unwrap();
    }
    published(&signer, &runbook);
    fs::rename(runbook.path("mnt/kek/kek"), runbook.path("mnt/kek/old-kek")).unwrap();
    fs::rename(runbook.path("mnt/kek/new-kek"), runbook.path("mnt/kek/kek")).unwrap();
    // Neither KEK is enough for a floor over the whole store.
    let refused = runbook.run(&["kek", "floor"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("nothing was written"), "{}", refused.stderr);
    let run = runbook.run(&["two-keks"]).succeed();
    assert!(run.stdout.contains("All 2 keys are sealed under the KEK"), "{}", run.stdout);
    assert!(run.stdout.contains("by this run: 1."), "{}", run.stdout);
    assert_continues(&runbook.path("srv/trstctl/next.crl"));
}

#[test]
fn an_intermediate_whose_key_is_gone_is_replaced_and_then_revoked() {
    let mut signer = authority();
    fs::remove_file(signer.path("keystore").join(format!("{ISSUING}.key"))).unwrap();
    signer.start_again();
    let runbook = Runbook::new("ca-key-lost.md", &signer.path("")).with("ROOT", ROOT).with("NEW", NEW);
    let runbook = runbook.with("TRSTCTL_SIGNER_SOCKET", signer.socket().to_str().unwrap());
    for (from, to) in [("root.pem", "root.pem"), ("issuing.pem", "issuing.pem"), ("first.crl", "root.crl")] {
        fs::copy(signer.path(from), runbook.path("mnt/published").join(to)).unwrap();
    }
    let run = runbook.run(&["intermediate"]).succeed();
    assert!(run.stderr.contains("certificate revoked"), "{}", run.stderr);
}

#[test]
fn a_root_whose_key_is_gone_is_replaced_by_a_new_ca_and_then_not_trusted() {
    let mut signer = authority();
    fs::remove_file(signer.path("keystore").join(format!("{ROOT}.key"))).unwrap();
    signer.start_again();
    let next = format!("crl --ca {ROOT} --issuer root.pem --previous first.crl --output second.crl");
    signer.keys(&next.split(' ').collect::<Vec<_>>()).fail(8, "refused");
    let runbook = Runbook::new("ca-key-lost.md", &signer.path(""));
    for (from, to) in [("root.pem", "root.pem"), ("issuing.pem", "issuing.pem"), ("first.crl", "root.crl")] {
        fs::copy(signer.path(from), runbook.path("mnt/published").join(to)).unwrap();
    }
    let run = runbook.run(&["root"]).succeed();
    let said = |what: &str| run.stdout.lines().filter(|line| line.ends_with(what)).count();
    assert_eq!((said("issuing.pem: OK"), said("issuing-2.pem: OK")), (1, 3), "{}", run.stdout);
    assert!(run.stderr.contains("unable to get local issuer certificate"), "{}", run.stderr);
    let read = |path: &str| fs::read(runbook.path(path)).unwrap();
    assert_eq!(read("mnt/published/trusted.pem"), read("srv/trstctl/root-2.pem"));
    assert_ne!(read("srv/trstctl/kek"), fs::read(signer.path("kek")).unwrap());
    let describe = |certificate: &str| {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-subject", "-pubkey", "-in"]).arg(runbook.path(certificate));
        Run::of(&mut command).succeed().stdout
    };
    for (old, new) in [("root.pem", "root-2.pem"), ("issuing.pem", "issuing-2.pem")] {
        let [old, new] =
            [format!("mnt/published/{old}"), format!("srv/trstctl/{new}")].map(|path| describe(&path));
        assert!(old.lines().zip(new.lines()).filter(|(old, new)| old != new).count() >= 3, "{old}{new}");
    }
}
