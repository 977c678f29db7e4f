//! The password file of the usual PostgreSQL tools: `host:port:database:user:password` a line, `*` for any.

use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::Error;

/// What the file says for a target.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The password, if a line fits.
    pub(super) password: Option<String>,
    /// Why the file was not looked at, for whoever misses a password.
    pub(super) note: Option<String>,
}

/// The password for this target, if the file of `PGPASSFILE` (or `~/.pgpass`) has one. A file that others may read is
/// an error when it was named, and passed over, as in the usual tools, when it merely lies there.
pub(super) fn find(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Found, Error> {
    let named = env("PGPASSFILE").map(PathBuf::from);
    let usual = env("HOME").map(|home| Path::new(&home).join(".pgpass"));
    let Some(path) = named.clone().or(usual) else { return Ok(Found::default()) };
    let outcome = std::fs::read_to_string(&path)
        .map_err(|error| (format!("cannot be read: {error}"), "Check PGPASSFILE."))
        .and_then(|text| match is_open_to_others(&path) {
            true => Err(("may be read by group or others".to_owned(), "Run chmod 0600 on it.")),
            false => Ok(text),
        });
    let wanted = wanted_fields(config);
    match outcome {
        Ok(text) => {
            let password = text.lines().find_map(|line| password_of(line, &wanted));
            Ok(Found { password, note: None })
        }
        Err((why, hint)) if named.is_some() => {
            Err(Error::Settings { what: of_file(&path, &why), hint: hint.into() })
        }
        Err((why, _)) => Ok(Found { password: None, note: path.exists().then(|| of_file(&path, &why)) }),
    }
}

fn of_file(path: &Path, why: &str) -> String {
    format!("the password file {} {why}", path.display())
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Host, port, database and user as the file spells them.
fn wanted_fields(config: &Config) -> [String; 4] {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        // A socket in the usual folder is "localhost" in this file.
        Some(Host::Unix(path)) if path == Path::new("/var/run/postgresql") => "localhost".into(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map_or_else(String::new, ToString::to_string),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default().to_owned();
    [host, port, config.get_dbname().unwrap_or(&user).to_owned(), user]
}

fn password_of(line: &str, wanted: &[String; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let fields = split_fields(line);
    let (password, keys) = fields.split_last()?;
    let fits =
        keys.len() == 4 && keys.iter().zip(wanted).all(|(field, value)| field == "*" || field == value);
    fits.then(|| password.clone())
}

/// Splits at `:`; `\` takes the next character as it is. The fifth field keeps its colons.
fn split_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '\\' => fields[last].extend(chars.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> [String; 4] {
        ["db", "5432", "inv", "me"].map(str::to_owned)
    }

    #[test]
    fn first_line_that_fits_gives_the_password() {
        assert_eq!(password_of(r"db:5432:*:me:a\:b:c", &wanted()).as_deref(), Some("a:b:c"));
        assert_eq!(password_of("*:*:*:*:x", &wanted()).as_deref(), Some("x"));
        assert_eq!(password_of("db:5433:*:me:x", &wanted()), None);
        assert_eq!(password_of("#*:*:*:*:x", &wanted()), None);
        assert_eq!(password_of("*:*:x", &wanted()), None);
    }

    #[allow(clippy::disallowed_methods)] // A scratch file, not a published one.
    fn open_to_others(text: &str) -> (tempfile::TempDir, String) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".pgpass");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let home = folder.path().display().to_string();
        (folder, home)
    }

    #[test]
    fn named_password_file_gives_the_password_and_is_refused_when_open_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _) = open_to_others("*:*:*:*:secret\n");
        let path = folder.path().join(".pgpass");
        let env = |name: &str| (name == "PGPASSFILE").then(|| path.display().to_string());
        let error = find(&Config::new(), &env).unwrap_err().to_string();
        assert!(error.contains("group or others") && !error.contains("secret"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(&Config::new(), &env).unwrap().password.as_deref(), Some("secret"));
    }

    #[test]
    fn usual_password_file_open_to_others_is_passed_over_with_a_note() {
        let (_folder, home) = open_to_others("*:*:*:*:secret\n");
        let env = move |name: &str| (name == "HOME").then(|| home.clone());
        let found = find(&Config::new(), &env).unwrap();
        assert_eq!(found.password, None);
        assert!(found.note.unwrap().contains("group or others"));
    }

    #[test]
    fn usual_password_file_that_is_not_there_is_no_matter() {
        let env = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
        assert_eq!(find(&Config::new(), &env).unwrap(), Found::default());
    }
}
