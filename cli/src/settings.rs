//! Settings: built-in default, then configuration file, then environment. Flags are applied by each command.
//!
//! One table names them all; the configuration file, the man pages and the documentation follow it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use trstctl_formats::{Class, Failure};

/// A setting.
pub struct Setting {
    /// Its environment variable. In the file: without `TRSTCTL_`, in lower case.
    pub name: &'static str,
    /// Its value when nobody sets it.
    pub default: Option<&'static str>,
    /// What it is for, a sentence without its full stop.
    pub what: &'static str,
}

const fn setting(name: &'static str, default: Option<&'static str>, what: &'static str) -> Setting {
    Setting { name, default, what }
}

/// All settings, in the order in which the documentation lists them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "TRSTCTL_NATS_MODE",
        Some("external"),
        "external, or embedded: a nats-server of our own in the data directory",
    ),
    setting(
        "TRSTCTL_NATS_URL",
        Some("nats://127.0.0.1:4222"),
        "Servers of the event log, separated by commas",
    ),
    setting("TRSTCTL_NATS_CREDS_FILE", None, "Creds file (JWT and NKey seed) to log in with"),
    setting("TRSTCTL_NATS_NKEY_FILE", None, "File with an NKey seed to log in with"),
    setting("TRSTCTL_NATS_USER", None, "User to log in with"),
    setting("TRSTCTL_NATS_PASSWORD_FILE", None, "File with that user's password"),
    setting("TRSTCTL_NATS_TOKEN_FILE", None, "File with a token to log in with"),
    setting("TRSTCTL_NATS_CA_FILE", None, "Certificate authorities to trust besides the system's"),
    setting("TRSTCTL_NATS_CERT_FILE", None, "Client certificate"),
    setting("TRSTCTL_NATS_KEY_FILE", None, "Key of the client certificate"),
    setting("TRSTCTL_NATS_DOMAIN", None, "JetStream domain of the log"),
    setting("TRSTCTL_NATS_INBOX_PREFIX", None, "Prefix of reply subjects, where permissions demand one"),
    setting("TRSTCTL_NATS_REPLICAS", Some("3"), "Replicas of a stream that restore creates"),
    setting(
        "TRSTCTL_NATS_ALLOW_SINGLE_REPLICA",
        Some("false"),
        "Allow a single replica (what a power loss may cost: docs/operations.md)",
    ),
    setting("TRSTCTL_NATS_SERVER_BIN", None, "The nats-server program, for embedded mode and demo"),
    setting(
        "TRSTCTL_NATS_SYNC_INTERVAL",
        Some("1s"),
        "How late embedded NATS may flush to disk (2.10 and newer), or always",
    ),
    setting(
        "TRSTCTL_POSTGRES_MODE",
        Some("external"),
        "external, or embedded: a PostgreSQL of our own in the data directory",
    ),
    setting(
        "TRSTCTL_POSTGRES_DSN",
        None,
        "The database, as a URL or key=value string; the PG* variables are honoured",
    ),
    setting("TRSTCTL_POSTGRES_BIN_DIR", None, "Folder with initdb and postgres, for embedded mode and demo"),
    setting("TRSTCTL_DATA_DIR", None, "Data directory of embedded engines"),
    setting("TRSTCTL_AUDIT_SIGNING_KEY_FILE", None, "Key file that authenticates backups"),
    setting("TRSTCTL_BACKUP_DIR", None, "Folder for backups without --output"),
    setting("TRSTCTL_BACKUP_RECIPIENTS_FILE", None, "age recipients to encrypt backups to, a line each"),
    setting(
        "TRSTCTL_BACKUP_IDENTITY_FILE",
        None,
        "age identities or SSH private key that open encrypted backups",
    ),
    setting("TRSTCTL_SIGNER_SOCKET", None, "Unix socket of trstctl-signer, for the commands about its keys"),
    setting("TRSTCTL_DEPLOYMENT_ID", None, "Identifies this deployment in its backups"),
    setting(
        "TRSTCTL_MIGRATE_AUTO",
        Some("true"),
        "false: restore --rebuild refuses where migrations are pending",
    ),
];

/// Read by the engines themselves, which know no configuration file.
const ENVIRONMENT_ONLY: &[&str] = &["TRSTCTL_NATS_SERVER_BIN", "TRSTCTL_POSTGRES_BIN_DIR"];

/// Settings of the other programs of the control plane: a file may be shared with them.
const OF_OTHERS: &[&str] = &[
    "TRSTCTL_SECRETS_KEK_FILE",
    "TRSTCTL_CA_CERT_FILE",
    "TRSTCTL_SIGNER_KEY_STORE_DIR",
    "TRSTCTL_SNAPSHOT_URL",
    "TRSTCTL_HA_LEADER_ELECTION",
    "TRSTCTL_HA_SNAPSHOT_INTERVAL",
];

/// Largest configuration file.
const MOST_BYTES: u64 = 1 << 20;

/// The settings in force. Values may hold user information: never print them whole.
pub struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Reads the file, if one is named, and the environment over it.
    pub fn load(file: Option<&Path>) -> Result<Self, Failure> {
        Self::from_sources(file, |name| std::env::var_os(name))
    }

    fn from_sources(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        values
            .extend(SETTINGS.iter().filter_map(|setting| Some((setting.name, setting.default?.to_owned()))));
        if let Some(path) = file {
            values.extend(read_file(path)?);
        }
        for setting in SETTINGS {
            let Some(value) = environment(setting.name) else { continue };
            // Ignored, it would turn a key into "no key", or lead to another server.
            let value = value.into_string().map_err(|_| invalid(setting.name, "no UTF-8", "text"))?;
            if value.is_empty() && setting.name.ends_with("_FILE") {
                return Err(invalid(setting.name, "", "the name of a file, or not to be set"));
            }
            if !value.is_empty() {
                values.insert(setting.name, value);
            }
        }
        Ok(Self { values })
    }

    /// The value of a setting in [`SETTINGS`].
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The value as yes or no.
    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name).unwrap_or("false") {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(invalid(name, other, "true or false")),
        }
    }

    /// The value as one of these words.
    pub fn word<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str, Failure> {
        let value = self.get(name).unwrap_or_default();
        let found = words.iter().find(|word| **word == value);
        found.copied().ok_or_else(|| invalid(name, value, &words.join(" or ")))
    }

    /// The value as a number of at least 1.
    pub fn number(&self, name: &str) -> Result<u32, Failure> {
        let value = self.get(name).unwrap_or_default();
        value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| invalid(name, value, "a number above 0"))
    }
}

fn invalid(name: &str, value: &str, expected: &str) -> Failure {
    Failure::new(Class::Usage, format!("{name} is {value:?}, expected {expected}"), "Correct the setting.")
}

fn read_file(path: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let name = path.display().to_string();
    let refuse = |reason: String| {
        Failure::new(
            Class::Usage,
            format!("the configuration file {name} cannot be used: {reason}"),
            "Correct the file.",
        )
        .in_file(&name)
    };
    let mut text = String::new();
    let opened = File::open(path).map(|file| file.take(MOST_BYTES + 1));
    opened.and_then(|mut file| file.read_to_string(&mut text)).map_err(|error| refuse(error.to_string()))?;
    // A device has no end.
    if text.len() as u64 > MOST_BYTES {
        return Err(refuse(format!("it has more than {MOST_BYTES} bytes")));
    }
    // A parse error of the library quotes the line, which may hold a password: only its place is told.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        refuse(format!("line {} is no TOML", text[..start].matches('\n').count() + 1))
    })?;
    let ours = table.into_iter().filter(|(key, _)| !OF_OTHERS.contains(&variable(key).as_str()));
    ours.map(|(key, value)| entry(&key, value).map_err(refuse)).collect()
}

/// The environment variable that a key of the file stands for.
fn variable(key: &str) -> String {
    format!("TRSTCTL_{}", key.to_uppercase())
}

fn entry(key: &str, value: toml::Value) -> Result<(&'static str, String), String> {
    let name = variable(key);
    if ENVIRONMENT_ONLY.contains(&name.as_str()) {
        return Err(format!("{key} can only be set in the environment, as {name}"));
    }
    let setting =
        SETTINGS.iter().find(|setting| setting.name == name).ok_or(format!("it has no setting {key:?}"))?;
    let text = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        _ => return Err(format!("{key} is neither a string, a number, nor true or false")),
    };
    Ok((setting.name, text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn environment_wins_over_file_and_file_over_default() {
        let file = file("nats_url = \"nats://file:1\"\nnats_replicas = 5\nmigrate_auto = false\n");
        let environment = |name: &str| (name == "TRSTCTL_NATS_URL").then(|| "nats://environment:1".into());
        let settings = Settings::from_sources(Some(file.path()), environment).unwrap();
        assert_eq!(settings.get("TRSTCTL_NATS_URL"), Some("nats://environment:1"));
        assert_eq!(settings.number("TRSTCTL_NATS_REPLICAS").unwrap(), 5);
        assert!(!settings.flag("TRSTCTL_MIGRATE_AUTO").unwrap());
        assert_eq!(settings.get("TRSTCTL_NATS_MODE"), Some("external"));
    }

    #[test]
    fn key_file_that_is_set_and_unusable_is_never_no_key() {
        use std::os::unix::ffi::OsStringExt;
        for value in [OsString::new(), OsString::from_vec(b"/key/\xff".to_vec())] {
            let environment = |name: &str| (name == "TRSTCTL_AUDIT_SIGNING_KEY_FILE").then(|| value.clone());
            assert_eq!(Settings::from_sources(None, environment).err().unwrap().class, Class::Usage);
        }
    }

    #[test]
    fn file_shared_with_the_server_is_read() {
        let file = file("signer_socket = \"/run/signer\"\nha_leader_election = true\nnats_replicas = 5\n");
        let settings = Settings::from_sources(Some(file.path()), |_| None).unwrap();
        assert_eq!(settings.number("TRSTCTL_NATS_REPLICAS").unwrap(), 5);
    }

    #[test]
    fn unknown_key_is_refused_by_name() {
        let file = file("nats_uri = \"x\"\n");
        let failure = Settings::from_sources(Some(file.path()), |_| None).err().unwrap();
        assert!(failure.class == Class::Usage && failure.message.contains("nats_uri"), "{failure}");
    }

    #[test]
    fn syntax_error_names_the_line_and_shows_nothing_of_it() {
        let file = file("nats_replicas = 3\npostgres_dsn = postgres://u:hunter2@h/d\n");
        let failure = Settings::from_sources(Some(file.path()), |_| None).err().unwrap();
        assert!(failure.message.contains("line 2") && !failure.message.contains("hunter2"), "{failure}");
    }
}
