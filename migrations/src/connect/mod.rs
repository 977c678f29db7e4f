//! Opens a session from a DSN as the usual PostgreSQL tools do: URL or `key=value` form, PG* variables for what it leaves
//! out, the password file, TLS by `sslmode` and `sslrootcert`.
//!
//! Secrets come from the environment and files; no error or `Debug` text holds one.

mod dsn;
mod passfile;
mod server_certificate;
mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use self::tls::SslMode;
use crate::Error;
use crate::error::{chain, hint_for};

/// How to reach the database. Serves the synchronous and the asynchronous client.
#[derive(Clone)]
pub struct Target {
    /// Host, port, user, database and the rest.
    pub config: tokio_postgres::Config,
    /// The TLS side, `None` with `sslmode=disable`.
    pub tls: Option<MakeRustlsConnect>,
    /// Connecting and logging in take no longer.
    pub login_timeout: Duration,
    /// Why `~/.pgpass` was not looked at; said when the connection is refused.
    password_note: Option<String>,
    /// Process ids, at the server, of the sessions that this target and its clones opened.
    sessions: Arc<Mutex<Vec<i32>>>,
}

impl Target {
    /// Reads the DSN, with the process's PG* variables for what it leaves out; an empty DSN means those alone.
    pub fn from_dsn(dsn: &str) -> Result<Self, Error> {
        Self::from_dsn_and_env(dsn, &|name| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            // A service may have none in its environment.
            let home =
                || std::env::home_dir().filter(|_| name == "HOME").map(|home| home.display().to_string());
            value.or_else(home)
        })
    }

    /// The same with another environment.
    pub fn from_dsn_and_env(dsn: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let (mut config, tls_options) = dsn::read(dsn, env)?;
        let mut password_note = None;
        if config.get_password().is_none() {
            let found = passfile::find(&config, env)?;
            password_note = found.note;
            if let Some(password) = found.password {
                config.password(password);
            }
        }
        let tls = tls_options.connector(&mut config)?;
        let login_timeout = login_timeout(&config);
        fill_timeouts(&mut config);
        Ok(Self { config, tls, login_timeout, password_note, sessions: Arc::default() })
    }

    /// Host, port and database, for messages.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => self.config.get_hostaddrs().first().map_or_else(String::new, ToString::to_string),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        match self.config.get_dbname() {
            Some(database) => format!("{host}:{port}/{database}"),
            None => format!("{host}:{port}"),
        }
    }

    /// Opens a synchronous session. It panics inside an asynchronous runtime: call it from a blocking thread there.
    pub fn open(&self) -> Result<Client, Error> {
        let mut client = self.log_in()?.map_err(|error| self.connect_error(&error))?;
        client
            .batch_execute(WITHOUT_TIMEOUTS)
            .map_err(|error| Error::from_statement("the session cannot be prepared", &error))?;
        // Not every platform's server can do it.
        let _ = client.batch_execute(NOTICE_A_LOST_CLIENT);
        let pid = client.query_one("SELECT pg_backend_pid()", &[]);
        self.note_session(
            pid.map_err(|error| Error::from_statement("the session cannot be prepared", &error))?.get(0),
        );
        Ok(client)
    }

    /// Remembers the process id of a session that was opened.
    pub fn note_session(&self, pid: i32) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Process ids, at the server, of the sessions that this target and its clones opened; also of those that have ended.
    pub fn sessions(&self) -> Vec<i32> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On a thread of its own, which stays behind where the server never answers.
    fn log_in(&self) -> Result<Result<Client, postgres::Error>, Error> {
        let config = postgres::Config::from(self.config.clone());
        let tls = self.tls.clone();
        let (send, answer) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let opened = match tls {
                None => config.connect(NoTls),
                Some(tls) => config.connect(tls),
            };
            // Nobody waits for one that comes too late.
            let _ = send.send(opened);
        });
        answer.recv_timeout(self.login_timeout).map_err(|_| self.silent())
    }

    /// The server took no login within [`Target::login_timeout`].
    pub fn silent(&self) -> Error {
        let reason = format!("no login within {} s", self.login_timeout.as_secs());
        Error::Unreachable { place: self.place(), reason }
    }

    /// What a failed connection attempt means.
    pub fn connect_error(&self, error: &postgres::Error) -> Error {
        match error.as_db_error() {
            // Class 57P and "starting up" mean: not now.
            Some(db) if !db.code().code().starts_with("57P") => Error::refused(
                format!("PostgreSQL at {} refuses the connection", self.place()),
                self.with_note(format!("{} ({})", db.message(), db.code().code())),
                hint_for(db.code()),
            ),
            None if let Some((why, hint)) = server_certificate::refusal(error) => {
                Error::refused(format!("no TLS with PostgreSQL at {}", self.place()), why, hint)
            }
            _ => Error::Unreachable { place: self.place(), reason: self.with_note(chain(error)) },
        }
    }

    fn with_note(&self, text: String) -> String {
        let text = self.without_password(text);
        match &self.password_note {
            Some(note) => format!("{text} (no password was read: {note})"),
            None => text,
        }
    }

    fn without_password(&self, text: String) -> String {
        match self.config.get_password().map(String::from_utf8_lossy) {
            Some(password) if !password.is_empty() => text.replace(&*password, "***"),
            _ => text,
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.place())
    }
}

/// No server setting may end our sessions: their statements are long, and the one that holds a lock rests meanwhile. The
/// timeout of statements first, for it would hold for the rest; the others by name, since older servers lack some. Nor may
/// one let a statement that waited for a lock see what was there before.
pub const WITHOUT_TIMEOUTS: &str =
    "SET statement_timeout = 0; SET default_transaction_isolation = 'read committed'; SELECT set_config(name, '0', false) FROM pg_settings
    WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')";

/// Lets the server end a statement, and free its locks, within a second of its client's death. Fails where the server's
/// platform cannot do it; then a killed run's locks stay until its statement ends.
pub const NOTICE_A_LOST_CLIENT: &str = "SET client_connection_check_interval = '1s'";

/// A server that is starting or overloaded takes its time.
const UNCHOSEN_LOGIN: Duration = Duration::from_secs(60);

/// The library's idle time before keepalives, which means that none was chosen.
const UNCHOSEN_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// As of libpq: `connect_timeout`, where it is chosen, is that of the login too, for each host.
fn login_timeout(config: &tokio_postgres::Config) -> Duration {
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    let each = config.get_connect_timeout().copied().filter(|chosen| !chosen.is_zero());
    each.map_or(UNCHOSEN_LOGIN, |each| each * u32::try_from(hosts).unwrap_or(u32::MAX))
}

/// A peer that is gone without a word is noticed within seconds; what the DSN says is kept.
fn fill_timeouts(config: &mut tokio_postgres::Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    if config.get_keepalives_idle() == UNCHOSEN_IDLE {
        config.keepalives_idle(Duration::from_secs(2));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(1));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
}

/// Opens a synchronous session; see [`Target`].
pub fn connect(dsn: &str) -> Result<Client, Error> {
    Target::from_dsn(dsn)?.open()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dsn: &str, variables: &[(&str, &str)]) -> Result<Target, Error> {
        let env = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Target::from_dsn_and_env(dsn, &env)
    }

    #[test]
    fn server_that_accepts_and_says_nothing_is_not_waited_for() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        for mode in ["disable", "prefer"] {
            let dsn = format!("host=127.0.0.1 port={port} user=me sslmode={mode} connect_timeout=1");
            let error = target(&dsn, &[]).unwrap().open().map(drop).unwrap_err();
            assert!(error.to_string().contains("no login within 1 s"), "{error}");
        }
    }

    #[test]
    fn unix_socket_has_no_tls_whatever_is_demanded() {
        let demanded = [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "/nonexistent.pem")];
        assert!(target("host=/run/x user=me", &demanded).unwrap().tls.is_none());
        assert!(target("host=/run/x user=me sslmode=require", &[]).unwrap().tls.is_none());
        assert!(target("host=db user=me sslmode=require", &[]).unwrap().tls.is_some());
        assert!(target("host=/run/x,db user=me sslmode=require", &[]).unwrap().tls.is_some());
    }

    #[test]
    fn lost_peer_is_noticed_within_seconds_unless_the_dsn_says_otherwise() {
        let config = target("host=db user=me", &[]).unwrap().config;
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(2));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(1)));
        assert_eq!(config.get_keepalives_retries(), Some(3));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(10)));
        let chosen = target("host=db user=me keepalives_idle=60 tcp_user_timeout=90", &[]).unwrap().config;
        assert_eq!(chosen.get_keepalives_idle(), Duration::from_secs(60));
        assert_eq!(chosen.get_tcp_user_timeout(), Some(&Duration::from_secs(90)));
    }
}
