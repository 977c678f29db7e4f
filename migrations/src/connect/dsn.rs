//! Splits a DSN into what the client library understands and the TLS settings that it does not.

use tokio_postgres::Config;
use tokio_postgres::config::ChannelBinding;

use super::tls::TlsOptions;
use crate::Error;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a DSN, and the PG* variables for what it leaves out.
pub(super) fn read(dsn: &str, env: Env<'_>) -> Result<(Config, TlsOptions), Error> {
    let (rest, pairs) = split(dsn.trim())?;
    let mut config: Config =
        rest.parse().map_err(|error: tokio_postgres::Error| settings(crate::error::chain(&error)))?;
    fill_from_env(&mut config, env)?;
    let tls = tls_options(&pairs, env)?;
    Ok((config, tls))
}

fn settings(what: impl std::fmt::Display) -> Error {
    Error::Settings {
        what: format!("the PostgreSQL DSN cannot be used: {what}"),
        hint: "Give it as postgres://user@host:5432/database?sslmode=verify-full, or as host=… user=… dbname=…; the password belongs in PGPASSWORD or the file of PGPASSFILE.".into(),
    }
}

fn fill_from_env(config: &mut Config, env: Env<'_>) -> Result<(), Error> {
    if config.get_user().is_none()
        && let Some(user) = env("PGUSER")
    {
        config.user(user);
    }
    if config.get_dbname().is_none()
        && let Some(database) = env("PGDATABASE")
    {
        config.dbname(database);
    }
    if config.get_password().is_none()
        && let Some(password) = env("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name(env("PGAPPNAME").unwrap_or_else(|| "trstctl-dr".into()));
    }
    if config.get_options().is_none()
        && let Some(options) = env("PGOPTIONS")
    {
        config.options(options);
    }
    if config.get_connect_timeout().is_none()
        && let Some(seconds) = env("PGCONNECT_TIMEOUT")
    {
        let seconds = seconds.parse().map_err(|_| settings("PGCONNECT_TIMEOUT is no number of seconds"))?;
        config.connect_timeout(std::time::Duration::from_secs(seconds));
    }
    channel_binding_from_env(config, env)?;
    host_from_env(config, env)
}

/// Only where the DSN leaves the choice: `prefer`, which is also what it says by saying nothing.
fn channel_binding_from_env(config: &mut Config, env: Env<'_>) -> Result<(), Error> {
    let binding = match env("PGCHANNELBINDING").as_deref() {
        None | Some("prefer") => return Ok(()),
        Some("require") => ChannelBinding::Require,
        Some("disable") => ChannelBinding::Disable,
        Some(text) => {
            return Err(settings(format!("PGCHANNELBINDING={text} is none of disable, prefer, require")));
        }
    };
    if config.get_channel_binding() == ChannelBinding::Prefer {
        config.channel_binding(binding);
    }
    Ok(())
}

/// Without any host, as the usual tools: the local socket.
fn host_from_env(config: &mut Config, env: Env<'_>) -> Result<(), Error> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host(env("PGHOST").unwrap_or_else(|| "/var/run/postgresql".into()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = env("PGPORT")
    {
        config.port(port.parse().map_err(|_| settings("PGPORT is no port number"))?);
    }
    Ok(())
}

fn tls_options(pairs: &[(String, String)], env: Env<'_>) -> Result<TlsOptions, Error> {
    let said = |key: &str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let value = |key: &str, variable: &str| said(key).or_else(|| env(variable));
    TlsOptions::read(value, env)
}

fn is_ours(key: &str) -> bool {
    matches!(key, "sslmode" | "sslrootcert" | "sslcert" | "sslkey")
}

/// The DSN without the TLS settings, and those.
fn split(dsn: &str) -> Result<(String, Vec<(String, String)>), Error> {
    if dsn.starts_with("postgres://") || dsn.starts_with("postgresql://") {
        split_url(dsn)
    } else {
        split_pairs(dsn)
    }
}

fn split_url(dsn: &str) -> Result<(String, Vec<(String, String)>), Error> {
    let Some((front, query)) = dsn.split_once('?') else {
        return Ok((dsn.to_owned(), Vec::new()));
    };
    let mut kept = Vec::new();
    let mut ours = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if is_ours(key) => ours.push((key.to_owned(), percent_decode(value)?)),
            _ => kept.push(part),
        }
    }
    let rest = if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) };
    Ok((rest, ours))
}

fn percent_decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.extend(hex::decode(digits).map_err(|_| settings("a % without two hex digits"))?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| settings("a value that is no UTF-8"))
}

/// `key = value` pairs; a value may stand in single quotes, with `\` before a quote or a backslash.
fn split_pairs(dsn: &str) -> Result<(String, Vec<(String, String)>), Error> {
    let mut kept = String::new();
    let mut ours = Vec::new();
    let mut rest = dsn.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| settings("a key without a value"))?;
        let (value, after) = take_value(after.trim_start())?;
        let key = key.trim();
        if is_ours(key) {
            ours.push((key.to_owned(), value));
        } else {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            kept.push_str(&format!("{key}='{quoted}' "));
        }
        rest = after.trim_start();
    }
    Ok((kept, ours))
}

fn take_value(text: &str) -> Result<(String, &str), Error> {
    let quoted = text.starts_with('\'');
    let body = if quoted { &text[1..] } else { text };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(settings("a quote that does not end")) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::super::tls::{Authorities, SslMode};
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn url_keeps_what_the_library_knows_and_yields_the_tls_settings() {
        let (config, tls) =
            read("postgres://me@db.example:6000/inv?sslmode=verify-full&sslrootcert=%2Fca%20x.pem&connect_timeout=3", &none)
                .unwrap();
        assert_eq!(config.get_user(), Some("me"));
        assert_eq!(config.get_dbname(), Some("inv"));
        assert_eq!(config.get_connect_timeout().unwrap().as_secs(), 3);
        assert_eq!(tls.mode, SslMode::VerifyFull);
        assert_eq!(tls.authorities, Authorities::File("/ca x.pem".into()));
    }

    #[test]
    fn pairs_keep_quoted_values() {
        let (config, tls) = read(r"host=/run/x user='a \'b' sslmode = disable dbname=d", &none).unwrap();
        assert_eq!(config.get_user(), Some("a 'b"));
        assert_eq!(config.get_dbname(), Some("d"));
        assert_eq!(config.get_hosts(), [Host::Unix("/run/x".into())]);
        assert_eq!(tls.mode, SslMode::Disable);
    }

    #[test]
    fn environment_fills_what_the_dsn_leaves_out_and_nothing_else() {
        let env = |name: &str| {
            let value = match name {
                "PGHOST" => "elsewhere",
                "PGUSER" => "env_user",
                "PGDATABASE" => "env_db",
                "PGPORT" => "7000",
                "PGSSLMODE" => "require",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let (config, tls) = read("user=me", &env).unwrap();
        assert_eq!(config.get_user(), Some("me"));
        assert_eq!(config.get_dbname(), Some("env_db"));
        assert_eq!(config.get_ports(), [7000]);
        assert_eq!(config.get_hosts(), [Host::Tcp("elsewhere".into())]);
        assert_eq!(tls.mode, SslMode::Require);
    }

    #[test]
    fn channel_binding_of_the_environment_is_taken_where_the_dsn_leaves_the_choice() {
        let says =
            |text: &'static str| move |name: &str| (name == "PGCHANNELBINDING").then(|| text.to_owned());
        let binding = |dsn, text| read(dsn, &says(text)).map(|(config, _)| config.get_channel_binding());
        assert_eq!(binding("user=me", "require").unwrap(), ChannelBinding::Require);
        assert_eq!(binding("user=me", "disable").unwrap(), ChannelBinding::Disable);
        assert_eq!(binding("user=me channel_binding=disable", "require").unwrap(), ChannelBinding::Disable);
        assert!(
            binding("user=me", "requir")
                .unwrap_err()
                .to_string()
                .contains("none of disable, prefer, require")
        );
    }

    #[test]
    fn unknown_sslmode_is_refused_with_the_known_ones() {
        let error = read("sslmode=yes", &none).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("verify-full"), "{error}");
    }
}
