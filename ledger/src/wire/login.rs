//! Who we are: the CONNECT line, from files, options or the URL, in this order.
//!
//! Secrets are read when a connection begins, so that a rotated file counts at the next one, and are kept nowhere.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::server_url::{ServerUrl, UserInfo};
use super::{ConnectOptions, ServerInfo};
use crate::log::LogError;

/// Whether the connection is encrypted, as CONNECT says it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encrypted {
    No,
    Yes,
}

#[derive(Serialize)]
struct Connect {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    lang: &'static str,
    version: &'static str,
    name: &'static str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(flatten)]
    login: Login,
}

#[derive(Default, Serialize)]
struct Login {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

/// The CONNECT operation with its PING, whose PONG says that we are in.
pub(super) fn connect_operation(
    options: &ConnectOptions,
    server: &ServerUrl,
    info: &ServerInfo,
    encrypted: Encrypted,
) -> Result<Vec<u8>, LogError> {
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: encrypted == Encrypted::Yes,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        name: "trstctl",
        protocol: 1,
        echo: true,
        headers: true,
        no_responders: true,
        login: login(options, server, info)?,
    };
    let mut line = b"CONNECT ".to_vec();
    serde_json::to_writer(&mut line, &connect).expect("plain strings and booleans are JSON");
    line.extend_from_slice(b"\r\nPING\r\n");
    Ok(line)
}

fn login(options: &ConnectOptions, server: &ServerUrl, info: &ServerInfo) -> Result<Login, LogError> {
    if let Some(path) = &options.creds_file {
        return creds(path, info);
    }
    if let Some(path) = &options.nkey_file {
        return nkey(path, info);
    }
    if let Some(path) = &options.token_file {
        return Ok(Login { auth_token: Some(secret("token file", path)?), ..Login::default() });
    }
    if let Some(user) = &options.user {
        let pass = options.password_file.as_deref().map(|path| secret("password file", path)).transpose()?;
        return Ok(Login { user: Some(user.clone()), pass, ..Login::default() });
    }
    Ok(match server.user_info.clone() {
        Some(UserInfo::Password(user, pass)) => {
            Login { user: Some(user), pass: Some(pass), ..Login::default() }
        }
        Some(UserInfo::Token(token)) => Login { auth_token: Some(token), ..Login::default() },
        None => Login::default(),
    })
}

fn creds(path: &Path, info: &ServerInfo) -> Result<Login, LogError> {
    let text = secret("creds file", path)?;
    let unusable = |reason: &str| unusable("creds file", path, reason);
    let jwt = section(&text, "NATS USER JWT").ok_or_else(|| unusable("it holds no user JWT"))?;
    let seed = section(&text, "USER NKEY SEED").ok_or_else(|| unusable("it holds no NKey seed"))?;
    let key = nkeys::KeyPair::from_seed(seed).map_err(|_| unusable("its NKey seed is not one"))?;
    let sig = signature(&key, info).ok_or_else(|| unusable("its NKey seed cannot sign"))?;
    Ok(Login { jwt: Some(jwt.to_owned()), sig: Some(sig), ..Login::default() })
}

fn nkey(path: &Path, info: &ServerInfo) -> Result<Login, LogError> {
    let text = secret("NKey file", path)?;
    let unusable = |reason: &str| unusable("NKey file", path, reason);
    let seed = text.lines().map(str::trim).find(|line| line.starts_with('S')).unwrap_or_default();
    let key = nkeys::KeyPair::from_seed(seed).map_err(|_| unusable("it holds no NKey seed"))?;
    let sig = signature(&key, info).ok_or_else(|| unusable("its NKey seed cannot sign"))?;
    Ok(Login { nkey: Some(key.public_key()), sig: Some(sig), ..Login::default() })
}

/// The server's nonce, signed; a server that asks for no such login sends none, and then an empty one is signed.
fn signature(key: &nkeys::KeyPair, info: &ServerInfo) -> Option<String> {
    let nonce = info.nonce.as_deref().unwrap_or_default();
    key.sign(nonce.as_bytes()).ok().map(|sig| URL_SAFE_NO_PAD.encode(sig))
}

/// The first line after `-----BEGIN <title>-----`.
fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.trim_matches('-') == format!("BEGIN {title}"))?;
    lines.find(|line| !line.is_empty())
}

fn secret(what: &str, path: &Path) -> Result<String, LogError> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(what, path, &error.to_string()))?;
    match text.trim() {
        "" => Err(unusable(what, path, "it is empty")),
        text => Ok(text.to_owned()),
    }
}

fn unusable(what: &str, path: &Path, reason: &str) -> LogError {
    LogError::Configuration { what: format!("{what} {}", path.display()), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creds_file_gives_its_two_sections() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\nIMPORTANT\n\
                    -----BEGIN USER NKEY SEED-----\nSUAX\n------END USER NKEY SEED------\n";
        assert_eq!(section(text, "NATS USER JWT"), Some("eyJ0"));
        assert_eq!(section(text, "USER NKEY SEED"), Some("SUAX"));
        assert_eq!(section(text, "OTHER"), None);
    }

    #[test]
    fn a_login_of_the_url_stands_only_in_connect() {
        let server = ServerUrl::parse("nats://alice:p%22w@h").unwrap();
        let line =
            connect_operation(&ConnectOptions::default(), &server, &ServerInfo::default(), Encrypted::No)
                .unwrap();
        let text = String::from_utf8(line).unwrap();
        assert!(text.contains(r#""user":"alice","pass":"p\"w""#), "{text}");
        assert!(text.ends_with("}\r\nPING\r\n"));
    }
}
