//! A small NATS connection that hands out subject, header block and payload exactly as the server sends them
//! (design decision 15), and makes the JetStream API requests that this program needs.

use std::path::PathBuf;

/// How to reach a NATS server. Secrets come from files or the environment, never from arguments; `Debug` hides them.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// `nats://host:port[,nats://…]` or `tls://…`; user and password, or a token, may stand in it.
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
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}
