//! What an audit can find, each with the words for a person and what to do.

use std::fmt;

use super::facts::TableName;
use crate::RecoveryClass;
use crate::roles::InheritingLogin;

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In the SQL files.
    Files,
    /// In a live database.
    Live,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Files => "the SQL files",
            Source::Live => "the live database",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A table without a class: nothing would bring it back.
    UnclassifiedTable {
        /// The table.
        table: TableName,
        /// The file that makes it, or "the live catalog".
        seen_in: String,
        /// Where it was found.
        source: Source,
    },
    /// A class for a table that does not exist.
    ClassWithoutTable {
        /// The name in the manifest.
        table: String,
        /// Its class.
        class: RecoveryClass,
        /// Where it is missing.
        source: Source,
    },
    /// A table that the manifest lists more than once.
    TwoClasses {
        /// The name in the manifest.
        table: String,
        /// Its classes.
        classes: Vec<RecoveryClass>,
    },
    /// A table in the schema of another class.
    WrongSchema {
        /// The table.
        table: TableName,
        /// Its class.
        class: RecoveryClass,
        /// Where it was found.
        source: Source,
    },
    /// A foreign key between `read_model` and the rest: dropping the read model would reach independent rows.
    CrossSchemaForeignKey {
        /// The table that has it.
        from: TableName,
        /// The table that it points to.
        to: TableName,
        /// Where it was found.
        source: Source,
    },
    /// A tenant table that lacks a part of row-level security.
    RowSecurityMissing {
        /// The table.
        table: TableName,
        /// What is missing.
        missing: String,
        /// Where it was found.
        source: Source,
    },
    /// A policy besides the two: it may open the table further.
    UnexpectedPolicy {
        /// The table.
        table: TableName,
        /// The policy.
        policy: String,
        /// Where it was found.
        source: Source,
    },
    /// A table that the files make and the live database does not have.
    NotInDatabase {
        /// The table.
        table: TableName,
        /// The file that makes it.
        seen_in: String,
    },
    /// A table of the live database that no file makes.
    NotInFiles {
        /// The table.
        table: TableName,
    },
    /// A login that sees every tenant's rows without asking for the role.
    InheritingLogin(InheritingLogin),
    /// A file whose text does not end where it should.
    UnreadableSql {
        /// The file.
        file: String,
        /// What does not end.
        what: String,
    },
}

impl Finding {
    /// A short name that does not change, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Finding::UnclassifiedTable { .. } => "unclassified_table",
            Finding::ClassWithoutTable { .. } => "class_without_table",
            Finding::TwoClasses { .. } => "two_classes",
            Finding::WrongSchema { .. } => "wrong_schema",
            Finding::CrossSchemaForeignKey { .. } => "cross_schema_foreign_key",
            Finding::RowSecurityMissing { .. } => "row_security_missing",
            Finding::UnexpectedPolicy { .. } => "unexpected_policy",
            Finding::NotInDatabase { .. } => "not_in_database",
            Finding::NotInFiles { .. } => "not_in_files",
            Finding::InheritingLogin(_) => "inheriting_login",
            Finding::UnreadableSql { .. } => "unreadable_sql",
        }
    }

    /// The table or login that it is about.
    pub fn subject(&self) -> String {
        match self {
            Finding::UnclassifiedTable { table, .. }
            | Finding::WrongSchema { table, .. }
            | Finding::RowSecurityMissing { table, .. }
            | Finding::UnexpectedPolicy { table, .. }
            | Finding::NotInDatabase { table, .. }
            | Finding::NotInFiles { table } => table.to_string(),
            Finding::CrossSchemaForeignKey { from, .. } => from.to_string(),
            Finding::ClassWithoutTable { table, .. } | Finding::TwoClasses { table, .. } => table.clone(),
            Finding::InheritingLogin(login) => login.login.clone(),
            Finding::UnreadableSql { file, .. } => file.clone(),
        }
    }

    /// The SQL file that it points to, if one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Finding::UnclassifiedTable { seen_in, source: Source::Files, .. }
            | Finding::NotInDatabase { seen_in, .. } => Some(seen_in),
            Finding::UnreadableSql { file, .. } => Some(file),
            _ => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Finding::UnclassifiedTable { .. } => {
                "Add it to migrations/manifest.toml: log-rebuild, postgres-backup or ephemeral, and why.".into()
            }
            Finding::ClassWithoutTable { source: Source::Files, .. } => {
                "Remove it from the manifest, or add the migration that makes it.".into()
            }
            Finding::ClassWithoutTable { source: Source::Live, .. } | Finding::NotInDatabase { .. } => {
                "Run the pending migrations.".into()
            }
            Finding::TwoClasses { .. } => "Keep the entry that is true.".into(),
            Finding::WrongSchema { class, .. } => format!("Tables of this class live in {}.", class.schema()),
            Finding::CrossSchemaForeignKey { .. } => {
                "Drop the foreign key: a rebuild replaces read_model as a whole.".into()
            }
            Finding::RowSecurityMissing { .. } => {
                "Add it in a new migration: without it a tenant may see another's rows, or an export sees none.".into()
            }
            Finding::UnexpectedPolicy { .. } => "Drop it, or make it one of the two.".into(),
            Finding::NotInFiles { .. } => "Drop it, or add the migration that makes it.".into(),
            Finding::InheritingLogin(login) => login.remedy(),
            Finding::UnreadableSql { .. } => "Mend the file: nothing after that place was audited.".into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::UnclassifiedTable { table, seen_in, .. } => {
                write!(f, "table {table} ({seen_in}) has no recovery class")
            }
            Finding::ClassWithoutTable { table, class, source } => {
                write!(
                    f,
                    "the manifest gives {table} the class {class}, and there is no such table in {source}"
                )
            }
            Finding::TwoClasses { table, classes } => {
                let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
                write!(f, "the manifest lists {table} {} times: {}", classes.len(), classes.join(", "))
            }
            Finding::WrongSchema { table, class, source } => {
                write!(f, "table {table} is of class {class} and lives in the wrong schema ({source})")
            }
            Finding::CrossSchemaForeignKey { from, to, source } => {
                write!(f, "a foreign key goes from {from} to {to} ({source})")
            }
            Finding::RowSecurityMissing { table, missing, source } => {
                write!(f, "tenant table {table} lacks {missing} ({source})")
            }
            Finding::UnexpectedPolicy { table, policy, source } => {
                write!(
                    f,
                    "tenant table {table} has the policy {policy}, which is neither of the two ({source})"
                )
            }
            Finding::NotInDatabase { table, seen_in } => {
                write!(f, "table {table} of {seen_in} is not in the live database")
            }
            Finding::NotInFiles { table } => {
                write!(f, "no SQL file makes table {table} of the live database")
            }
            Finding::InheritingLogin(login) => login.fmt(f),
            Finding::UnreadableSql { file, what } => {
                write!(f, "{file} cannot be read: a {what} does not end")
            }
        }
    }
}
