//! Where the engines' programs are, and which version they are.
//!
//! Looked up in this order: the overriding variable, `PATH`, the folders of `go install`, the usual Debian folders.

use std::{
    env, fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::EngineError;

const NATS_VARIABLE: &str = "TRSTCTL_NATS_SERVER_BIN";
const POSTGRES_VARIABLE: &str = "TRSTCTL_POSTGRES_BIN_DIR";
const NATS_MISSING: EngineError =
    EngineError::Missing { program: "nats-server", package: "nats-server", variable: NATS_VARIABLE };
const POSTGRES_MISSING: EngineError =
    EngineError::Missing { program: "PostgreSQL", package: "postgresql", variable: POSTGRES_VARIABLE };

/// A version of an engine, compared number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = ();

    /// The first word of `text` that looks like a version: `nats-server: v2.15.2`, `postgres (PostgreSQL) 15.18 (…)`.
    fn from_str(text: &str) -> Result<Version, ()> {
        text.split_whitespace().find_map(version_word).ok_or(())
    }
}

/// `v2.15.2`, `2.12.0-RC.1`, `15.18`, `18beta1`: what follows a number within a part is not compared.
fn version_word(word: &str) -> Option<Version> {
    let digits = |part: &str| -> Option<u32> {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    let mut parts = word.strip_prefix('v').unwrap_or(word).split('.');
    let major = digits(parts.next()?)?;
    let mut next = || parts.next().and_then(digits).unwrap_or(0);
    Some(Version { major, minor: next(), patch: next() })
}

/// A program of an engine that is installed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

impl Binary {
    /// Asks the program at `path` for its version.
    pub fn at(path: &Path) -> Result<Binary, EngineError> {
        let unusable = |reason: String| EngineError::Unusable { path: path.to_owned(), reason };
        let output =
            Command::new(path).arg("--version").output().map_err(|error| unusable(error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said
            .parse()
            .map_err(|()| unusable(format!("--version says {said:?}, which names no version")))?;
        Ok(Binary { path: path.to_owned(), version })
    }

    /// The program that an environment variable asks for; when it cannot be used, the error names the variable.
    fn named_by(variable: &str, path: &Path) -> Result<Binary, EngineError> {
        Binary::at(path).map_err(|error| match error {
            EngineError::Unusable { path, reason } => {
                EngineError::Unusable { path, reason: format!("{reason}; {variable} asks for it") }
            }
            other => other,
        })
    }
}

/// Every different `nats-server` found here, newest first. Only the overriding variable's one when that is set.
/// Empty when there is none.
pub fn installed_nats_servers() -> Vec<Binary> {
    let mut found: Vec<Binary> = nats_paths().iter().filter_map(|path| Binary::at(path).ok()).collect();
    found.sort_by_key(|binary| std::cmp::Reverse(binary.version));
    found.dedup_by_key(|binary| binary.version);
    found
}

/// The newest `nats-server`, or the one that `TRSTCTL_NATS_SERVER_BIN` names.
pub fn nats_server() -> Result<Binary, EngineError> {
    if let Some(path) = env::var_os(NATS_VARIABLE) {
        return Binary::named_by(NATS_VARIABLE, Path::new(&path));
    }
    newest(installed_nats_servers(), None, NATS_MISSING)
}

/// The `postgres` in `TRSTCTL_POSTGRES_BIN_DIR`, or else the newest one, but rather one of the given major version; its
/// folder also holds `initdb` and `psql`.
pub fn postgres(major: Option<u32>) -> Result<Binary, EngineError> {
    if let Some(folder) = env::var_os(POSTGRES_VARIABLE) {
        return Binary::named_by(POSTGRES_VARIABLE, &Path::new(&folder).join("postgres"));
    }
    let found = postgres_paths().iter().filter_map(|path| Binary::at(path).ok()).collect();
    newest(found, major, POSTGRES_MISSING)
}

/// The newest `postgres` found here, if any.
pub fn installed_postgres() -> Option<Binary> {
    postgres(None).ok()
}

/// The newest of these, but rather one of the major version `preferred`.
fn newest(found: Vec<Binary>, preferred: Option<u32>, missing: EngineError) -> Result<Binary, EngineError> {
    let rank = |binary: &Binary| (Some(binary.version.major) == preferred, binary.version);
    found.into_iter().max_by_key(rank).ok_or(missing)
}

fn nats_paths() -> Vec<PathBuf> {
    if let Some(path) = env::var_os(NATS_VARIABLE) {
        return vec![path.into()];
    }
    let folders = path_folders()
        .into_iter()
        .chain(go_folders())
        .chain(["/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    executables(folders, "nats-server")
}

/// A link such as `/usr/local/bin/postgres` is followed: the programs beside the real one belong to it.
fn postgres_paths() -> Vec<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    executables(path_folders().into_iter().chain(debian.map(|entry| entry.path().join("bin"))), "postgres")
}

fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where `go install` puts programs, on `PATH` or not.
fn go_folders() -> Vec<PathBuf> {
    let under = |variable, tail: &str| env::var_os(variable).map(|root| Path::new(&root).join(tail));
    [under("GOBIN", ""), under("GOPATH", "bin"), under("HOME", "go/bin")].into_iter().flatten().collect()
}

/// The different executable files called `name` in `folders`, links followed.
fn executables(folders: impl Iterator<Item = PathBuf>, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in folders.filter_map(|folder| folder.join(name).canonicalize().ok()) {
        let executable =
            path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if executable && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_engines_say() {
        let said = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(said("nats-server: v2.15.2\n"), Version::new(2, 15, 2));
        assert_eq!(said("nats-server: v2.12.0-RC.1"), Version::new(2, 12, 0));
        assert_eq!(said("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Version::new(15, 18, 0));
        assert_eq!(said("postgres (PostgreSQL) 18beta1"), Version::new(18, 0, 0));
        assert_eq!("no version here".parse::<Version>(), Err(()));
        assert!(Version::new(2, 9, 10) < Version::new(2, 10, 0));
    }

    #[test]
    fn the_newest_program_is_taken_but_rather_the_one_that_made_the_data() {
        let binary = |major| Binary { path: format!("/{major}").into(), version: Version::new(major, 1, 0) };
        let found = || vec![binary(15), binary(17), binary(16)];
        assert_eq!(newest(found(), None, POSTGRES_MISSING).unwrap(), binary(17));
        assert_eq!(newest(found(), Some(15), POSTGRES_MISSING).unwrap(), binary(15));
        assert_eq!(newest(found(), Some(14), POSTGRES_MISSING).unwrap(), binary(17));
    }

    #[test]
    fn a_missing_program_is_reported_with_its_package_and_variable() {
        let nats = newest(Vec::new(), None, NATS_MISSING).unwrap_err().to_string();
        assert!(nats.contains("package nats-server") && nats.contains("TRSTCTL_NATS_SERVER_BIN"), "{nats}");
        let postgres = newest(Vec::new(), None, POSTGRES_MISSING).unwrap_err().to_string();
        assert!(
            postgres.contains("package postgresql") && postgres.contains("TRSTCTL_POSTGRES_BIN_DIR"),
            "{postgres}"
        );
    }

    #[test]
    fn a_program_that_a_variable_names_wrongly_is_reported_with_the_variable() {
        let error =
            Binary::named_by(NATS_VARIABLE, Path::new("/nowhere/nats-server")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/nats-server") && error.contains(NATS_VARIABLE), "{error}");
    }

    #[test]
    fn a_program_is_found_once_however_many_links_lead_to_it() {
        let folders = ["one", "two", "three"].map(|name| {
            let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap();
            (folder.path().to_owned(), folder)
        });
        let program = folders[0].0.join("engine");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&program, folders[1].0.join("engine")).unwrap();
        std::fs::write(folders[2].0.join("engine"), "not executable").unwrap();
        let found = executables(folders.iter().map(|(path, _)| path.clone()), "engine");
        assert_eq!(found, [program.canonicalize().unwrap()]);
    }
}
