//! Memory is bounded whatever the size of file and log, so that the program runs where a container allows it 128 MiB.

use std::fs::File;
use std::io::copy;
use std::process::Command;

use tempfile::TempDir;
use trstctl_engines::NatsOptions;
use trstctl_formats::container::{Compression, seal};
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Running, Site, binary, cases, program, write_wide};

const MIB: u64 = 1 << 20;

/// What a verify of ten thousand tenants and lines up to 1 MiB may have resident.
const MOST_BYTES: u64 = 64 * MIB;

/// A folder with such a backup: 100 MB, 2 GB in the whole form.
fn wide() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_wide(&folder.path().join("wide.jsonl"), cases(100, 2_000), None);
    folder
}

#[test]
fn verify_of_many_tenants_and_long_lines_takes_at_most_64_mib() {
    let folder = wide();
    let file = folder.path().join("wide.jsonl");
    let (run, peak_bytes) = Running::start(program().arg("verify").arg(file)).end_measured();
    run.succeed();
    println!("  {:.1} MiB", peak_bytes as f64 / MIB as f64);
    assert!((MIB..=MOST_BYTES).contains(&peak_bytes), "{peak_bytes} bytes");
}

#[test]
fn verify_needs_no_more_where_address_space_is_limited_to_128_mib() {
    let folder = wide();
    let compressed = File::create(folder.path().join("wide.jsonl.zst")).unwrap();
    let mut sealed = seal(compressed, Compression::Zstd, &[]).unwrap();
    copy(&mut File::open(folder.path().join("wide.jsonl")).unwrap(), &mut sealed).unwrap();
    sealed.finish().unwrap();
    let limited = |command: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -v 131072; {command}")]).env_clear().env("DR", binary());
        Run::from(shell.current_dir(folder.path()).output().unwrap())
    };
    for verify in ["verify wide.jsonl", "verify wide.jsonl.zst", "verify - < wide.jsonl"] {
        limited(&format!("exec \"$DR\" {verify}")).succeed();
    }
}

/// What a backup or a restore may have resident; 45 to 58 MiB were seen at a million events.
const MOST_OF_A_LOG_BYTES: u64 = 96 * MIB;

/// What else a rebuild may have resident, besides the rows that it was allowed.
const BESIDE_ROWS_BYTES: u64 = 64 * MIB;
const ROWS_MIB: u64 = 64;

#[test]
fn backup_restore_and_rebuild_of_a_log_larger_than_their_memory_stay_within_it() {
    let mut site = Site::start();
    site.seed(History::new(91, cases(200_000, 1_000_000)));
    let peak = |site: &Site, arguments: &[&str]| {
        let (run, peak_bytes) = Running::start(&mut site.command(arguments)).end_measured();
        // The history holds what a rebuild finds and tells.
        assert!(run.code == Some(0) || (arguments[0] == "rebuild" && run.code == Some(1)), "{}", run.stderr);
        println!("  {:<8}{:.1} MiB", arguments[0], peak_bytes as f64 / MIB as f64);
        peak_bytes
    };
    let backup_bytes = peak(&site, &["backup", "--output", "a.jsonl"]);
    let file_bytes = site.path("a.jsonl").metadata().unwrap().len();
    assert!(file_bytes > MOST_OF_A_LOG_BYTES, "{file_bytes} bytes: too small to show anything");
    assert!((MIB..=MOST_OF_A_LOG_BYTES).contains(&backup_bytes), "{backup_bytes} bytes");
    site.lose_log(NatsOptions::default());
    let restore_bytes = peak(&site, &["restore", "a.jsonl"]);
    assert!((MIB..=MOST_OF_A_LOG_BYTES).contains(&restore_bytes), "{restore_bytes} bytes");
    let rebuild_bytes = peak(&site, &["rebuild", "--memory-mib", &ROWS_MIB.to_string()]);
    assert!((MIB..=ROWS_MIB * MIB + BESIDE_ROWS_BYTES).contains(&rebuild_bytes), "{rebuild_bytes} bytes");
}
