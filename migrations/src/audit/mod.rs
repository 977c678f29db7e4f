//! The audit: manifest against SQL text, and against a live catalog, both ways, every finding listed.
//!
//! A table that no class covers is a table that no recovery brings back. So the audit never stops at the first finding,
//! and both sources go through the same rules.

mod catalog;
mod facts;
mod finding;
mod sql_text;
mod tokens;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use self::catalog::Catalog;
pub use self::facts::{Policy, Reach, TableFacts, TableName, Tables};
pub use self::finding::{Finding, Source};
use crate::files::MIGRATIONS;
use crate::{APP_ROLE, Error, Manifest, OWNER_ROLE, READ_MODEL};

/// A migration file as the audit reads it. A name that holds `read_model` puts unqualified names into that schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files of this program.
pub fn embedded_files() -> Vec<SqlFile> {
    MIGRATIONS
        .iter()
        .map(|file| SqlFile { name: format!("{}.sql", file.name), text: file.sql.to_owned() })
        .collect()
}

/// The `.sql` files of a folder and those below it, in the order of their names.
pub fn load_dir(folder: &Path) -> Result<Vec<SqlFile>, Error> {
    let mut files = Vec::new();
    collect(folder, &mut BTreeSet::new(), &mut files).map_err(|error| Error::Settings {
        what: format!("the folder {} cannot be read: {error}", folder.display()),
        hint: "Give the folder that holds the migration files.".into(),
    })?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        return Err(Error::Settings {
            what: format!("the folder {} holds no .sql file", folder.display()),
            hint: "Give the folder that holds the migration files.".into(),
        });
    }
    Ok(files)
}

/// A link to a folder may lead back to one that was `seen`.
fn collect(folder: &Path, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<SqlFile>) -> std::io::Result<()> {
    if !seen.insert(folder.canonicalize()?) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, seen, files)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql")) {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            if !path.metadata()?.is_file() {
                return Err(std::io::Error::other(format!("{} is no regular file", path.display())));
            }
            let bytes = std::fs::read(&path)?;
            files.push(SqlFile { name, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
    Ok(())
}

/// Compares the manifest with the SQL files and, when given, with a live database. All findings, sorted, none twice.
pub fn audit(sql: &[SqlFile], manifest: &Manifest, live: Option<&Catalog>) -> Vec<Finding> {
    let (in_files, unreadable) = sql_text::read(sql);
    let mut findings: Vec<Finding> = unreadable
        .into_iter()
        .map(|(file, what)| Finding::UnreadableSql { file, what: what.into() })
        .collect();
    findings.extend(two_classes(manifest));
    findings.extend(one_source(&in_files, manifest, Source::Files));
    if let Some(live) = live {
        findings.extend(one_source(&live.tables, manifest, Source::Live));
        findings.extend(files_against_live(&in_files, &live.tables));
        findings.extend(live.inheriting.iter().cloned().map(Finding::InheritingLogin));
    }
    findings.sort();
    findings.dedup();
    findings
}

fn two_classes(manifest: &Manifest) -> Vec<Finding> {
    let names: BTreeSet<_> = manifest.tables.iter().map(|entry| entry.table.as_str()).collect();
    names
        .into_iter()
        .map(|table| (table, manifest.classes_of(table)))
        .filter(|(_, classes)| classes.len() > 1)
        .map(|(table, classes)| Finding::TwoClasses { table: table.to_owned(), classes })
        .collect()
}

fn one_source(tables: &Tables, manifest: &Manifest, source: Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, facts) in tables {
        findings.extend(class_of_table(name, facts, manifest, source));
        findings.extend(foreign_keys(name, facts, source));
        if facts.has_tenant {
            findings.extend(row_security(name, facts, source));
        }
    }
    findings.extend(classes_without_table(tables, manifest, source));
    findings
}

fn class_of_table(name: &TableName, facts: &TableFacts, manifest: &Manifest, source: Source) -> Vec<Finding> {
    let classes = manifest.classes_of(&name.table);
    if classes.is_empty() {
        let seen_in = facts.seen_in.clone();
        return vec![Finding::UnclassifiedTable { table: name.clone(), seen_in, source }];
    }
    let misplaced = classes.into_iter().filter(|class| class.schema() != name.schema);
    misplaced.map(|class| Finding::WrongSchema { table: name.clone(), class, source }).collect()
}

fn classes_without_table(tables: &Tables, manifest: &Manifest, source: Source) -> Vec<Finding> {
    let existing: BTreeSet<_> = tables.keys().map(|name| name.table.as_str()).collect();
    let missing = manifest.tables.iter().filter(|entry| !existing.contains(entry.table.as_str()));
    missing
        .map(|entry| Finding::ClassWithoutTable { table: entry.table.clone(), class: entry.class, source })
        .collect()
}

fn foreign_keys(name: &TableName, facts: &TableFacts, source: Source) -> Vec<Finding> {
    let crossing =
        facts.references.iter().filter(|target| (target.schema == READ_MODEL) != (name.schema == READ_MODEL));
    crossing.map(|to| Finding::CrossSchemaForeignKey { from: name.clone(), to: to.clone(), source }).collect()
}

fn row_security(name: &TableName, facts: &TableFacts, source: Source) -> Vec<Finding> {
    let mut missing = Vec::new();
    if !facts.enabled {
        missing.push("ENABLE ROW LEVEL SECURITY".to_owned());
    }
    if !facts.forced {
        missing.push("FORCE ROW LEVEL SECURITY".to_owned());
    }
    for (role, reach, words) in [
        (APP_ROLE, Reach::OwnTenant, "the tenant policy TO trstctl_app"),
        (OWNER_ROLE, Reach::Everything, "the policy USING (true) WITH CHECK (true) TO trstctl_owner"),
    ] {
        if !facts.policies.iter().any(|policy| policy.roles == [role] && policy.reach == reach) {
            missing.push(words.to_owned());
        }
    }
    let table = || name.clone();
    let lacking =
        missing.into_iter().map(|missing| Finding::RowSecurityMissing { table: table(), missing, source });
    let opening = facts
        .policies
        .iter()
        .filter(|policy| !is_expected(policy))
        .map(|policy| Finding::UnexpectedPolicy { table: table(), policy: policy.name.clone(), source });
    lacking.chain(opening).collect()
}

fn is_expected(policy: &Policy) -> bool {
    (policy.roles == [APP_ROLE] && policy.reach == Reach::OwnTenant)
        || (policy.roles == [OWNER_ROLE] && policy.reach == Reach::Everything)
}

fn files_against_live(files: &Tables, live: &Tables) -> Vec<Finding> {
    let pending = files
        .iter()
        .filter(|(name, _)| !live.contains_key(name))
        .map(|(name, facts)| Finding::NotInDatabase { table: name.clone(), seen_in: facts.seen_in.clone() });
    let unknown = live.keys().filter(|name| !files.contains_key(name));
    let unknown = unknown.map(|name| Finding::NotInFiles { table: name.clone() });
    pending.chain(unknown).collect()
}
