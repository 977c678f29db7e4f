//! The SQL of both schemas, the recovery class of every table, the runner, and the audit that no table is left out.
//!
//! [`files`] are the numbered migrations, embedded; [`Runner`] applies them, forward only; [`connect`] opens a session
//! from a DSN; [`roles`] makes and proves the two roles; [`Manifest`] says how each table is recovered; [`audit`]
//! compares manifest, SQL text and live catalog, and lists every finding.
#![warn(missing_docs)]

mod additions;
pub mod audit;
pub mod connect;
mod error;
pub mod files;
mod manifest;
pub mod roles;
mod runner;

pub use additions::Addition;
pub use error::Error;
pub use files::{Migration, Phase};
pub use manifest::{Manifest, ManifestError, RecoveryClass, TableEntry};
pub use runner::{Applied, Rehearsal, Runner, Status};

/// The schema that the log fills; it may be dropped and rebuilt at any time.
pub const READ_MODEL: &str = "read_model";
/// The schema of what the log cannot give back, and of what needs no recovery.
pub const PUBLIC: &str = "public";
/// What the names of shadow schemas begin with: a read model being built, or one just replaced.
pub const SHADOW_PREFIX: &str = "read_model_shadow_";
/// The same for a schema that was swapped out and waits to be dropped.
pub const RETIRED_PREFIX: &str = "read_model_retired_";
/// Owns both schemas: migrations, rebuild, export, diff, audit, import.
pub const OWNER_ROLE: &str = "trstctl_owner";
/// Does the API's work, one tenant at a time.
pub const APP_ROLE: &str = "trstctl_app";
/// Oldest supported PostgreSQL, as `server_version_num`.
pub const MIN_SERVER_VERSION: i32 = 150_000;

/// Keys of PostgreSQL advisory locks: six ASCII characters as a bigint (spec "High availability").
pub mod lock_keys {
    /// `ctlmgr`: one migration run at a time.
    pub const MIGRATIONS: i64 = 109_351_686_465_394;
    /// `ctlprj`: one transaction that applies events at a time.
    pub const PROJECTION: i64 = 109_351_686_664_810;
    /// `ctlreb`: one rebuild at a time.
    pub const REBUILD: i64 = 109_351_686_792_546;

    #[cfg(test)]
    mod tests {
        fn key(name: &str) -> i64 {
            name.bytes().fold(0, |key, byte| key << 8 | i64::from(byte))
        }

        #[test]
        fn lock_keys_spell_their_names() {
            assert_eq!(key("ctlmgr"), super::MIGRATIONS);
            assert_eq!(key("ctlprj"), super::PROJECTION);
            assert_eq!(key("ctlreb"), super::REBUILD);
        }
    }
}
