//! The man pages in `man/` are those that the command line's definition makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn man_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man");
    let made: BTreeMap<String, String> =
        trstctl_dr::manual::pages().into_iter().map(|page| (page.file, page.text)).collect();
    if std::env::var_os("UPDATE_MAN").is_some() {
        write(&folder, &made);
    }
    let kept: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .filter(|(file, _)| file.starts_with("trstctl-dr"))
        .collect();
    let stale: Vec<&String> =
        made.keys().chain(kept.keys()).filter(|file| made.get(*file) != kept.get(*file)).collect();
    assert!(stale.is_empty(), "run `make man`: {stale:?} are not current");
}

fn write(folder: &Path, pages: &BTreeMap<String, String>) {
    fs::create_dir_all(folder).unwrap();
    for (file, text) in pages {
        fs::write(folder.join(file), text).unwrap();
    }
}

#[test]
fn every_command_has_examples_in_its_page() {
    for page in trstctl_dr::manual::pages() {
        let examples =
            page.text.split(".SH EXAMPLES").nth(1).unwrap().split(".SH \"EXIT STATUS\"").next().unwrap();
        assert!(examples.contains("trstctl\\-dr"), "{} has no example", page.file);
    }
}
