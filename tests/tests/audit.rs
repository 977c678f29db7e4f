//! The audit of the manifest, as CI runs it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, program};

fn migrations() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))
}

/// A copy of the project's migrations with one more file.
fn with_another(sql: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sql")).unwrap();
    fs::copy(migrations().join("manifest.toml"), folder.path().join("manifest.toml")).unwrap();
    for entry in fs::read_dir(migrations().join("sql")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join("sql").join(path.file_name().unwrap())).unwrap();
    }
    File::create(folder.path().join("sql/0099-public-new.sql")).unwrap().write_all(sql.as_bytes()).unwrap();
    folder
}

#[test]
fn the_projects_own_migrations_have_no_finding() {
    Run::of(program().args(["manifest", "audit", "--migrations"]).arg(migrations())).succeed();
    Run::of(program().args(["manifest", "audit"])).succeed();
}

#[test]
fn new_table_without_a_class_is_listed_in_every_format() {
    let folder = with_another("CREATE TABLE forgotten (id bigint PRIMARY KEY);");
    for (format, expected) in [
        ("text", "forgotten"),
        ("junit", "<failure message="),
        ("github", "::error file="),
        ("json", "unclassified_table"),
    ] {
        let run = Run::of(
            program().args(["manifest", "audit", "--format", format, "--migrations"]).arg(folder.path()),
        );
        let run = run.fail(1, "findings");
        assert!(
            run.stdout.contains(expected) && run.stdout.contains("forgotten"),
            "{format}: {}",
            run.stdout
        );
    }
}

#[test]
fn live_catalog_that_lacks_or_adds_a_table_is_found() {
    let site = Site::start();
    let audit = ["manifest", "audit", "--json", "--database", site.dsn()];
    let empty = site.dr(&audit);
    assert_eq!(empty.code, Some(1), "{}", empty.stderr);
    assert!(!empty.json()["findings"].as_array().unwrap().is_empty());
    site.seed(History::new(61, 50));
    site.dr(&["rebuild"]).succeed();
    assert!(!site.dr(&audit).stdout.contains("of_somebody"));
    site.sql("CREATE TABLE public.of_somebody (id bigint)");
    let added = site.dr(&audit).fail(1, "findings");
    assert!(added.stdout.contains("of_somebody"), "{}", added.stdout);
}

#[test]
fn manifest_may_lie_elsewhere_and_its_gaps_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("other.toml");
    let audit = || {
        Run::of(
            program()
                .args(["manifest", "audit", "--migrations"])
                .arg(migrations())
                .arg("--manifest")
                .arg(&elsewhere),
        )
    };
    audit().fail(2, "usage");
    let text = fs::read_to_string(migrations().join("manifest.toml")).unwrap();
    fs::write(&elsewhere, &text).unwrap();
    audit().succeed();
    fs::write(&elsewhere, text.replace("api_tokens", "api_jetons")).unwrap();
    let run = audit().fail(1, "findings");
    assert!(run.stdout.contains("api_tokens") && run.stdout.contains("api_jetons"), "{}", run.stdout);
}
