//! `trstctl-dr keys`: a key split for custodians and put together again, as its own process.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trstctl_formats::Digest;
use trstctl_formats::key_share::{Share, combine};
use trstctl_formats::sealed_key::{Kek, KeyHeader, seal};
use trstctl_tests::{Run, pause, program};

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
fn whoever_holds_a_key_leaves_no_core_file() {
    let mut command = program();
    command.args(["keys", "recover", "--check"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let limits = format!("/proc/{}/limits", waiting.id());
    // Soft and hard.
    let is_forbidden = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap_or_default();
        line.split_whitespace().take(2).eq(["0", "0"])
    };
    let end = Instant::now() + Duration::from_secs(20);
    // Where /proc hides what may not be looked at, it cannot be read any more.
    while !fs::read_to_string(&limits).map_or(true, is_forbidden) {
        assert!(Instant::now() < end, "core files may be written");
        pause();
    }
    drop(waiting.stdin.take());
    assert!(Run::from(waiting.wait_with_output().unwrap()).has_class("key_missing"));
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

/// A grid of modules, white around it, as a reader of QR codes takes it.
fn decoded(side: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
    const QUIET: usize = 4;
    let is_white = |at: usize| (0..side).all(|other| !is_dark(at, other) && !is_dark(other, at));
    assert!((0..QUIET).chain(side - QUIET..side).all(is_white), "there is white around the code");
    let grid = rqrr::SimpleGrid::from_func(side - 2 * QUIET, |x, y| is_dark(x + QUIET, y + QUIET));
    rqrr::Grid::new(grid).decode().unwrap().1
}

/// The QR code of a page: an SVG of squares.
fn code_of_page(page: &str) -> String {
    let between = |from: &str, to: &str| {
        let rest = page.split_once(from).unwrap().1;
        rest.split_once(to).unwrap().0.to_owned()
    };
    let side: usize = between("viewBox=\"0 0 ", " ").parse().unwrap();
    let path = between("<path d=\"", "\"");
    let squares: HashSet<(usize, usize)> = path
        .split_terminator("h1v1h-1z")
        .map(|square| square.strip_prefix('M').unwrap().split_once(' ').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    decoded(side, |x, y| squares.contains(&(x, y)))
}

/// The QR code of a terminal: two rows of modules a line.
fn code_of_screen(screen: &str) -> String {
    let lines: Vec<Vec<char>> = screen
        .lines()
        .filter_map(|line| line.split_once("\x1b[30;107m")?.1.split_once("\x1b[0m"))
        .map(|(line, _)| line.chars().collect())
        .collect();
    let is_dark = |x: usize, y: usize| match lines[y / 2][x] {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => y % 2 == 1,
        _ => false,
    };
    decoded(lines[0].len(), is_dark)
}

#[test]
fn code_of_every_sheet_is_read_as_the_share() {
    let ceremony = Ceremony::new();
    ceremony.split_into("shares");
    for n in 1..=5 {
        let text = fs::read_to_string(ceremony.path(&format!("shares/share-{n}.txt"))).unwrap();
        let page = fs::read_to_string(ceremony.path(&format!("shares/share-{n}.html"))).unwrap();
        assert_eq!(code_of_page(&page), text.lines().last().unwrap().replace(' ', ""));
    }
}

#[test]
fn shares_are_shown_on_a_terminal_one_after_the_other_and_wiped_off() {
    let ceremony = Ceremony::new();
    let program = program().get_program().to_str().unwrap().to_owned();
    let mut terminal = Command::new("script");
    terminal.current_dir(ceremony.0.path()).args(["-qec"]);
    terminal.arg(format!("{program} keys escrow --kek kek --print --rehearse")).arg("/dev/null");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[b'\n'; 10]).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    let mut screens: Vec<_> = shown.split("\x1b[H\x1b[2J\x1b[3J").collect();
    let last = screens.pop().unwrap();
    assert!(last.contains("10 sets of 3: each gives the key"), "{last}");
    assert!(!last.contains("TK1"), "no share is left on the screen");
    let texts: Vec<_> = screens.iter().map(|screen| code_of_screen(screen)).collect();
    assert_eq!(texts.len(), 5);
    for (text, screen) in texts.iter().zip(&screens) {
        let typed: String = screen.split_whitespace().collect();
        assert!(typed.contains(text.as_str()), "{screen}");
    }
    let shares: Vec<_> = texts[1..4].iter().map(|text| Share::parse(text).unwrap()).collect();
    assert_eq!(*combine(&shares).unwrap().file(), KEK);
    assert_eq!(fs::read_dir(ceremony.0.path()).unwrap().count(), 1, "the KEK alone, and nothing new");
}

#[test]
fn shares_go_to_no_pipe() {
    let ceremony = Ceremony::new();
    let run = ceremony.keys(&["escrow", "--kek", "kek", "--print", "--output", "shares"]).fail(2, "usage");
    assert!(!run.stdout.contains("TK1") && !ceremony.path("shares").exists());
}

#[test]
fn rehearsal_of_an_escrow_puts_every_set_together_and_holds_the_key_against_the_key_store() {
    let ceremony = Ceremony::new();
    ceremony.sealed_under(KEK);
    let escrow = ["escrow", "--kek", "kek", "--rehearse", "--keystore", "store", "--json", "--output"];
    let run = ceremony.keys(&[&escrow[..], &["shares"]].concat()).succeed();
    assert_eq!(run.json()["rehearsed_sets"], 10);
    assert_eq!(run.json()["sealed_keys"], 1);
    let unasked = ceremony.keys(&["escrow", "--kek", "kek", "--keystore", "store", "--output", "x"]);
    assert!(unasked.code == Some(2) && unasked.stderr.contains("--rehearse"), "{}", unasked.stderr);
    fs::remove_file(ceremony.path("store/one.key")).unwrap();
    ceremony.sealed_under([9; 32]);
    ceremony.keys(&[&escrow[..], &["others"]].concat()).fail(6, "wrong_key");
    assert!(!ceremony.path("others").exists(), "no share is made of a key that opens nothing");
}
