//! What the documentation names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a folder of the repository with this ending.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && name != ".git" {
            files(&path, ending, found);
        } else if name.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// Words in backquotes that fit.
fn quoted(text: &str, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).filter(|word| fits(word)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_test_that_the_list_of_traps_names_exists() {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    let code: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let traps = fs::read_to_string(root().join("docs/traps.md")).unwrap();
    let named = quoted(&traps, |word| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let tables = ["read_model"];
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !tables.contains(&name.as_str()) && !code.contains(&format!("fn {name}(")))
        .collect();
    assert!(named.len() > 20 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut documents = Vec::new();
    files(&root(), ".md", &mut documents);
    let mut dead = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            // A repetition in a grammar, `[…](,…)*`, looks like a link.
            let is_link = !path.is_empty() && !path.starts_with(',');
            if is_link && !path.contains("://") && !document.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn every_setting_of_the_operations_guide_is_one_of_the_programs() {
    let guide = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let manual = fs::read_to_string(root().join("man/trstctl-dr.1")).unwrap().replace("\\-", "-");
    let is_setting = |word: &str| word.starts_with("TRSTCTL_") && word != "TRSTCTL_EVENTS";
    let named = quoted(&guide, is_setting);
    let missing: Vec<_> =
        named.iter().filter(|word| !manual.contains(word.split('=').next().unwrap())).collect();
    assert!(!named.is_empty() && missing.is_empty(), "{missing:?}");
}

/// `scripts/planted-bugs` needs them to.
#[test]
fn every_planted_bug_can_still_be_planted() {
    let mut patches = Vec::new();
    files(&root().join("tests/planted"), ".patch", &mut patches);
    assert!(patches.len() >= 3);
    for patch in patches {
        let planting = std::process::Command::new("patch")
            .args(["--dry-run", "--silent", "--force", "--strip=1", "--input"])
            .arg(fs::canonicalize(&patch).unwrap())
            .current_dir(root())
            .output()
            .expect("patch runs");
        assert!(
            planting.status.success(),
            "{}: {}",
            patch.display(),
            String::from_utf8_lossy(&planting.stdout)
        );
    }
}
