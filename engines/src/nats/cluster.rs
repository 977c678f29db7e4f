//! Several `nats-server`s as one JetStream cluster on loopback, in throw-away folders.
//!
//! Name and route password are random, so two clusters never join even if one guesses the other's port.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NatsOptions, NatsServer, config::Cluster};
use crate::{Data, EngineError, chance};

const PROBE_STREAM: &str = "TRSTCTL_ENGINES_READY";
const POLL: Duration = Duration::from_millis(50);

/// A running cluster, stopped on drop.
#[derive(Debug)]
pub struct NatsCluster {
    members: Vec<NatsServer>,
    ready_within: Duration,
}

impl NatsCluster {
    /// Starts `size` servers with default options; ready when [`NatsCluster::wait_ready`] says so.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn start(size: usize) -> Result<NatsCluster, EngineError> {
        NatsCluster::start_with(size, NatsOptions::default())
    }

    /// Starts `size` servers that share these options, each in a throw-away folder of its own.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn start_with(size: usize, options: NatsOptions) -> Result<NatsCluster, EngineError> {
        chance::another_port_if_taken(|| NatsCluster::try_start(size, &options))
    }

    fn try_start(size: usize, options: &NatsOptions) -> Result<NatsCluster, EngineError> {
        let one = || NatsServer::prepare(NatsOptions { data: Data::Throwaway, ..options.clone() });
        let mut members = (0..size).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
        join(&mut members);
        members.iter_mut().try_for_each(NatsServer::launch)?;
        let cluster = NatsCluster { members, ready_within: options.ready_within };
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// The members.
    pub fn servers(&self) -> &[NatsServer] {
        &self.members
    }

    /// One member, to kill or restart it.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn server_mut(&mut self, index: usize) -> &mut NatsServer {
        &mut self.members[index]
    }

    /// Kills all members (SIGKILL) before one starts again: then they hold what is on their disks, and nothing else.
    ///
    /// # Errors
    /// As [`NatsCluster::start`].
    pub fn restart_killed(&mut self) -> Result<(), EngineError> {
        self.members.iter_mut().for_each(NatsServer::kill_9);
        self.members.iter_mut().for_each(NatsServer::pause);
        self.members.iter_mut().try_for_each(NatsServer::launch)?;
        self.wait_ready()
    }

    /// The members' addresses, separated by commas.
    pub fn url(&self) -> String {
        self.members.iter().map(NatsServer::url).collect::<Vec<_>>().join(",")
    }

    /// Waits until all members live, a stream with a replica on each can be created, and every stream has a leader and
    /// no replica behind. (Until then a member that was restarted may answer for a stream with old figures: seen on 2.9, without
    /// the name of a leader in the answer.)
    ///
    /// # Errors
    /// A member that ended, or the cluster is late.
    pub fn wait_ready(&self) -> Result<(), EngineError> {
        let start = Instant::now();
        self.members.iter().try_for_each(|member| {
            member.wait_within(self.ready_within, || member.address().connect().map(drop))
        })?;
        let remaining = self.ready_within.saturating_sub(start.elapsed());
        self.members[0].wait_within(remaining, || self.check_replicas())
    }

    fn check_replicas(&self) -> Result<(), String> {
        crate::poll::pause(POLL);
        let mut probe = self.members[0].address().connect()?;
        let stream = json!({"name": PROBE_STREAM, "subjects": [PROBE_STREAM], "storage": "memory",
            "retention": "limits", "num_replicas": self.members.len()});
        probe.request(&format!("$JS.API.STREAM.CREATE.{PROBE_STREAM}"), &stream.to_string())?;
        probe.request(&format!("$JS.API.STREAM.DELETE.{PROBE_STREAM}"), "")?;
        let list = probe.request("$JS.API.STREAM.LIST", "")?;
        // Null when there is none.
        match &list["streams"] {
            Value::Null if list["total"] == 0 => Ok(()),
            Value::Array(streams) => streams.iter().try_for_each(check_settled),
            _ => Err(format!("the server answered {list} instead of its streams")),
        }
    }
}

/// Whether a stream has a leader and all its replicas are current.
fn check_settled(stream: &Value) -> Result<(), String> {
    let cluster = &stream["cluster"];
    let mut replicas = cluster["replicas"].as_array().into_iter().flatten();
    match cluster["leader"].is_string() && replicas.all(|replica| replica["current"] == true) {
        true => Ok(()),
        false => {
            Err(format!("stream {} has no leader or a replica behind: {cluster}", stream["config"]["name"]))
        }
    }
}

/// Gives the members routes to each other and one login.
fn join(members: &mut [NatsServer]) {
    let ports: Vec<u16> = members.iter().map(|_| chance::free_ports::<1>()[0]).collect();
    let cluster =
        Cluster { name: chance::name(), password: chance::secret(), port: 0, members: ports.clone() };
    let login = chance::secret();
    for (member, port) in members.iter_mut().zip(ports) {
        member.config.join(Cluster { port, ..cluster.clone() }, &login);
    }
}
