//! Engines as their callers meet them: real servers, real signals.

mod client;
mod embedded;
mod ends;
mod nats;
mod postgres;
mod setup;

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

/// A folder that the account of PostgreSQL can pass, as a data directory's parent must be.
fn passable_folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap()
}
