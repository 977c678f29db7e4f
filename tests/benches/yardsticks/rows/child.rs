//! Runs of programs as their own processes: how long they take, and how much memory they need.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trstctl_tests::program;

use crate::figures::seconds;
use crate::machine::kib;

/// `trstctl-dr verify` of this file with this key.
pub fn verify(file: &Path, key_file: &Path) -> Command {
    let mut command = program();
    command.args(["verify", "--json"]).arg(file);
    command.env("TRSTCTL_AUDIT_SIGNING_KEY_FILE", key_file);
    command
}

/// Bytes a second at which a command that must succeed goes through a file.
pub fn rate(command: &mut Command, file: &Path) -> f64 {
    let len = fs::metadata(file).expect("the file is there").len() as f64;
    len / seconds(|| succeeds(command))
}

/// Runs a command that must succeed.
pub fn succeeds(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the program starts");
    assert!(status.success(), "{command:?}: {status}");
}

/// The most memory in bytes that a command, which must succeed, ever had resident.
pub fn peak_bytes(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib: f64 = 0.0;
    while !has_ended(&mut child) {
        // It only rises, so the last look before the end misses nothing but the last milliseconds.
        peak_kib = peak_kib.max(kib(&status, "VmHWM:"));
        pause();
    }
    assert!(child.wait().expect("a child is waited for").success(), "{command:?} failed");
    peak_kib * 1024.0
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().expect("a child is asked").is_some()
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a process that ends by itself")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
