//! `trstctl-dr keys check` over what a real signer signed: what belongs together is said to, and each thing that does not is named.

#[path = "../../signer/tests/support/x509.rs"]
#[allow(dead_code, reason = "the signer's tests use the rest")]
mod x509;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use trstctl_formats::sealed_key::Kek;
use trstctl_signer_protocol::v1::{
    Algorithm, CertificateKind, GenerateKeyRequest, Key, LeafUsage, Purpose, SignCertificateRequest,
    SignCrlRequest,
};
use trstctl_signer_protocol::{connect, connect_for_crls};
use trstctl_tests::{Run, Signer, program, signer_binary};
use x509::{Tbs, TbsCrl};

const CA: &str = "00000001-0000-4000-8000-000000000001";
const OTHER: &str = "00000002-0000-4000-8000-000000000001";

/// A folder with a key store `keystore`, its `kek`, and what its two CAs signed: `ca.crt`, `other.crt`, `7.crl` and `8.crl` of
/// the first, `leaf.crt` of the first.
struct Stage(tempfile::TempDir);

/// What was signed once, for all tests: each gets a copy.
fn signed() -> &'static Path {
    static SIGNED: OnceLock<tempfile::TempDir> = OnceLock::new();
    SIGNED
        .get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(sign_all())
        })
        .path()
}

async fn sign_all() -> tempfile::TempDir {
    let mut signer = Signer::start();
    let mut client = connect(&signer.socket()).await.unwrap();
    let mut crls = connect_for_crls(&signer.socket()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keep = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let mut keys = Vec::new();
    for (id, algorithm) in [(CA, Algorithm::P256), (OTHER, Algorithm::Rsa3072)] {
        let purposes = vec![Purpose::Certificates.into(), Purpose::Crls.into()];
        let request = GenerateKeyRequest { key_id: id.to_owned(), algorithm: algorithm.into(), purposes };
        keys.push(client.generate_key(request).await.unwrap().into_inner());
    }
    let request = |key: &Key, tbs: Vec<u8>, kind: CertificateKind| SignCertificateRequest {
        key_id: key.key_id.clone(),
        tbs,
        kind: kind.into(),
        epoch: 1,
        ..Default::default()
    };
    let mut roots = Vec::new();
    for (key, name) in keys.iter().zip(["ca.crt", "other.crt"]) {
        let root = request(key, Tbs::root(key).der(), CertificateKind::Root);
        roots.push(client.sign_certificate(root).await.unwrap().into_inner().certificate);
        keep(name, &roots[roots.len() - 1]);
    }
    let crl = |number: u8| SignCrlRequest {
        key_id: CA.to_owned(),
        tbs: TbsCrl::new(&keys[0], "Root", &[number], &[&[4]]).der(),
        issuer_certificate: roots[0].clone(),
        epoch: 1,
    };
    keep("7.crl", &crls.sign_crl(crl(7)).await.unwrap().into_inner().crl);
    let leaf = |serial: u8| SignCertificateRequest {
        usages: vec![LeafUsage::ServerAuth.into()],
        issuer_certificate: roots[0].clone(),
        ..request(
            &keys[0],
            Tbs::leaf(serial, "Root", &keys[0], &keys[1].public_key).der(),
            CertificateKind::Leaf,
        )
    };
    keep("leaf.crt", &client.sign_certificate(leaf(2)).await.unwrap().into_inner().certificate);
    // The store goes into the backup here; what is signed below was published after it.
    copy(&signer.path("keystore"), &folder.path().join("keystore"));
    keep("8.crl", &crls.sign_crl(crl(8)).await.unwrap().into_inner().crl);
    keep("later.crt", &client.sign_certificate(leaf(3)).await.unwrap().into_inner().certificate);
    secret(&folder.path().join("kek"), &fs::read(signer.path("kek")).unwrap());
    signer.stop();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn secret(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        copy(signed(), stage.0.path());
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sealed(&self, id: &str) -> PathBuf {
        self.path("keystore").join(format!("{id}.key"))
    }

    /// `keys check` of store and KEK, with more arguments.
    fn check(&self, arguments: &[&str]) -> Run {
        let mut command = program();
        command.current_dir(self.0.path()).args(["keys", "check", "--keystore", "keystore", "--kek", "kek"]);
        Run::of(command.args(arguments))
    }

    /// The same as JSON.
    fn answer(&self, arguments: &[&str]) -> Answer {
        let arguments = [arguments, &["--json"]].concat();
        Answer(self.check(&arguments))
    }

    /// All that was signed before the backup.
    fn of_all(&self) -> Vec<&'static str> {
        vec!["--ca-certificate", "ca.crt", "other.crt", "--crl", "7.crl", "--leaf", "leaf.crt"]
    }
}

struct Answer(Run);

impl Answer {
    fn lines(&self) -> Vec<Value> {
        self.0.json()["lines"].as_array().unwrap().clone()
    }

    /// The line of this check about this subject has this verdict, and these words; a failed one says what to do, and so does the
    /// exit code.
    #[track_caller]
    fn says(&self, check: &str, subject: &str, verdict: &str, words: &[&str]) -> &Self {
        let lines = self.lines();
        let line = lines.iter().find(|line| line["check"] == check && line["subject"] == subject);
        let line = line.unwrap_or_else(|| panic!("no {check} about {subject}: {lines:#?}"));
        assert_eq!(line["verdict"], verdict, "{line:#}");
        for words in words {
            assert!(line.to_string().contains(words), "no {words:?} in {line:#}");
        }
        assert_eq!(line["to_do"] == "", verdict == "ok", "{line:#}");
        let has_failed = lines.iter().any(|line| line["verdict"] == "failed");
        assert_eq!(self.0.code, Some(i32::from(has_failed)), "{}", self.0.stderr);
        self
    }

    /// Checks that failed, by name.
    fn failed(&self) -> Vec<String> {
        let failed = self.lines().into_iter().filter(|line| line["verdict"] == "failed");
        failed.map(|line| line["check"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn what_belongs_together_is_ok_in_80_columns_and_nothing_is_written() {
    let stage = Stage::new();
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let modified = path.metadata().unwrap().modified().unwrap();
                (path, modified)
            })
            .collect();
        names.sort();
        names
    };
    let before = (names(stage.0.path()), names(&stage.path("keystore")));
    let answer = stage.answer(&stage.of_all());
    let kek_id = Kek::new([7; 32]).id().to_string();
    answer
        .says("KEK", &kek_id, "ok", &["2 of 2"])
        .says("journal", "", "ok", &["it holds"])
        .says("sealed key", CA, "ok", &["p256, certificates and crls"])
        .says("CA certificate", "ca.crt", "ok", &[CA])
        .says("CA certificate", "other.crt", "ok", &[OTHER])
        .says("CRL", "7.crl", "ok", &[CA, "number 7"])
        .says("leaf", "leaf.crt", "ok", &[CA, "serial 02"]);
    assert_eq!((answer.failed(), answer.0.code), (Vec::new(), Some(0)));
    assert_eq!(answer.0.json()["kek_id"], *kek_id);
    let table = stage.check(&stage.of_all()).succeed().stdout;
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("0 failed"), "{table}");
    assert_eq!((names(stage.0.path()), names(&stage.path("keystore"))), before);
}

#[test]
fn what_was_not_given_says_what_would_make_it_checkable() {
    let stage = Stage::new();
    let answer = stage.answer(&["--ca-certificate", "ca.crt"]);
    answer
        .says("CA certificate", OTHER, "not_checked", &["--ca-certificate"])
        .says("CRL", CA, "not_checked", &["number 7", "--crl"])
        .says("leaf", "", "not_checked", &["--leaf"]);
    assert_eq!(answer.failed(), Vec::<String>::new());
}

#[test]
fn a_wrong_kek_is_named_with_the_one_that_fits() {
    let stage = Stage::new();
    secret(&stage.path("kek"), &[9; 32]);
    let (given, right) = (Kek::new([9; 32]).id().to_string(), Kek::new([7; 32]).id().to_string());
    let answer = stage.answer(&stage.of_all());
    answer
        .says("KEK", &given, "failed", &["0 of 2", &right])
        .says("sealed key", CA, "failed", &[&given, &right, "wrong KEK"])
        .says("CA certificate", "ca.crt", "failed", &[CA, "does not open"])
        .says("CRL", "7.crl", "ok", &[CA])
        .says("leaf", "leaf.crt", "ok", &[CA]);
    stage.check(&[]).fail(1, "findings");
}

#[test]
fn a_damaged_and_a_forged_key_are_told_apart() {
    let stage = Stage::new();
    let flip = |id: &str, checksum: bool| {
        let mut bytes = fs::read(stage.sealed(id)).unwrap();
        bytes[200] ^= 1;
        if checksum {
            let end = bytes.len() - 32;
            let digest = Sha256::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&digest);
        }
        fs::write(stage.sealed(id), bytes).unwrap();
    };
    flip(CA, false);
    flip(OTHER, true);
    let answer = stage.answer(&stage.of_all());
    answer
        .says("KEK", &Kek::new([7; 32]).id().to_string(), "ok", &["0 of 2"])
        .says("sealed key", CA, "failed", &["damaged", "another copy"])
        .says("sealed key", OTHER, "failed", &["forged", "Somebody"]);
}

#[test]
fn a_certificate_of_another_ca_finds_no_key_and_a_missing_key_is_named() {
    let stage = Stage::new();
    fs::remove_file(stage.sealed(OTHER)).unwrap();
    let answer = stage.answer(&stage.of_all());
    answer.says("sealed key", OTHER, "failed", &["no file"]).says(
        "CA certificate",
        "other.crt",
        "failed",
        &["no key of this store", "no new CA"],
    );
    assert_eq!(answer.failed(), ["sealed key", "CA certificate"]);
}

#[test]
fn a_crl_above_the_journal_asks_for_a_floor_and_so_does_a_leaf_that_it_does_not_know() {
    let stage = Stage::new();
    let answer = stage.answer(&[
        "--ca-certificate",
        "ca.crt",
        "other.crt",
        "--crl",
        "8.crl",
        "7.crl",
        "--leaf",
        "later.crt",
    ]);
    let command = format!("trstctl-signer floor --ca {CA} --crl-number 8");
    answer
        .says("CRL", "8.crl", "failed", &["is 7", "older than what was published", &command])
        .says("CRL", "7.crl", "ok", &["number 7"])
        .says("leaf", "later.crt", "failed", &["serial 03", "--serials FILE"]);
    assert_eq!(answer.failed(), ["CRL", "leaf"]);
}

#[test]
fn a_crl_and_a_leaf_that_no_ca_here_signed_are_refused() {
    let stage = Stage::new();
    for (name, forged) in [("7.crl", "forged.crl"), ("leaf.crt", "forged.crt")] {
        let mut bytes = fs::read(stage.path(name)).unwrap();
        // In its signature, the last that it holds.
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        fs::write(stage.path(forged), bytes).unwrap();
    }
    // With the other CA's key alone.
    fs::rename(stage.sealed(CA), stage.path("away")).unwrap();
    let answer = stage.answer(&[
        "--ca-certificate",
        "ca.crt",
        "--crl",
        "7.crl",
        "forged.crl",
        "--leaf",
        "leaf.crt",
        "forged.crt",
    ]);
    answer
        .says("CRL", "7.crl", "failed", &["not in this store"])
        .says("leaf", "leaf.crt", "failed", &["not in this store"])
        .says("CRL", "forged.crl", "failed", &["did not sign it"])
        .says("leaf", "forged.crt", "failed", &["none of these"]);
}

#[test]
fn without_a_journal_keys_are_checked_and_the_rest_says_what_it_lacks() {
    let stage = Stage::new();
    fs::remove_file(stage.path("keystore/journal")).unwrap();
    let answer = stage.answer(&stage.of_all());
    answer
        .says("journal", "", "failed", &["trstctl-signer floor"])
        .says("sealed key", CA, "ok", &[])
        .says("CA certificate", "ca.crt", "ok", &[])
        .says("CRL", "7.crl", "not_checked", &["--crl-number 7"])
        .says("leaf", "leaf.crt", "not_checked", &["journal"]);
}

#[test]
fn a_ca_in_a_journal_begun_anew_needs_a_floor_and_then_a_crl_below_it_is_ok() {
    let stage = Stage::new();
    for name in ["journal", "journal.head"] {
        fs::remove_file(stage.path("keystore").join(name)).unwrap();
    }
    let mut floor = Command::new(signer_binary());
    floor.current_dir(stage.0.path()).args(["floor", "--keystore", "keystore", "--kek", "kek", "--ca", CA]);
    let floor = floor.args(["--crl-number", "8", "--by", "Ada", "--reason", "disk lost"]).output().unwrap();
    assert!(floor.status.success(), "{}", String::from_utf8_lossy(&floor.stderr));
    let answer = stage.answer(&["--ca-certificate", "ca.crt", "other.crt", "--crl", "8.crl"]);
    answer.says("floor", OTHER, "failed", &["signs nothing", "trstctl-signer floor --ca"]).says(
        "CRL",
        "8.crl",
        "ok",
        &["number 8"],
    );
    assert_eq!(answer.failed(), ["floor"]);
}

#[test]
fn a_program_that_is_no_signer_and_a_file_that_is_no_certificate_stop_no_other_line() {
    let stage = Stage::new();
    let answer = stage.answer(&["--ca-certificate", "kek", "--leaf", "leaf.crt"]);
    answer.says("CA certificate", "kek", "failed", &["no certificate"]).says("sealed key", CA, "ok", &[]);
    let mut command = program();
    command.current_dir(stage.0.path()).args([
        "keys",
        "check",
        "--json",
        "--keystore",
        "keystore",
        "--kek",
        "kek",
    ]);
    let answer = Answer(Run::of(command.args(["--signer", "/bin/false"])));
    answer.says("KEK", "kek", "failed", &["no report"]).says("leaf", "", "not_checked", &["Mend"]);
    secret(&stage.path("kek"), &[7; 31]);
    stage.answer(&[]).says("KEK", "kek", "failed", &["exactly 32 bytes"]);
}

const AUDIT_KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";
const IDENTITY: &[u8] =
    b"# example\nAGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

/// The keys of backups, right and wrong, and backups in `set`.
fn with_backups() -> Stage {
    let stage = Stage::new();
    fs::create_dir(stage.path("set")).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/examples");
    for name in ["v2-keyed.jsonl", "v2-keyed.jsonl.zst.age"] {
        fs::copy(examples.join(name), stage.path("set").join(name)).unwrap();
    }
    secret(&stage.path("audit.key"), AUDIT_KEY);
    secret(&stage.path("wrong.key"), b"the audit key of somebody else");
    secret(&stage.path("identity"), IDENTITY);
    let other = examples.join("../containers/keys/other.key");
    secret(&stage.path("other"), &fs::read(other).unwrap());
    stage
}

const PLAIN: &str = "set/v2-keyed.jsonl";
const ENCRYPTED: &str = "set/v2-keyed.jsonl.zst.age";

#[test]
fn audit_key_and_identity_that_fit_the_backups_are_ok_and_others_are_named() {
    let stage = with_backups();
    let backups = ["--backup", PLAIN, ENCRYPTED];
    let answer =
        stage.answer(&[&backups[..], &["--key-file", "audit.key", "--identity", "identity"]].concat());
    answer.says("audit key", PLAIN, "ok", &["authenticated"]).says(
        "audit key",
        ENCRYPTED,
        "ok",
        &["authenticated"],
    );
    let opens = |answer: &Answer, identity: &str| {
        let lines = answer.lines().into_iter().filter(|line| line["subject"] == identity);
        let verdict =
            |line: Value| (line["found"].as_str().unwrap().contains(ENCRYPTED), line["verdict"].clone());
        lines.map(verdict).collect::<Vec<_>>()
    };
    assert_eq!(opens(&answer, "identity"), [(false, "not_checked".into()), (true, "ok".into())]);
    let answer = stage.answer(&[&backups[..], &["--key-file", "wrong.key", "--identity", "other"]].concat());
    answer.says("audit key", PLAIN, "failed", &["wrong_key"]).says(
        "audit key",
        ENCRYPTED,
        "not_checked",
        &["--identity"],
    );
    assert_eq!(opens(&answer, "other"), [(false, "not_checked".into()), (true, "failed".into())]);
    let answer = stage.answer(&["--backup", PLAIN]);
    answer.says("audit key", PLAIN, "not_checked", &["--key-file"]).says(
        "identity",
        "",
        "not_checked",
        &["--identity"],
    );
    let mut damaged = fs::read(stage.path(PLAIN)).unwrap();
    damaged[300] ^= 1;
    fs::write(stage.path(PLAIN), damaged).unwrap();
    let answer = stage.answer(&["--backup", PLAIN, "--key-file", "audit.key"]);
    answer.says("audit key", PLAIN, "failed", &["damaged"]);
}

#[test]
fn a_clean_set_is_clean_and_each_secret_in_it_is_found_by_file_and_member() {
    let stage = with_backups();
    let keys = ["--key-file", "audit.key", "--identity", "identity", "--set", "set", "keystore"];
    let answer = stage.answer(&keys);
    for name in ["kek", "audit.key", "identity"] {
        answer.says("secret outside", name, "ok", &["no trace in 6 files", "closed to the search: 1"]);
    }
    let tar = |name: &str, flags: &str, members: &[&str]| {
        let mut command = Command::new("tar");
        command.current_dir(stage.0.path()).args([flags, name]).args(members);
        assert!(command.status().unwrap().success());
    };
    tar("set/etc.tar.gz", "-czf", &["ca.crt", "kek", "identity"]);
    let hexadecimal: String = AUDIT_KEY.trim_ascii().iter().map(|byte| format!("{byte:02X}")).collect();
    fs::write(stage.path("set/notes.txt"), format!("key: {hexadecimal}")).unwrap();
    let answer = stage.answer(&keys);
    answer
        .says("secret outside", "kek", "failed", &["set/etc.tar.gz > kek (raw)"])
        .says("secret outside", "identity", "failed", &["set/etc.tar.gz > identity (text)"])
        .says("secret outside", "audit.key", "failed", &["set/notes.txt (hexadecimal)"]);
}

#[test]
fn what_could_not_be_searched_is_a_line_and_then_no_secret_is_said_to_be_outside() {
    let stage = with_backups();
    let bomb = vec![0; 256 << 20];
    let file = fs::File::create(stage.path("set/bomb.gz")).unwrap();
    let mut gzip = Command::new("gzip");
    let mut gzip = gzip.arg("-9").stdin(std::process::Stdio::piped()).stdout(file).spawn().unwrap();
    std::io::Write::write_all(&mut gzip.stdin.take().unwrap(), &bomb).unwrap();
    assert!(gzip.wait().unwrap().success());
    fs::write(stage.path("set/a.7z"), b"7z\xbc\xaf\x27\x1c and more").unwrap();
    let answer = stage.answer(&["--set", "set"]);
    answer
        .says("set", "set/bomb.gz", "failed", &["bomb"])
        .says("set", "set/a.7z", "not_checked", &["7z"])
        .says("secret outside", "kek", "not_checked", &["not all could be searched"]);
}
