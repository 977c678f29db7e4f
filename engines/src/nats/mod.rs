//! A `nats-server` with JetStream on file storage, on a loopback port.
//!
//! Ready means: the server that answers on the port has the random name that we gave to ours, accepts our login, and
//! its JetStream answers.

mod address;
mod cluster;
mod config;
mod probe;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use address::Address;
pub use cluster::NatsCluster;
use config::Config;
use serde::{Deserialize, Serialize};

use crate::{
    Binary, Data, EngineError, Version,
    account::Account,
    binaries, chance,
    folder::Folder,
    supervisor::{Order, Supervised},
};

/// JetStream flushes on SIGTERM; a large store takes its time.
const GRACE_S: u32 = 20;
/// First version that can be told how late to flush to disk.
pub const FIRST_WITH_SYNC_INTERVAL: Version = Version::new(2, 10, 0);

/// How late JetStream may flush acknowledged messages to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncInterval {
    /// Before it acknowledges.
    Always,
    /// At most so much later.
    Every(Duration),
}

/// Who may connect.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum NatsAuth {
    /// One user with a random password; both stand in [`NatsServer::url`].
    #[default]
    Generated,
    /// Everybody on this machine.
    Open,
    /// What this configuration text says (`authorization {…}`, `accounts {…}`, `tls {…}`). The readiness check then goes no
    /// further than the server's greeting.
    Config(String),
}

/// How a `nats-server` is started. Its `Debug` is left out on purpose: it may hold secrets.
#[derive(Clone)]
pub struct NatsOptions {
    /// Program to run; the newest installed one by default.
    pub binary: Option<PathBuf>,
    /// Where its data is.
    pub data: Data,
    /// `None`: the server's default, two minutes. Left out for servers before 2.10, which cannot be told.
    pub sync_interval: Option<SyncInterval>,
    /// Largest message, in bytes; the server's default is 1 MiB.
    pub max_payload: Option<u32>,
    /// Who may connect.
    pub auth: NatsAuth,
    /// Whether there is an HTTP monitoring port (on loopback).
    pub monitoring: Monitoring,
    /// More configuration text, appended.
    pub extra: String,
    /// How long the start may take; recovery of a large store is part of it.
    pub ready_within: Duration,
}

/// The HTTP monitoring port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Monitoring {
    /// None.
    #[default]
    Off,
    /// On a free loopback port, see [`NatsServer::monitoring_port`].
    Loopback,
}

impl Default for NatsOptions {
    fn default() -> NatsOptions {
        NatsOptions {
            binary: None,
            data: Data::Throwaway,
            sync_interval: None,
            max_payload: None,
            auth: NatsAuth::Generated,
            monitoring: Monitoring::Off,
            extra: String::new(),
            ready_within: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for NatsServer {
    /// Without login and configuration text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsServer")
            .field("port", &self.port())
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A running `nats-server`, stopped on drop.
pub struct NatsServer {
    running: Option<Supervised>,
    folder: Folder,
    program: PathBuf,
    config: Config,
    ready_within: Duration,
}

impl NatsServer {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// The program is missing or unusable, the folder is held or not writable, or the server ends or is late.
    pub fn start(options: NatsOptions) -> Result<NatsServer, EngineError> {
        chance::another_port_if_taken(|| {
            let mut server = NatsServer::prepare(options.clone())?;
            server.launch_and_wait()?;
            Ok(server)
        })
    }

    /// Everything but the process.
    fn prepare(options: NatsOptions) -> Result<NatsServer, EngineError> {
        let binary = match &options.binary {
            Some(path) => Binary::at(path)?,
            None => binaries::nats_server()?,
        };
        let patience = Duration::from_secs(u64::from(GRACE_S) + 5);
        let folder = Folder::open(&options.data, &Account::own(), patience)?;
        let ready_within = options.ready_within;
        let config = Config::new(options, binary.version);
        Ok(NatsServer { running: None, folder, program: binary.path, config, ready_within })
    }

    fn launch(&mut self) -> Result<(), EngineError> {
        let file = self.folder.path().join("nats.conf");
        self.config.write(&file)?;
        let arguments = ["-c".into(), file.into(), "-sd".into(), self.store_dir().into()];
        self.running = Some(Supervised::start(Order {
            engine: "nats-server",
            command: std::iter::once(self.program.clone().into()).chain(arguments).collect(),
            account: &Account::own(),
            stop_signal: "TERM",
            grace_s: GRACE_S,
            log: self.log_path(),
            lock: self.folder.lock(),
            remove: self.folder.to_remove(),
        })?);
        Ok(())
    }

    fn launch_and_wait(&mut self) -> Result<(), EngineError> {
        self.launch()?;
        self.wait_within(self.ready_within, || self.address().check())
    }

    fn wait_within(
        &self,
        deadline: Duration,
        check: impl FnMut() -> Result<(), String>,
    ) -> Result<(), EngineError> {
        self.running.as_ref().expect("launched before").wait_ready(deadline, check)
    }

    /// `nats://user:password@127.0.0.1:port`; without the login unless the password was generated.
    pub fn url(&self) -> String {
        self.address().url()
    }

    /// What another process needs to connect.
    pub(crate) fn address(&self) -> &Address {
        &self.config.address
    }

    /// The server's own name, by which a cluster reports leaders and replicas.
    pub fn name(&self) -> &str {
        &self.address().name
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address().port
    }

    /// The HTTP monitoring port on 127.0.0.1, when there is one.
    pub fn monitoring_port(&self) -> Option<u16> {
        self.config.monitoring_port
    }

    /// The process id; `None` after [`NatsServer::kill_9`].
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().filter(|running| running.is_running()).map(Supervised::pid)
    }

    /// The version of the program.
    pub fn version(&self) -> Version {
        self.address().version
    }

    /// How late this server flushes to disk; `None`: it cannot be told (before 2.10) or was not.
    pub fn sync_interval(&self) -> Option<SyncInterval> {
        self.address().sync_interval
    }

    /// The engine's folder: configuration, log, and the store below `jetstream`.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that holds `jetstream/` with the streams' files.
    pub fn store_dir(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("nats-server.log")
    }

    /// Kills the server as a power cut would (but what it wrote is kept by the system) and waits until it is gone.
    pub fn kill_9(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill_9();
        }
    }

    /// Stops the server in order and keeps its data, also in a throw-away folder, for [`NatsServer::restart`].
    pub fn pause(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_and_keep();
        }
    }

    /// Starts the server again, whether it was killed, paused or still runs, on the same port with the same data and login.
    ///
    /// # Errors
    /// As [`NatsServer::start`]; also when somebody else has taken the port meanwhile.
    pub fn restart(&mut self) -> Result<(), EngineError> {
        self.pause();
        self.launch_and_wait()
    }

    /// Stops the server and removes its folder if that is throw-away, as dropping it does.
    pub fn stop(self) {}
}
