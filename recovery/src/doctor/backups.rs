//! The folder of backups: writable, with room for the next one, and a newest one that is young enough and reads well.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::fs::{Access, access, statvfs};
use trstctl_formats::backup::FormatVersion;
use trstctl_formats::container::Container;
use trstctl_formats::{Class, Failure};

use super::{Check, Site};
use crate::source::{self, Trust};
use crate::words;

const CONTAINERS: [Container; 4] = [Container::Plain, Container::Zstd, Container::Age, Container::AgeZstd];

/// The checks, given the bytes of the log if they are known.
pub(super) fn examine(site: &Site, log_bytes: Option<u64>) -> Vec<Check> {
    let names = ["backup folder", "backup space", "newest backup"];
    let Some(folder) = &site.backup_dir else {
        let why = "TRSTCTL_BACKUP_DIR is not set: backups go where --output says";
        return names.map(|name| Check::not_checked(name, why)).into();
    };
    let newest = match newest(folder) {
        Ok(newest) => newest,
        Err(error) => return unreadable(folder, &error),
    };
    vec![writable(folder), space(folder, log_bytes, newest.as_ref()), newest_check(newest.as_ref(), site)]
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Vec<Check> {
    let found = format!("{} cannot be read: {error}", folder.display());
    let mut checks =
        vec![Check::problem("backup folder", found, "Create it, for the user who backs up, with mode 0700.")];
    let others = ["backup space", "newest backup"];
    checks.extend(others.map(|name| Check::not_checked(name, "the folder cannot be read")));
    checks
}

/// A backup in the folder.
struct Found {
    path: PathBuf,
    modified: SystemTime,
    len_bytes: u64,
}

/// The newest file, by the time of its last change, that is named as a backup is.
fn newest(folder: &Path) -> std::io::Result<Option<Found>> {
    let mut newest: Option<Found> = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(metadata) = path.metadata() else { continue };
        if !metadata.is_file() || !is_named_as_a_backup(&path) {
            continue;
        }
        let found = Found { path, modified: metadata.modified()?, len_bytes: metadata.len() };
        if newest.as_ref().is_none_or(|newest| found.modified > newest.modified) {
            newest = Some(found);
        }
    }
    Ok(newest)
}

fn is_named_as_a_backup(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    !name.starts_with('.') && CONTAINERS.iter().any(|container| name.ends_with(container.extension()))
}

fn writable(folder: &Path) -> Check {
    let name = "backup folder";
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Check::ok(name, format!("{} takes files of this user", folder.display())),
        Err(error) => Check::problem(
            name,
            format!("{} takes no file of this user: {error}", folder.display()),
            "Give the user who backs up the right to write there.",
        ),
    }
}

/// Whether the next backup fits: at most two fifths more than the log's own bytes, whatever is in it.
fn space(folder: &Path, log_bytes: Option<u64>, newest: Option<&Found>) -> Check {
    let name = "backup space";
    let free = match statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Check::not_checked(name, format!("the file system does not tell: {error}")),
    };
    let by_log = log_bytes.map(|bytes| (bytes / 5).saturating_mul(7));
    let by_last = newest.map(|found| (found.len_bytes / 5).saturating_mul(6));
    let Some(needed) = by_log.max(by_last) else {
        return Check::not_checked(
            name,
            format!("{} free; neither log nor backup says how much is needed", words::bytes(free)),
        );
    };
    let found = format!("{} free, the next backup takes up to {}", words::bytes(free), words::bytes(needed));
    match free {
        _ if free < needed => Check::problem(name, found, "Make room: the next backup fails."),
        _ if free / 3 < needed => Check::warning(name, found, "Make room for some more backups."),
        _ => Check::ok(name, found),
    }
}

fn newest_check(newest: Option<&Found>, site: &Site) -> Check {
    let name = "newest backup";
    let Some(newest) = newest else {
        return Check::problem(
            name,
            "there is none",
            "Run trstctl-dr backup, and let a timer do it from now on.",
        );
    };
    let file = newest.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let trust = match &site.trust {
        Ok(trust) => trust,
        Err(failure) => return Check::failed(name, failure),
    };
    match glance(newest, trust) {
        Ok(glance) => age_check(&file, &glance, (site.clock)(), site.max_age),
        Err(failure) => {
            let found = format!("{file} is no good: {}: {}", failure.class.name(), failure.message);
            Check::problem(
                name,
                found,
                format!("Take a new backup now, and find out what happened to this one. {}", failure.hint),
            )
        }
    }
}

/// When a backup was made, and what its ends say.
struct Glance {
    made: Timestamp,
    says: &'static str,
}

fn glance(newest: &Found, trust: &Trust) -> Result<Glance, Failure> {
    match source::glance(&newest.path, trust) {
        Ok(glance) => {
            let made = Timestamp::from_nanosecond(glance.header.created_at.0.into()).unwrap_or_default();
            let says = match (glance.container, glance.header.version) {
                (Container::Plain, FormatVersion::V2) => "header and trailer read well",
                (Container::Plain, FormatVersion::V1) => "header and trailer read well (version 1)",
                _ => "the header reads well; the rest is compressed or encrypted",
            };
            Ok(Glance { made, says })
        }
        // What a host that only backs up cannot open.
        Err(failure) if failure.class == Class::KeyMissing && is_encrypted(&newest.path) => {
            let made = Timestamp::try_from(newest.modified).unwrap_or_default();
            Ok(Glance { made, says: "encrypted, and no identity here: its content was not looked at" })
        }
        Err(failure) => Err(failure),
    }
}

fn is_encrypted(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("age"))
}

fn age_check(file: &str, glance: &Glance, now: Timestamp, max_age: Duration) -> Check {
    let name = "newest backup";
    let age = now.duration_since(glance.made);
    if age.is_negative() && age.unsigned_abs() > Duration::from_secs(60) {
        let found = format!("{file} was made in the future: {}", glance.made);
        return Check::problem(name, found, "Check the clock of this host.");
    }
    let age = Duration::try_from(age).unwrap_or_default();
    let found = format!("{file}, {} old; {}", words::duration(age), glance.says);
    if age <= max_age {
        return Check::ok(name, found);
    }
    let to_do = "Run trstctl-dr backup, and look why the timer did not. --max-age sets the objective.";
    Check::problem(name, format!("{found}; the objective is {}", words::duration(max_age)), to_do)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn only_files_named_as_backups_count_and_the_newest_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str, second: u64| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
        };
        assert!(newest(folder.path()).unwrap().is_none());
        touch("a.jsonl", 10);
        touch("b.jsonl.zst.age", 20);
        touch("notes.txt", 30);
        touch(".trstctl-x.jsonl", 40);
        assert!(newest(folder.path()).unwrap().unwrap().path.ends_with("b.jsonl.zst.age"));
    }

    #[test]
    fn backup_older_than_the_objective_or_from_the_future_is_a_problem() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let state = |made: i64| {
            let glance = Glance { made: Timestamp::from_second(made).unwrap(), says: "" };
            age_check("a", &glance, now, Duration::from_secs(3600)).state
        };
        assert_eq!(state(1_000_000 - 3_600), State::Ok);
        assert_eq!(state(1_000_000 - 3_601), State::Problem);
        assert_eq!(state(1_000_030), State::Ok);
        assert_eq!(state(1_001_000), State::Problem);
    }

    #[test]
    fn space_is_measured_against_log_and_last_backup() {
        let folder = tempfile::tempdir().unwrap();
        let found = |len_bytes| Found { path: "a".into(), modified: SystemTime::UNIX_EPOCH, len_bytes };
        assert_eq!(space(folder.path(), Some(1), None).state, State::Ok);
        assert_eq!(space(folder.path(), Some(u64::MAX / 8), None).state, State::Problem);
        assert_eq!(space(folder.path(), None, Some(&found(u64::MAX / 8))).state, State::Problem);
        assert_eq!(space(folder.path(), None, None).state, State::NotChecked);
    }
}
