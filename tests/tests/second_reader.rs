//! The second reader on backups of real logs: the same answers and exit codes as `trstctl-dr verify`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use trstctl_ledger::history::{History, HistoryOptions, Odd};
use trstctl_tests::{Run, Site, flip_byte};

/// Runs the second reader in the site's folder.
fn second_reader(site: &Site, arguments: &[&str]) -> Run {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format/read_backup.py");
    let folder = site.path("");
    Run::of(Command::new("python3").arg(reader).args(arguments).current_dir(folder))
}

fn verify(site: &Site, file: &str) -> Value {
    site.dr(&["verify", "--json", file]).json()
}

/// Both readers' views of a file, which must be the same.
#[track_caller]
fn assert_same(site: &Site, file: &str) -> Value {
    let ours = verify(site, file);
    let theirs = second_reader(site, &["--key-file", "audit.key", "--json", file]).json();
    assert_eq!(ours["exit_code"], theirs["exit_code"], "{ours}\n{theirs}");
    if ours["ok"] == true {
        for key in ["format_version", "records", "sha256", "merkle_root", "keyed", "authenticated"] {
            assert_eq!(ours["files"][0][key], theirs[key], "{key}");
        }
    } else {
        assert_eq!(ours["error"]["class"], theirs["class"], "{ours}\n{theirs}");
    }
    theirs
}

#[test]
fn backup_of_a_log_with_gaps_and_odd_messages_is_read_alike() {
    let site = Site::start();
    site.seed(History::new(11, 2_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    assert_eq!(assert_same(&site, "a.jsonl")["authenticated"], true);
    flip_byte(&site.path("a.jsonl"), 100_000);
    assert_eq!(assert_same(&site, "a.jsonl")["class"], "damaged");
    assert_eq!(second_reader(&site, &["a.jsonl"]).code, Some(6));
}

#[test]
fn backup_of_version_1_is_read_alike() {
    let site = Site::start();
    site.seed(History::with_options(12, 500, HistoryOptions { odd: Odd::None, ..Default::default() }));
    site.dr(&["backup", "--format-version", "1", "--output", "a.jsonl"]).succeed();
    assert!(assert_same(&site, "a.jsonl")["records"].is_u64());
    flip_byte(&site.path("a.jsonl"), 30_000);
    assert_eq!(assert_same(&site, "a.jsonl")["class"], "damaged");
}

#[test]
fn compressed_backup_is_read_after_the_tool_that_the_second_reader_names() {
    let site = Site::start();
    site.seed(History::new(13, 200));
    site.dr(&["backup", "--compress", "--output", "a.jsonl.zst"]).succeed();
    let told = second_reader(&site, &["--key-file", "audit.key", "a.jsonl.zst"]);
    assert!(told.code == Some(2) && told.stdout.contains("zstd -d"), "{}", told.stdout);
}
