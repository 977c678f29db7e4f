//! The configuration file of a `nats-server`: 0600, since it holds the login.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{
    FIRST_WITH_SYNC_INTERVAL, Monitoring, NatsAuth, NatsOptions, SyncInterval,
    probe::{Login, USER},
};
use crate::{EngineError, Version, chance};

/// What is written to the file. Ports are chosen here, so that a restart has the same ones.
pub struct Config {
    /// A random name, by which a server is known to be ours.
    pub name: String,
    pub port: u16,
    pub sync_interval: Option<SyncInterval>,
    /// Routes to the other members, when this is one of a cluster.
    pub cluster: Option<Cluster>,
    max_payload: Option<u32>,
    monitoring: Option<u16>,
    auth: Auth,
    extra: String,
}

/// Membership in a cluster.
#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    pub password: String,
    pub port: u16,
    pub members: Vec<u16>,
}

enum Auth {
    Open,
    Password(String),
    Config(String),
}

impl Config {
    pub fn new(options: NatsOptions, version: Version) -> Config {
        let [port, monitoring] = chance::free_ports();
        Config {
            name: chance::name(),
            port,
            sync_interval: options.sync_interval.filter(|_| version >= FIRST_WITH_SYNC_INTERVAL),
            cluster: None,
            max_payload: options.max_payload,
            monitoring: (options.monitoring == Monitoring::Loopback).then_some(monitoring),
            auth: match options.auth {
                NatsAuth::Open => Auth::Open,
                NatsAuth::Generated => Auth::Password(chance::secret()),
                NatsAuth::Config(text) => Auth::Config(text),
            },
            extra: options.extra,
        }
    }

    pub fn monitoring_port(&self) -> Option<u16> {
        self.monitoring
    }

    /// How our own check logs in.
    pub fn login(&self) -> Login<'_> {
        match &self.auth {
            Auth::Open => Login::Open,
            Auth::Password(password) => Login::Password(password),
            Auth::Config(_) => Login::Unknown,
        }
    }

    /// Makes this a member of `cluster`, whose members share the login.
    pub fn join(&mut self, cluster: Cluster, login: &str) {
        self.cluster = Some(cluster);
        if let Auth::Password(password) = &mut self.auth {
            login.clone_into(password);
        }
    }

    /// Writes the file, for this user alone.
    pub fn write(&self, path: &Path) -> Result<(), EngineError> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(EngineError::io("writing", path))?;
        file.set_permissions(PermissionsExt::from_mode(0o600))
            .map_err(EngineError::io("protecting", path))?;
        file.write_all(self.text().as_bytes()).map_err(EngineError::io("writing", path))
    }

    fn text(&self) -> String {
        let mut text = format!("server_name: \"{}\"\nlisten: \"127.0.0.1:{}\"\n", self.name, self.port);
        let mut line =
            |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a String takes everything");
        line(format_args!("jetstream {{ {} }}", self.sync_text()));
        if let Some(bytes) = self.max_payload {
            line(format_args!("max_payload: {bytes}"));
        }
        if let Some(port) = self.monitoring {
            line(format_args!("http: \"127.0.0.1:{port}\""));
        }
        match &self.auth {
            Auth::Open => {}
            Auth::Password(password) => {
                line(format_args!("authorization {{ user: \"{USER}\", password: \"{password}\" }}"));
            }
            Auth::Config(config) => line(format_args!("{config}")),
        }
        if let Some(cluster) = &self.cluster {
            line(format_args!("{}", cluster.text()));
        }
        line(format_args!("{}", self.extra));
        text
    }

    fn sync_text(&self) -> String {
        match self.sync_interval {
            None => String::new(),
            Some(SyncInterval::Always) => "sync_interval: always".to_owned(),
            Some(SyncInterval::Every(interval)) => format!("sync_interval: \"{}ms\"", interval.as_millis()),
        }
    }
}

impl Cluster {
    fn text(&self) -> String {
        let Cluster { name, password, port, members } = self;
        let route = |member| format!("\"nats-route://{USER}:{password}@127.0.0.1:{member}\"");
        let routes: Vec<String> = members.iter().filter(|member| *member != port).map(route).collect();
        format!(
            "cluster {{ name: \"{name}\", listen: \"127.0.0.1:{port}\", \
             authorization {{ user: \"{USER}\", password: \"{password}\" }}, routes: [{}] }}",
            routes.join(", ")
        )
    }
}
