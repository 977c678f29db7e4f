//! Engines as their callers meet them: real servers, real signals.

mod client;
mod embedded;
mod ends;
mod nats;
mod postgres;
mod setup;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A folder that the account of PostgreSQL can pass, as a data directory's parent must be.
fn passable_folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks, within the deadline")]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
