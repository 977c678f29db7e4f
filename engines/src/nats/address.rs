//! Where a `nats-server` is reached, and the check that it is the very one and answers.

use serde::{Deserialize, Serialize};

use super::{SyncInterval, probe::Probe};
use crate::Version;

/// Name of the generated user.
pub const USER: &str = "trstctl";

/// What a process needs to connect. Holds a secret, so it has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Address {
    /// A random name, by which a server is known to be ours.
    pub name: String,
    /// On 127.0.0.1.
    pub port: u16,
    pub login: Login,
    pub version: Version,
    /// What the server was told; `None`: nothing, or it cannot be told.
    pub sync_interval: Option<SyncInterval>,
}

/// How to log in.
#[derive(Clone, Serialize, Deserialize)]
pub enum Login {
    /// No login is needed.
    Open,
    /// As [`USER`] with this password.
    Password(String),
    /// As some configuration text says, which we do not understand.
    Unknown,
}

impl Address {
    pub fn url(&self) -> String {
        match &self.login {
            Login::Password(password) => format!("nats://{USER}:{password}@127.0.0.1:{}", self.port),
            Login::Open | Login::Unknown => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    /// A connection to this very server, and no other that may have taken the port.
    pub fn connect(&self) -> Result<Probe, String> {
        Probe::connect(self)
    }

    /// Whether JetStream answers; where we cannot log in, whether the server greets us.
    pub fn check(&self) -> Result<(), String> {
        let mut probe = self.connect()?;
        match self.login {
            Login::Unknown => Ok(()),
            Login::Open | Login::Password(_) => probe.request("$JS.API.INFO", "").map(drop),
        }
    }
}
