//! How to reach a NATS server, and as whom.
//!
//! Secrets come from files or the environment, never from arguments; `Debug` shows which are set, never what they are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::server_url::ServerUrl;
use crate::log::LogError;

/// How to reach a NATS server. Secrets come from files or the environment, never from arguments; `Debug` hides them.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// `nats://host:port[,nats://…]` or `tls://…`; user and password, or a token, may stand in it.
    /// Several are tried in order.
    pub url: String,
    /// A creds file (JWT and NKey seed).
    pub creds_file: Option<PathBuf>,
    /// A file with an NKey seed.
    pub nkey_file: Option<PathBuf>,
    /// User name, with the password read from `password_file`.
    pub user: Option<String>,
    /// File with the password of `user`.
    pub password_file: Option<PathBuf>,
    /// File with a token.
    pub token_file: Option<PathBuf>,
    /// Certificate authorities to trust besides the system's. With it, a server without TLS is refused.
    pub ca_file: Option<PathBuf>,
    /// Client certificate. With it, a server without TLS is refused.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// JetStream domain: requests go to `$JS.<domain>.API.…`.
    pub domain: Option<String>,
    /// Prefix of the JetStream API as this account sees it, instead of `$JS.API` (imports under another name).
    pub api_prefix: Option<String>,
    /// Prefix of reply subjects, instead of `_INBOX`, where permissions demand one.
    pub inbox_prefix: Option<String>,
    /// Longest time to connect to one server, login included; `None`: 5 s.
    pub connect_timeout: Option<Duration>,
}

impl ConnectOptions {
    /// Everything by default but the URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    pub(super) fn servers(&self) -> Result<Vec<ServerUrl>, LogError> {
        self.url.split(',').map(str::trim).filter(|one| !one.is_empty()).map(ServerUrl::parse).collect()
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(5))
    }

    /// `$JS.API`, or what replaces it.
    pub(super) fn api_prefix(&self) -> Result<String, LogError> {
        match (&self.api_prefix, &self.domain) {
            (Some(prefix), _) => checked_subject("JetStream API prefix", prefix.trim_end_matches('.')),
            (None, Some(domain)) => Ok(format!("$JS.{}.API", checked_subject("JetStream domain", domain)?)),
            (None, None) => Ok("$JS.API".to_owned()),
        }
    }

    pub(super) fn inbox_prefix(&self) -> Result<String, LogError> {
        match &self.inbox_prefix {
            Some(prefix) => checked_subject("inbox prefix", prefix.trim_end_matches('.')),
            None => Ok("_INBOX".to_owned()),
        }
    }
}

fn checked_subject(what: &str, text: &str) -> Result<String, LogError> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>';
    if text.is_empty() || text.split('.').any(str::is_empty) || text.contains(odd) {
        return Err(LogError::Configuration {
            what: what.to_owned(),
            reason: format!("{text:?} cannot stand in a subject"),
        });
    }
    Ok(text.to_owned())
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self.servers() {
            Ok(servers) => servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Err(_) => "(not a NATS URL)".to_owned(),
        };
        f.debug_struct("ConnectOptions")
            .field("url", &url)
            .field("creds_file", &self.creds_file)
            .field("nkey_file", &self.nkey_file)
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .field("key_file", &self.key_file)
            .field("domain", &self.domain)
            .field("api_prefix", &self.api_prefix)
            .field("inbox_prefix", &self.inbox_prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret_of_the_url() {
        let options = ConnectOptions::new("nats://alice:s3cret@one:4222,nats://t0ken@two");
        let shown = format!("{options:?}");
        assert!(shown.contains("nats://one:4222,nats://two:4222"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }

    #[test]
    fn a_domain_moves_the_api() {
        let options = ConnectOptions { domain: Some("hub".into()), ..ConnectOptions::default() };
        assert_eq!(options.api_prefix().unwrap(), "$JS.hub.API");
        let odd = ConnectOptions { domain: Some("a b".into()), ..ConnectOptions::default() };
        assert!(odd.api_prefix().is_err());
    }
}
