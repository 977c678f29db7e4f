//! `trstctl-dr keys`: a key split for custodians and put together again, as its own process.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use trstctl_formats::Digest;
use trstctl_formats::sealed_key::{Kek, KeyHeader, seal};
use trstctl_tests::{Run, program};

const KEK: [u8; 32] = *b"a key of thirty-two bytes, no le";

/// A folder with a KEK, and three of five shares of it in `shares`.
struct Ceremony(tempfile::TempDir);

impl Ceremony {
    fn new() -> Self {
        let ceremony = Self(tempfile::tempdir().unwrap());
        secret_file(&ceremony.path("kek"), &KEK);
        ceremony
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn keys(&self, arguments: &[&str]) -> Run {
        Run::of(program().current_dir(self.0.path()).arg("keys").args(arguments))
    }

    fn split_into(&self, folder: &str) {
        self.keys(&["escrow", "--kek", "kek", "--output", folder]).succeed();
    }

    fn sealed_under(&self, kek: [u8; 32]) {
        fs::create_dir_all(self.path("store")).unwrap();
        let header = KeyHeader {
            algorithm: 5,
            purposes: 4,
            generation: 1,
            deployment_id: [1; 16],
            key_id: [2; 16],
            public_key_sha256: Digest([3; 32]),
        };
        let file = seal(&Kek::new(kek), &header, &[4; 24], b"a private key").unwrap();
        fs::write(self.path("store/one.key"), file).unwrap();
    }
}

fn secret_file(path: &Path, content: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn kek_comes_back_from_three_files_into_a_new_file_and_never_over_one() {
    let ceremony = Ceremony::new();
    ceremony.split_into("shares");
    let recover =
        ["recover", "--output", "again", "shares/share-2.txt", "shares/share-5.txt", "shares/share-4.txt"];
    ceremony.keys(&recover).succeed();
    assert_eq!(fs::read(ceremony.path("again")).unwrap(), KEK);
    assert_eq!(mode(&ceremony.path("again")), 0o600);
    ceremony.keys(&recover).fail(2, "usage");
}

#[test]
fn rehearsal_of_typed_shares_proves_the_key_store_and_writes_nothing() {
    let ceremony = Ceremony::new();
    ceremony.split_into("shares");
    ceremony.sealed_under(KEK);
    let typed: String = (1..=3)
        .map(|n| fs::read_to_string(ceremony.path(&format!("shares/share-{n}.txt"))).unwrap())
        .collect();
    let before = fs::read_dir(ceremony.0.path()).unwrap().count();
    let mut command = program();
    command.current_dir(ceremony.0.path()).args([
        "keys",
        "recover",
        "--check",
        "--json",
        "--keystore",
        "store",
    ]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.to_lowercase().as_bytes()).unwrap();
    let run = Run::from(child.wait_with_output().unwrap()).succeed();
    assert_eq!((run.json()["sealed_keys"].as_u64(), run.json()["output"].is_null()), (Some(1), true));
    assert_eq!(run.json()["key"], Kek::new(KEK).id().to_string());
    assert_eq!(fs::read_dir(ceremony.0.path()).unwrap().count(), before);
}

#[test]
fn key_store_under_another_kek_is_named_before_anything_is_written() {
    let ceremony = Ceremony::new();
    ceremony.split_into("shares");
    ceremony.sealed_under([9; 32]);
    let run = ceremony.keys(&[
        "recover",
        "--output",
        "again",
        "--keystore",
        "store",
        "shares/share-1.txt",
        "shares/share-2.txt",
        "shares/share-3.txt",
    ]);
    let run = run.fail(6, "wrong_key");
    assert!(run.stderr.contains(&Kek::new([9; 32]).id().to_string()), "{}", run.stderr);
    assert!(!ceremony.path("again").exists());
}

#[test]
fn too_few_mixed_and_mistyped_shares_are_told_apart_by_exit_status() {
    let ceremony = Ceremony::new();
    ceremony.split_into("shares");
    ceremony.split_into("anew");
    let check = |files: [&str; 3]| ceremony.keys(&[&["recover", "--check"][..], &files].concat());
    check(["shares/share-1.txt", "shares/share-2.txt", "shares/share-2.txt"]).fail(6, "key_missing");
    check(["shares/share-1.txt", "shares/share-2.txt", "anew/share-3.txt"]).fail(4, "inconsistent");
    let text = fs::read_to_string(ceremony.path("shares/share-3.txt")).unwrap();
    let share = text.lines().last().unwrap();
    let (letter, other) = (&share[42..43], if &share[42..43] == "Q" { "P" } else { "Q" });
    assert_ne!(letter, " ");
    secret_file(&ceremony.path("typed"), [&share[..42], other, &share[43..]].concat().as_bytes());
    let run = check(["shares/share-1.txt", "shares/share-2.txt", "typed"]).fail(4, "damaged");
    assert!(run.stderr.contains("group 8") && !run.stderr.contains(&share[12..17]), "{}", run.stderr);
}

#[test]
fn folder_of_shares_is_new_and_private_and_its_sheets_ask_for_nothing_outside() {
    let ceremony = Ceremony::new();
    let run = ceremony.keys(&["escrow", "--json", "--kek", "kek", "--output", "shares"]).succeed();
    assert_eq!(mode(&ceremony.path("shares")), 0o700);
    for n in 1..=5 {
        let (text, page) = (
            ceremony.path(&format!("shares/share-{n}.txt")),
            ceremony.path(&format!("shares/share-{n}.html")),
        );
        assert_eq!((mode(&text), mode(&page)), (0o600, 0o600));
        let (text, page) = (fs::read_to_string(text).unwrap(), fs::read_to_string(page).unwrap());
        let share = text.lines().last().unwrap();
        assert!(page.contains(share) && page.contains("<svg") && page.contains("default-src 'none'"));
        assert!(!page.contains("src=") && !page.contains("href="));
        assert!(!run.stdout.contains(&share[18..40]) && !run.stderr.contains(&share[18..40]));
    }
    ceremony.keys(&["escrow", "--kek", "kek", "--output", "shares"]).fail(2, "usage");
}

#[test]
fn age_identity_comes_back_and_is_known_by_its_recipient() {
    let ceremony = Ceremony::new();
    let vector = include_str!("../../formats/tests/vectors/key-share/identity-2-of-3.txt");
    secret_file(&ceremony.path("vector"), vector.as_bytes());
    ceremony.keys(&["recover", "--output", "identity", "vector"]).succeed();
    ceremony
        .keys(&[
            "escrow",
            "--identity",
            "identity",
            "--shares",
            "3",
            "--threshold",
            "2",
            "--output",
            "shares",
        ])
        .succeed();
    let recipient = "age13aqvttdk3ujkyjh9kg2w5an6dmy5mq5a84a4uxk3hfhnugfc9p0sy5p2wh";
    let check = ["recover", "--check", "shares/share-1.txt", "shares/share-3.txt", "--expect"];
    ceremony.keys(&[&check[..], &[recipient]].concat()).succeed();
    ceremony.keys(&[&check[..], &["age1other"]].concat()).fail(6, "wrong_key");
}
