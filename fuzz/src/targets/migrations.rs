//! The text of a migration, as `manifest audit` reads it.

use std::sync::LazyLock;

use trstctl_migrations::Manifest;
use trstctl_migrations::audit::{Finding, SqlFile, audit};

use super::Outcome;
use super::manifest::{codes, in_order};

static MANIFEST: LazyLock<Manifest> = LazyLock::new(Manifest::embedded);

/// Whatever a file holds, either it is reported as unreadable or a table without a class that follows it is found.
pub fn migrations(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input).into_owned();
    let findings = audited(&text);
    in_order(&findings);
    assert_eq!(audited(&format!("{text}\n-- a comment")), findings, "a comment changes what is found");
    let is_unreadable = findings.iter().any(|finding| matches!(finding, Finding::UnreadableSql { .. }));
    let found = audited(&format!("{text}\n;\nCREATE TABLE public.planted_here (id int);"));
    let is_found = found.iter().any(|finding| {
        matches!(finding, Finding::UnclassifiedTable { table, .. } if table.table == "planted_here")
    });
    assert!(is_unreadable || is_found, "a table without a class is not found: {found:?}");
    Outcome::from(codes(&findings))
}

fn audited(text: &str) -> Vec<Finding> {
    let files = [SqlFile { name: String::from("0001_fuzz.sql"), text: text.to_owned() }];
    audit(&files, &MANIFEST, None)
}
