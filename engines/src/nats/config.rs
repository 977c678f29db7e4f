//! The configuration file of a `nats-server`: 0600, since it holds the login.

use std::path::Path;

use super::{
    FIRST_WITH_SYNC_INTERVAL, Monitoring, NatsAuth, NatsOptions, SyncInterval,
    address::{Address, Login, USER},
};
use crate::{EngineError, Version, chance, folder};

/// What is written to the file. Ports and login are chosen here, so that a restart has the same ones.
pub struct Config {
    pub address: Address,
    pub monitoring_port: Option<u16>,
    /// Routes to the other members, when this is one of a cluster.
    pub cluster: Option<Cluster>,
    max_payload: Option<u32>,
    extra: String,
}

/// Membership in a cluster.
#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    pub password: String,
    pub port: u16,
    /// Route ports of all members.
    pub members: Vec<u16>,
}

impl Config {
    pub fn new(options: NatsOptions, version: Version) -> Config {
        let [port, monitoring] = chance::free_ports();
        let (login, auth) = match options.auth {
            NatsAuth::Open => (Login::Open, String::new()),
            NatsAuth::Generated => (Login::Password(chance::secret()), String::new()),
            NatsAuth::Config(text) => (Login::Unknown, text),
        };
        let sync_interval = options.sync_interval.filter(|_| version >= FIRST_WITH_SYNC_INTERVAL);
        Config {
            address: Address { name: chance::name(), port, login, version, sync_interval },
            monitoring_port: (options.monitoring == Monitoring::Loopback).then_some(monitoring),
            cluster: None,
            max_payload: options.max_payload,
            extra: auth + "\n" + &options.extra,
        }
    }

    /// Makes this a member of `cluster`, whose members share the login.
    pub fn join(&mut self, cluster: Cluster, shared: &str) {
        self.cluster = Some(cluster);
        if let Login::Password(password) = &mut self.address.login {
            shared.clone_into(password);
        }
    }

    /// Writes the file, for this user alone.
    pub fn write(&self, path: &Path) -> Result<(), EngineError> {
        folder::write_private(path, self.text().as_bytes())
    }

    fn text(&self) -> String {
        let Address { name, port, login, sync_interval, .. } = &self.address;
        let mut lines = vec![
            format!("server_name: \"{name}\""),
            format!("listen: \"127.0.0.1:{port}\""),
            format!("jetstream {{ {} }}", sync_interval.map(sync_text).unwrap_or_default()),
        ];
        lines.extend(self.max_payload.map(|bytes| format!("max_payload: {bytes}")));
        lines.extend(self.monitoring_port.map(|port| format!("http: \"127.0.0.1:{port}\"")));
        if let Login::Password(password) = login {
            lines.push(authorization(password));
        }
        lines.extend(self.cluster.as_ref().map(Cluster::text));
        lines.push(self.extra.clone());
        lines.join("\n") + "\n"
    }
}

impl Cluster {
    fn text(&self) -> String {
        let Cluster { name, password, port, members } = self;
        let route = |member| format!("\"nats-route://{USER}:{password}@127.0.0.1:{member}\"");
        let routes: Vec<String> = members.iter().filter(|member| *member != port).map(route).collect();
        let (authorization, routes) = (authorization(password), routes.join(", "));
        format!(
            "cluster {{\n name: \"{name}\"\n listen: \"127.0.0.1:{port}\"\n {authorization}\n routes: [{routes}]\n}}"
        )
    }
}

fn authorization(password: &str) -> String {
    format!("authorization {{ user: \"{USER}\", password: \"{password}\" }}")
}

fn sync_text(interval: SyncInterval) -> String {
    match interval {
        SyncInterval::Always => "sync_interval: always".to_owned(),
        SyncInterval::Every(interval) => format!("sync_interval: \"{}ms\"", interval.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(interval: SyncInterval, version: Version) -> String {
        Config::new(NatsOptions { sync_interval: Some(interval), ..NatsOptions::default() }, version).text()
    }

    #[test]
    fn a_server_before_2_10_is_not_told_a_sync_interval_that_it_would_refuse() {
        let every_second = SyncInterval::Every(Duration::from_secs(1));
        assert!(!text(every_second, Version::new(2, 9, 25)).contains("sync_interval"));
        assert!(
            text(every_second, Version::new(2, 10, 0)).contains("jetstream { sync_interval: \"1000ms\" }")
        );
        assert!(
            text(SyncInterval::Always, Version::new(2, 15, 2))
                .contains("jetstream { sync_interval: always }")
        );
    }

    #[test]
    fn every_port_is_on_loopback() {
        let options = NatsOptions { monitoring: Monitoring::Loopback, ..NatsOptions::default() };
        let mut config = Config::new(options, Version::new(2, 15, 2));
        let cluster = Cluster { name: "c".into(), password: "p".into(), port: 7, members: vec![7, 8] };
        config.join(cluster, "shared");
        let text = config.text();
        let listening = |line: &&str| line.trim().starts_with("listen") || line.starts_with("http");
        let lines: Vec<&str> = text.lines().filter(listening).collect();
        assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("\"127.0.0.1:")), "{text}");
    }
}
