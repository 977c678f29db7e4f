//! The manifest: how every table is recovered, declared once in `manifest.toml`.

use std::fmt;

use serde::Deserialize;

use crate::{PUBLIC, READ_MODEL};

/// How a table comes back after a disaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryClass {
    /// Replayed from the log; lives in `read_model`.
    LogRebuild,
    /// From a backup of PostgreSQL; lives in `public`.
    PostgresBackup,
    /// Made anew; lives in `public`.
    Ephemeral,
}

impl RecoveryClass {
    /// The name in reports.
    pub fn report_name(self) -> &'static str {
        match self {
            RecoveryClass::LogRebuild => "recovered-by-log-rebuild",
            RecoveryClass::PostgresBackup => "recovered-from-postgres-backup",
            RecoveryClass::Ephemeral => "ephemeral",
        }
    }

    /// The schema that tables of this class live in.
    pub fn schema(self) -> &'static str {
        match self {
            RecoveryClass::LogRebuild => READ_MODEL,
            RecoveryClass::PostgresBackup | RecoveryClass::Ephemeral => PUBLIC,
        }
    }
}

/// The name in the manifest.
impl fmt::Display for RecoveryClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecoveryClass::LogRebuild => "log-rebuild",
            RecoveryClass::PostgresBackup => "postgres-backup",
            RecoveryClass::Ephemeral => "ephemeral",
        })
    }
}

/// What the manifest says of one table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// The table's name; its class fixes the schema.
    pub table: String,
    /// How it is recovered.
    pub class: RecoveryClass,
    /// Why so.
    pub why: String,
}

/// The manifest. A table may stand in it twice: that is for the audit to find.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Every table, in the order of the file.
    pub tables: Vec<TableEntry>,
}

/// A manifest that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the manifest cannot be read: {reason}")]
pub struct ManifestError {
    /// What is wrong with it, and where.
    pub reason: String,
}

impl Manifest {
    /// The manifest of this program.
    pub fn embedded() -> Self {
        Self::parse(include_str!("../manifest.toml")).expect("a test reads the embedded manifest")
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with the text, and in which line.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        read(text).map_err(|error| match error.span() {
            Some(_) => ManifestError { reason: error.to_string().trim().to_owned() },
            None => without_place(text, &error),
        })
    }

    /// The tables of one class.
    pub fn of_class(&self, class: RecoveryClass) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(move |entry| entry.class == class).map(|entry| entry.table.as_str())
    }

    /// Every class that this table is given; one, where all is well.
    pub fn classes_of(&self, table: &str) -> Vec<RecoveryClass> {
        self.tables.iter().filter(|entry| entry.table == table).map(|entry| entry.class).collect()
    }
}

fn read(text: &str) -> Result<Manifest, toml::de::Error> {
    toml::from_str(text)
}

/// An error that the parser gives no place, as for values nested too deeply: its line is the first that brings it about.
fn without_place(text: &str, error: &toml::de::Error) -> ManifestError {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).chain([text.len()]).collect();
    let is_before = |end: &usize| read(&text[..*end]).err().is_none_or(|error| error.span().is_some());
    let line = ends.partition_point(is_before).min(ends.len() - 1) + 1;
    ManifestError { reason: format!("line {line}: {}", error.to_string().trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_manifest_can_be_read_and_gives_every_table_a_reason() {
        let manifest = Manifest::embedded();
        assert_eq!(manifest.of_class(RecoveryClass::LogRebuild).count(), 11);
        assert!(manifest.tables.iter().all(|entry| !entry.why.is_empty()));
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_with_its_line() {
        let text = format!("tables = []\n\nx = {}\ny = 1\n", "[".repeat(2_000));
        let error = Manifest::parse(&text).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }

    #[test]
    fn manifest_error_says_the_line() {
        let error =
            Manifest::parse("[[tables]]\ntable = \"x\"\nclass = \"forever\"\nwhy = \"\"\n").unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
        assert!(error.to_string().contains("forever"), "{error}");
    }
}
