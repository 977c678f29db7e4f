//! Damaged files of real backups: each is refused by `restore` as by `verify`, and the empty target stays without a stream.
//!
//! A sample; the outcomes of all damage to a small file are in `docs/damage.md`. Whole under `make torture`.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use sha2::Digest as _;
use trstctl_engines::NatsOptions;
use trstctl_ledger::history::{History, HistoryOptions, Odd};
use trstctl_tests::{Chance, Run, Site, cases, is_whole};

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// A site with backups of one log in every container, whose log is then lost.
fn site_with_backups() -> (Site, [&'static str; 4]) {
    let mut site = Site::start();
    site.seed(History::with_options(5, 120, HistoryOptions { odd: Odd::None, ..Default::default() }));
    write(&site, "identity.key", IDENTITY.as_bytes());
    fs::set_permissions(site.path("identity.key"), Permissions::from_mode(0o600)).unwrap();
    for (file, options) in [
        ("two.jsonl", &[][..]),
        ("one.jsonl", &["--format-version", "1"]),
        ("two.jsonl.zst", &["--compress"]),
        ("two.jsonl.zst.age", &["--compress", "--recipient", RECIPIENT]),
    ] {
        let output = ["backup", "--output", file];
        site.dr(&[&output[..], options].concat()).succeed();
    }
    site.lose_log(NatsOptions::default());
    (site, ["two.jsonl", "one.jsonl", "two.jsonl.zst", "two.jsonl.zst.age"])
}

fn write(site: &Site, name: &str, bytes: &[u8]) {
    File::create(site.path(name)).and_then(|mut file| file.write_all(bytes)).unwrap();
}

/// One accident, decided by chance, and its name.
fn damaged(original: &[u8], chance: &mut Chance) -> (String, Vec<u8>) {
    let mut bytes = original.to_vec();
    let at = usize::try_from(chance.up_to(original.len() as u64)).unwrap() - 1;
    let kind = chance.up_to(5);
    let what = match kind {
        1 | 2 => {
            let bit = chance.up_to(8) - 1;
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        3 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        4 => {
            bytes.extend_from_slice(b"{}\n");
            String::from("an object appended")
        }
        _ => {
            bytes.drain(at..(at + 300).min(original.len()));
            format!("300 bytes lost at {at}")
        }
    };
    (what, bytes)
}

fn run(site: &Site, command: &str) -> Run {
    site.dr(&[command, "--identity", "identity.key", "damaged"])
}

/// The class that a refusal names.
fn class(run: &Run) -> &str {
    run.stderr.lines().find_map(|line| line.split_once(": ")).map_or("", |(class, _)| class)
}

#[test]
fn no_damaged_file_leaves_a_stream_behind() {
    let (site, files) = site_with_backups();
    let mut chance = if is_whole() { Chance::for_test("damaged files") } else { Chance::of(106) };
    let mut refused = 0;
    for file in files {
        let original = fs::read(site.path(file)).unwrap();
        for _ in 0..cases(10, 400) {
            let (what, bytes) = damaged(&original, &mut chance);
            write(&site, "damaged", &bytes);
            let verified = run(&site, "verify");
            // A bit that means nothing: the trailer of version 1 has 39, and a zstd frame some.
            if verified.code == Some(0) && (file.starts_with("one") || file.ends_with(".zst")) {
                continue;
            }
            let restored = run(&site, "restore");
            assert!((3..=6).contains(&restored.code.unwrap()), "{file}, {what}: {}", restored.stderr);
            assert_eq!(
                (restored.code, class(&restored)),
                (verified.code, class(&verified)),
                "{file}, {what}"
            );
            site.dr(&["backup", "--output", "none.jsonl"]).fail(8, "no_stream");
            refused += 1;
        }
    }
    assert!(refused >= cases(30, 1200), "{refused}");
    site.dr(&["restore", "--identity", "identity.key", files[3]]).succeed();
}

/// What somebody may have made of a keyed file, and under which key it is then restored.
struct Forgery {
    what: &'static str,
    key: Option<&'static str>,
    make: fn(&[String]) -> Vec<String>,
    /// Exit code and class of version 1, then of version 2.
    refusals: [(i32, &'static str); 2],
}

const FORGERIES: [Forgery; 6] = [
    Forgery {
        what: "a line dropped",
        key: Some("audit.key"),
        make: |lines| [&lines[..40], &lines[41..]].concat(),
        refusals: [(4, "damaged"), (4, "damaged")],
    },
    Forgery {
        what: "a line doubled",
        key: Some("audit.key"),
        make: |lines| [&lines[..41], &lines[40..]].concat(),
        refusals: [(4, "damaged"), (4, "damaged")],
    },
    Forgery {
        what: "two lines swapped",
        key: Some("audit.key"),
        make: |lines| {
            let mut lines = lines.to_vec();
            lines.swap(40, 41);
            lines
        },
        refusals: [(4, "damaged"), (4, "damaged")],
    },
    Forgery {
        what: "a digit changed under a right checksum",
        key: Some("audit.key"),
        make: |lines| {
            let mut lines = lines.to_vec();
            let end = lines.len() - 1;
            let at = lines[40].rfind(|c: char| c.is_ascii_digit()).unwrap();
            let other = if lines[40][at..].starts_with('1') { "2" } else { "1" };
            lines[40].replace_range(at..=at, other);
            let covered: String = lines[..end].iter().map(|line| format!("{line}\n")).collect();
            let (before, digest) = lines[end].split_once("\"sha256\":\"").unwrap();
            lines[end] = format!("{before}\"sha256\":\"{}{}", sha256(covered.as_bytes()), &digest[64..]);
            lines
        },
        refusals: [(5, "tampered"), (5, "tampered")],
    },
    Forgery {
        what: "the wrong key",
        key: Some("other.key"),
        make: <[String]>::to_vec,
        refusals: [(5, "tampered"), (6, "wrong_key")],
    },
    Forgery {
        what: "no key",
        key: None,
        make: <[String]>::to_vec,
        refusals: [(6, "key_missing"), (6, "key_missing")],
    },
];

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_forged_file_leaves_a_stream_behind() {
    let (site, _) = site_with_backups();
    site.write_secret("other.key", "a key of somebody else");
    for file in ["one.jsonl", "two.jsonl"] {
        let text = fs::read_to_string(site.path(file)).unwrap();
        let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        for Forgery { what, key, make, refusals } in FORGERIES {
            let (code, refusal) = refusals[usize::from(file == "two.jsonl")];
            write(&site, "damaged", (make(&lines).join("\n") + "\n").as_bytes());
            let run = |command| {
                let mut command = site.command(&[command, "damaged"]);
                match key {
                    Some(key) => command.env("TRSTCTL_AUDIT_SIGNING_KEY_FILE", site.path(key)),
                    None => command.env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE"),
                };
                Run::of(&mut command)
            };
            for command in ["verify", "restore"] {
                let run = run(command);
                assert_eq!((run.code, class(&run)), (Some(code), refusal), "{file}, {what}: {}", run.stderr);
            }
            site.dr(&["backup", "--output", "none.jsonl"]).fail(8, "no_stream");
        }
    }
    site.dr(&["restore", "two.jsonl"]).succeed();
}
