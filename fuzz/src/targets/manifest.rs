//! The manifest, as `manifest audit` reads it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use trstctl_migrations::Manifest;
use trstctl_migrations::audit::{Finding, SqlFile, audit, embedded_files};

use super::{Outcome, refusal};

static FILES: LazyLock<Vec<SqlFile>> = LazyLock::new(embedded_files);
static OURS: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| Manifest::embedded().tables.into_iter().map(|entry| entry.table).collect());

/// A manifest that cannot be read says the line; one that can is compared with the migrations, both ways.
pub fn manifest(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let manifest = match Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(error) => return refused(&error.reason, &text),
    };
    let findings = audit(&FILES, &manifest, None);
    in_order(&findings);
    for table in &*OURS {
        let has_class = !manifest.classes_of(table).is_empty();
        assert_eq!(has_class, !findings.iter().any(|finding| unclassified(finding, table)), "{table}");
    }
    for entry in &manifest.tables {
        let is_missing = findings.iter().any(
            |finding| matches!(finding, Finding::ClassWithoutTable { table, .. } if *table == entry.table),
        );
        assert_eq!(is_missing, !OURS.contains(&entry.table), "{:?}", entry.table);
    }
    Outcome::from(codes(&findings))
}

fn refused(reason: &str, text: &str) -> Outcome {
    let after = reason.split_once("line ").map(|(_, after)| after).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    let line: usize = digits.parse().unwrap_or_else(|_| panic!("no line in {reason:?}"));
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&line), "line {line} of {lines}: {reason}");
    Outcome::from(refusal::shape_of(reason.lines().last().unwrap_or_default()))
}

fn unclassified(finding: &Finding, name: &str) -> bool {
    matches!(finding, Finding::UnclassifiedTable { table, .. } if table.table == name)
}

/// Findings are sorted, none is there twice, and each has words.
pub fn in_order(findings: &[Finding]) {
    assert!(findings.is_sorted(), "{findings:?}");
    assert!(findings.windows(2).all(|pair| pair[0] != pair[1]), "{findings:?}");
    assert!(findings.iter().all(|finding| !finding.to_string().is_empty()));
}

/// Which findings there are.
pub fn codes(findings: &[Finding]) -> String {
    let codes: BTreeSet<_> = findings.iter().map(Finding::code).collect();
    codes.into_iter().collect::<Vec<_>>().join(" ")
}
