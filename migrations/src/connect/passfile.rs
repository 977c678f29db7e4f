//! The password file of the usual PostgreSQL tools: `host:port:database:user:password` a line, `*` for any.

use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::Error;

/// The password for this target, if the file of `PGPASSFILE` (or `~/.pgpass`) has one.
pub(super) fn find(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Error> {
    let Some(path) = location(env) else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if env("PGPASSFILE").is_some() => {
            return Err(refuse(&path, &format!("cannot be read: {error}"), "Check PGPASSFILE."));
        }
        Err(_) => return Ok(None),
    };
    check_mode(&path)?;
    let wanted = wanted_fields(config);
    Ok(text.lines().find_map(|line| password_of(line, &wanted)))
}

fn location(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    env("PGPASSFILE").map(PathBuf::from).or_else(|| env("HOME").map(|home| Path::new(&home).join(".pgpass")))
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let open_to_others =
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open_to_others {
        return Err(refuse(path, "may be read by group or others", "Run chmod 0600 on it."));
    }
    Ok(())
}

fn refuse(path: &Path, why: &str, hint: &str) -> Error {
    Error::Settings { what: format!("the password file {} {why}", path.display()), hint: hint.into() }
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

    #[test]
    #[allow(clippy::disallowed_methods)] // A scratch file, not a published one.
    fn password_file_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:secret\n").unwrap();
        let path = file.path().display().to_string();
        let env = move |name: &str| (name == "PGPASSFILE").then(|| path.clone());
        assert_eq!(find(&Config::new(), &env).unwrap().as_deref(), Some("secret"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = find(&Config::new(), &env).unwrap_err().to_string();
        assert!(error.contains("group or others") && !error.contains("secret"), "{error}");
    }
}
