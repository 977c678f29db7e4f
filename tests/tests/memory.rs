//! Verify needs little memory whatever the file holds, so that it runs where a container allows it 128 MiB.

use tempfile::TempDir;
use trstctl_tests::{Running, cases, program, write_wide};

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
