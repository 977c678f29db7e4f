//! Embedded mode: both engines in one data directory, shared by all commands that work with it.
//!
//! Who gets the directory's lock starts the engines and then writes `engines.json` (0600: it holds the log's password).
//! Whoever finds the lock held reads that file and connects. The lock is free as soon as its holder is dead, so a
//! file beside a free lock, or one that names a dead process, is stale. The engines have locks of their own: after a
//! `kill -9` the next command waits until the old ones are gone.

use std::{
    fmt, fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    Data, EngineError, NatsOptions, NatsServer, Postgres, PostgresOptions, SyncInterval, Version,
    account::Account,
    folder::{self, Lock},
    nats::Address as NatsAddress,
    postgres::Address as PostgresAddress,
    process::Identity,
};

const STATE: &str = "engines.json";
const POLL: Duration = Duration::from_millis(50);
/// Longest wait for engines that should run.
const CHECK: Duration = Duration::from_secs(5);

/// How embedded engines are started.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// How late the log may be flushed to disk (on servers that can be told).
    pub sync_interval: SyncInterval,
    /// Largest message of the log, in bytes; the server's default is 1 MiB.
    pub max_payload: Option<u32>,
    /// How long each engine may take to start, and how long to wait for another command that is starting them.
    pub ready_within: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        let sync_interval = SyncInterval::Every(Duration::from_secs(1));
        EmbeddedOptions { sync_interval, max_payload: None, ready_within: Duration::from_secs(60) }
    }
}

/// What this process is to the engines of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It started them, and they end with it.
    Owner,
    /// They belong to another process, and end with that.
    Guest,
}

impl fmt::Debug for Embedded {
    /// Without the log's login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("role", &self.role())
            .field("port", &self.state.nats.port)
            .finish_non_exhaustive()
    }
}

/// The engines of a data directory, ready for use.
pub struct Embedded {
    state: State,
    owned: Option<Owned>,
}

/// What the state file says.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    owner: Identity,
    nats: NatsAddress,
    postgres: PostgresAddress,
    /// For the person who looks for the processes; no command signals what is not its own.
    #[serde(default)]
    pids: Pids,
}

/// The processes that are the engines.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Pids {
    nats: Option<u32>,
    postgres: Option<u32>,
}

/// Engines and lock; the state file goes first, the lock last.
struct Owned {
    state_path: PathBuf,
    nats: NatsServer,
    postgres: Postgres,
    _lock: Lock,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // One that stays is recognised as stale.
        let _ = fs::remove_file(&self.state_path);
    }
}

impl Embedded {
    /// Starts the engines in `data_dir` (created if need be), or connects to those that another process runs there.
    ///
    /// # Errors
    /// Those of starting either engine; [`EngineError::Unresponsive`] when another process holds the directory but its
    /// engines do not answer.
    pub fn open(data_dir: &Path) -> Result<Embedded, EngineError> {
        Embedded::open_with(data_dir, &EmbeddedOptions::default())
    }

    /// As [`Embedded::open`], with options; those only matter to the process that starts the engines.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(data_dir: &Path, options: &EmbeddedOptions) -> Result<Embedded, EngineError> {
        let data_dir = folder::create(data_dir, &Account::unprivileged())?;
        let lock = data_dir.join("lock");
        let start = Instant::now();
        loop {
            if let Some(lock) = Lock::try_take(&lock).map_err(EngineError::io("locking", &lock))? {
                return Embedded::start(&data_dir, options, lock);
            }
            match State::of_running(&data_dir.join(STATE)) {
                Ok(state) => return Ok(Embedded { state, owned: None }),
                Err(stale) if start.elapsed() > options.ready_within => return Err(stale.error(data_dir)),
                Err(_) => crate::poll::pause(POLL),
            }
        }
    }

    /// The engines that another process runs in `data_dir`; `None` where none run. Starts and writes nothing.
    pub fn running(data_dir: &Path) -> Option<Embedded> {
        let state = State::of_running(&data_dir.join(STATE)).ok()?;
        Some(Embedded { state, owned: None })
    }

    fn start(data_dir: &Path, options: &EmbeddedOptions, lock: Lock) -> Result<Embedded, EngineError> {
        let state_path = data_dir.join(STATE);
        // Nobody connects to engines that are gone.
        let _ = fs::remove_file(&state_path);
        let nats = NatsServer::start(NatsOptions {
            data: Data::Dir(data_dir.join("nats")),
            sync_interval: Some(options.sync_interval),
            max_payload: options.max_payload,
            ready_within: options.ready_within,
            ..NatsOptions::default()
        })?;
        let postgres = Postgres::start(PostgresOptions {
            data: Data::Dir(data_dir.join("postgres")),
            ready_within: options.ready_within,
            ..PostgresOptions::default()
        })?;
        let state = State {
            owner: Identity::own(),
            nats: nats.address().clone(),
            postgres: postgres.address(),
            pids: Pids { nats: nats.pid(), postgres: postgres.pid() },
        };
        state.write(&state_path)?;
        Ok(Embedded { state, owned: Some(Owned { state_path, nats, postgres, _lock: lock }) })
    }

    /// Whether the engines end with this process.
    pub fn role(&self) -> Role {
        match self.owned {
            Some(_) => Role::Owner,
            None => Role::Guest,
        }
    }

    /// Address of the log with its login: a secret.
    pub fn nats_url(&self) -> String {
        self.state.nats.url()
    }

    /// Version of the `nats-server`.
    pub fn nats_version(&self) -> Version {
        self.state.nats.version
    }

    /// How late the log is flushed to disk; `None` means the server's two minutes, since it cannot be told (before 2.10).
    pub fn sync_interval(&self) -> Option<SyncInterval> {
        self.state.nats.sync_interval
    }

    /// Connection string of a database by the socket, as the superuser; it holds no secret.
    pub fn dsn(&self, database: &str) -> String {
        self.state.postgres.dsn(database)
    }

    /// Version of PostgreSQL.
    pub fn postgres_version(&self) -> Version {
        self.state.postgres.version
    }

    /// The engines themselves, for their owner.
    pub fn engines(&self) -> Option<(&NatsServer, &Postgres)> {
        self.owned.as_ref().map(|owned| (&owned.nats, &owned.postgres))
    }

    /// Whether both engines still answer, and if not, what is wrong.
    ///
    /// # Errors
    /// A sentence for the person on call.
    pub fn check(&self) -> Result<(), String> {
        self.state.check()
    }
}

impl State {
    fn of_running(path: &Path) -> Result<State, Stale> {
        let unsaid = |reason: String| Stale { owner: 0, reason };
        let text = fs::read(path).map_err(|error| unsaid(format!("{STATE}: {error}")))?;
        let state: State =
            serde_json::from_slice(&text).map_err(|error| unsaid(format!("{STATE}: {error}")))?;
        match state.check() {
            Ok(()) => Ok(state),
            Err(reason) => Err(Stale { owner: state.owner.pid, reason }),
        }
    }

    /// Looks until both answer, as long as their owner lives and there is hope: a busy machine is slow to answer.
    fn check(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.look() {
                Err(_) if self.owner.is_alive() && begun.elapsed() < CHECK => crate::poll::pause(POLL),
                looked => return looked,
            }
        }
    }

    fn look(&self) -> Result<(), String> {
        if !self.owner.is_alive() {
            return Err(format!("process {}, which started the engines, is gone", self.owner.pid));
        }
        self.nats.check().map_err(|reason| format!("nats-server on port {}: {reason}", self.nats.port))?;
        let socket = self.postgres.socket();
        UnixStream::connect(&socket)
            .map(drop)
            .map_err(|error| format!("PostgreSQL at {}: {error}", socket.display()))
    }

    /// Whole or not at all.
    fn write(&self, path: &Path) -> Result<(), EngineError> {
        let unfinished = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).expect("strings and numbers are always JSON");
        folder::write_private(&unfinished, &text)?;
        fs::rename(&unfinished, path).map_err(EngineError::io("renaming", &unfinished))
    }
}

/// Why a state file cannot be used.
struct Stale {
    owner: u32,
    reason: String,
}

impl Stale {
    fn error(self, path: PathBuf) -> EngineError {
        EngineError::Unresponsive { path, pid: self.owner, reason: self.reason }
    }
}
