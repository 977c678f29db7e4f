//! What a server says of itself in INFO.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A server's version: features are switched on by it, never required (design decision 13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// 2 in 2.9.10
    pub major: u32,
    /// 9 in 2.9.10
    pub minor: u32,
    /// 10 in 2.9.10
    pub patch: u32,
}

impl ServerVersion {
    /// Whether the server is at least this version.
    pub fn is_at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// Reads `2.9.10` or `2.12.0-RC.1`; a part that is no number counts as 0.
    pub fn parse(text: &str) -> Self {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self { major: next(), minor: next(), patch: next() }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl<'de> Deserialize<'de> for ServerVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

/// What a server says of itself when a connection begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Its id.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its version.
    pub version: ServerVersion,
    /// Largest message that it takes from this connection, header block included, in bytes.
    pub max_payload: usize,
    /// It understands header blocks.
    pub headers: bool,
    /// JetStream runs on this server; where it does not, another server of the cluster or a leaf may still serve it.
    pub jetstream: bool,
    /// The cluster it belongs to, if any.
    pub cluster: Option<String>,
    /// JetStream domain of this server, if any.
    pub domain: Option<String>,
    pub(super) tls_required: bool,
    pub(super) tls_available: bool,
    pub(super) auth_required: bool,
    pub(super) nonce: Option<String>,
    /// Lame duck: the server is about to shut down.
    pub(super) ldm: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(ServerVersion::parse("2.10.0") > ServerVersion::parse("2.9.10"));
        assert!(ServerVersion::parse("2.12.0-RC.1").is_at_least(2, 12));
        assert!(!ServerVersion::parse("2.9.25").is_at_least(2, 10));
    }

    #[test]
    fn info_of_any_shape_is_read() {
        let info: ServerInfo = serde_json::from_str(
            r#"{"version":"2.9.10","max_payload":1048576,"new_key":[1],"jetstream":true}"#,
        )
        .unwrap();
        assert_eq!((info.version.to_string().as_str(), info.max_payload), ("2.9.10", 1 << 20));
        assert!(info.jetstream && info.cluster.is_none());
    }
}
