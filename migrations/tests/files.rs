//! The files in the folder, the list in the program and the released digests are the same.

use std::collections::BTreeSet;

use trstctl_migrations::audit::{embedded_files, load_dir};
use trstctl_migrations::files::MIGRATIONS;

fn folder() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/sql").into()
}

#[test]
fn every_file_of_the_folder_is_embedded_and_every_embedded_file_is_in_the_folder() {
    assert_eq!(load_dir(&folder()).unwrap(), embedded_files());
}

#[test]
fn numbers_rise_from_one_without_gaps_and_stand_in_the_names() {
    for (position, migration) in MIGRATIONS.iter().enumerate() {
        assert_eq!(usize::try_from(migration.number).unwrap(), position + 1);
        assert!(migration.name.starts_with(&format!("{:04}-{}", migration.number, migration.schema())));
    }
}

/// Lines `sha256  file`, as `sha256sum *.sql` writes them. A new file adds a line; no line ever changes.
#[test]
fn released_files_are_never_edited() {
    let released = std::fs::read_to_string(folder().join("RELEASED.sha256")).unwrap();
    let released: BTreeSet<String> = released.lines().map(str::to_owned).collect();
    let embedded: BTreeSet<String> =
        MIGRATIONS.iter().map(|file| format!("{}  {}.sql", file.sha256(), file.name)).collect();
    assert_eq!(embedded, released, "a released migration was edited, or a new one is not listed");
}

#[test]
fn read_model_files_name_no_schema() {
    for migration in MIGRATIONS.iter().filter(|file| file.schema() == trstctl_migrations::READ_MODEL) {
        let statements = migration.sql.lines().filter(|line| !line.starts_with("--"));
        for line in statements {
            assert!(!line.contains("read_model") && !line.contains("public."), "{}: {line}", migration.name);
        }
    }
}
