//! The address of one server. Its text form leaves the user information out, so that no error can show it.

use std::fmt;

use crate::log::LogError;

/// Whether the address itself demands TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `nats://`: TLS if the server demands it.
    Nats,
    /// `tls://`: TLS or nothing.
    Tls,
}

/// What stands before the `@`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum UserInfo {
    /// `token@`
    Token(String),
    /// `user:password@`
    Password(String, String),
}

/// The address of one server.
#[derive(Clone)]
pub(super) struct ServerUrl {
    pub(super) scheme: Scheme,
    pub(super) user_info: Option<UserInfo>,
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

const DEFAULT_PORT: u16 = 4222;

impl ServerUrl {
    pub(super) fn parse(text: &str) -> Result<Self, LogError> {
        // The text itself may hold a password, so no message repeats it.
        Self::parts(text).map_err(|reason| LogError::Configuration {
            what: "NATS URL".to_owned(),
            reason: format!("{reason}; expected nats://host:port or tls://host:port"),
        })
    }

    fn parts(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("nats", rest)) => (Scheme::Nats, rest),
            Some(("tls", rest)) => (Scheme::Tls, rest),
            Some(_) => return Err("its scheme is neither nats nor tls"),
            None => (Scheme::Nats, text),
        };
        let (user_info, address) = match rest.rsplit_once('@') {
            Some((user_info, address)) => (Some(UserInfo::parse(user_info)?), address),
            None => (None, rest),
        };
        let (host, port) = host_and_port(address.trim_end_matches('/'))?;
        Ok(Self { scheme, user_info, host, port })
    }
}

impl UserInfo {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some((user, password)) => Ok(Self::Password(percent_decoded(user)?, percent_decoded(password)?)),
            None => Ok(Self::Token(percent_decoded(text)?)),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Nats => "nats",
            Scheme::Tls => "tls",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("its address lacks a ]")?;
            (host, after.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| "its port is not a number from 0 to 65535")?,
        None => DEFAULT_PORT,
    };
    let odd = |c: char| c.is_whitespace() || c == '/' || c == '?' || c == '#';
    if host.is_empty() || host.contains(odd) {
        return Err("it names no host");
    }
    Ok((host.to_owned(), port))
}

fn percent_decoded(text: &str) -> Result<String, &'static str> {
    const BAD: &str = "its user information is not percent-encoded UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(BAD)?;
        bytes.extend(hex::decode(digits).map_err(|_| BAD)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_defaults() {
        let url = ServerUrl::parse("nats.example").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Nats, "nats.example", 4222));
        assert_eq!(ServerUrl::parse("tls://[::1]:5222").unwrap().to_string(), "tls://[::1]:5222");
    }

    #[test]
    fn user_information_is_decoded_and_never_shown() {
        let url = ServerUrl::parse("nats://al%40ice:p%3Aq@h:1").unwrap();
        assert!(url.user_info == Some(UserInfo::Password("al@ice".into(), "p:q".into())));
        assert_eq!(url.to_string(), "nats://h:1");
        let token = ServerUrl::parse("nats://t0k@h").unwrap();
        assert!(token.user_info == Some(UserInfo::Token("t0k".into())));
    }

    #[test]
    fn a_bad_address_is_refused_without_repeating_it() {
        for bad in ["nats://u:s3cret@", "http://u:s3cret@h", "nats://u:s3cret@h:port", "nats://u:s3cret%zz@h"]
        {
            let error = ServerUrl::parse(bad).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
