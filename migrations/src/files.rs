//! The numbered SQL files, embedded in the program.
//!
//! A file's name says what it is: `NNNN-public-…` runs in `public`; `NNNN-read_model-tables`, `-keys` and `-access` name
//! no schema and run under `search_path`, so that a rebuild makes a shadow from the same files: bare tables first, keys
//! and access after loading. A released file is never edited (a test holds their digests); a change is a new file.

use sha2::{Digest, Sha256};

use crate::{PUBLIC, READ_MODEL};

/// When a file runs while a shadow of the read model is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not part of the read model.
    Public,
    /// Bare tables: before loading.
    Tables,
    /// Primary keys and the indexes by which a merge finds its rows: after the first load.
    Keys,
    /// Other indexes, row-level security, policies, grants: last (PostgreSQL takes no COPY under row-level security).
    Access,
}

/// One migration.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its number, from 1, without gaps.
    pub number: i32,
    /// File name without `.sql`.
    pub name: &'static str,
    /// Where it belongs.
    pub phase: Phase,
    /// Its text.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of the text, lower-case hex.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.sql.as_bytes()))
    }

    /// The schema that it runs in.
    pub fn schema(&self) -> &'static str {
        match self.phase {
            Phase::Public => PUBLIC,
            Phase::Tables | Phase::Keys | Phase::Access => READ_MODEL,
        }
    }
}

macro_rules! migrations {
    ($($number:literal $phase:ident $name:literal;)*) => {
        /// All migrations, in order.
        pub const MIGRATIONS: &[Migration] = &[$(Migration {
            number: $number,
            name: $name,
            phase: Phase::$phase,
            sql: include_str!(concat!("../sql/", $name, ".sql")),
        }),*];
    };
}

migrations! {
    1 Public "0001-public-ledger";
    2 Public "0002-public-tables";
    3 Public "0003-public-access";
    4 Tables "0004-read_model-tables";
    5 Keys "0005-read_model-keys";
    6 Access "0006-read_model-access";
}

/// The texts that make this phase of a read model, in order, for the schema that `search_path` names.
pub fn read_model_sql(phase: Phase) -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().filter(move |migration| migration.phase == phase).map(|migration| migration.sql)
}

/// The statements that make this phase in the schema of this name, within a transaction. The name must need no quotes.
pub fn phase_sql(schema: &str, phase: Phase) -> String {
    let texts: Vec<_> = read_model_sql(phase).collect();
    format!("SET LOCAL search_path = {schema}; {};", texts.join(";\n"))
}

/// The statements that begin a read model in a schema of this name. The name must need no quotes.
pub fn create_schema_sql(schema: &str) -> String {
    format!("CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO {};", crate::APP_ROLE)
}
