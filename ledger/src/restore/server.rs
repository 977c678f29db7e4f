//! What a restore asks of the server: names, state, creation, update and deletion of the one stream.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use trstctl_formats::{Class, Failure};

use crate::log::stream::{CHANGE, ClusterInfo, ELECTION};
use crate::log::{LogError, Mark, StreamConfig};
use crate::wire::{ApiError, ConnectOptions, Connection, code};

/// Longest wait for the answer to one request.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Wait for the answer to a question that is asked again.
const GLANCE: Duration = Duration::from_secs(5);
/// Longest wait for the leader of a stream that is deleted if it gets none.
const LONGEST_ELECTION: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

/// A stream as its leader describes it, or, where it has none, one of its replicas.
#[derive(Clone, Debug)]
pub(super) struct LiveStream {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) config: Map<String, Value>,
    pub(super) last_sequence: u64,
    pub(super) messages: u64,
    /// Bytes of the messages on one replica.
    pub(super) len_bytes: u64,
    pub(super) consumers: u64,
    pub(super) cluster: Option<ClusterInfo>,
}

impl LiveStream {
    /// Its leader has said all this; else one of its replicas, of what it has itself.
    pub(super) fn is_led(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.is_led(self.replicas()))
    }

    pub(super) fn subjects(&self) -> Vec<String> {
        let subjects = self.config.get("subjects").and_then(Value::as_array);
        subjects.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Never written and nobody's: nothing would be lost with it.
    pub(super) fn is_untouched(&self) -> bool {
        self.last_sequence == 0 && self.messages == 0 && self.consumers == 0
    }

    pub(super) fn replicas(&self) -> u64 {
        self.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1)
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        Mark::parse(&self.description)
    }
}

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    state: State,
    #[serde(default)]
    cluster: Option<ClusterInfo>,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    last_seq: u64,
    #[serde(default)]
    consumer_count: u64,
}

impl From<Info> for LiveStream {
    fn from(info: Info) -> Self {
        let text = |key: &str| info.config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            description: text("description"),
            last_sequence: info.state.last_seq,
            messages: info.state.messages,
            len_bytes: info.state.bytes,
            consumers: info.state.consumer_count,
            config: info.config,
            cluster: info.cluster,
        }
    }
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
    #[serde(default)]
    total: usize,
}

/// What the account may still store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes, all replicas together; `None` without a limit.
    pub(super) storage_bytes: Option<u64>,
    /// Streams; `None` without a limit.
    pub(super) streams: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Account {
    storage: u64,
    streams: i64,
    limits: AccountLimits,
    tiers: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(default)]
struct AccountLimits {
    max_storage: i64,
    max_streams: i64,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self { max_storage: -1, max_streams: -1 }
    }
}

impl Account {
    /// Limits by tier are left to the server.
    fn room(&self) -> Room {
        if !self.tiers.is_empty() {
            return Room::default();
        }
        let storage = u64::try_from(self.limits.max_storage).ok();
        let streams = u64::try_from(self.limits.max_streams).ok().filter(|&most| most > 0);
        let used_streams = u64::try_from(self.streams).unwrap_or(0);
        Room {
            storage_bytes: storage.filter(|&most| most > 0).map(|most| most.saturating_sub(self.storage)),
            streams: streams.map(|most| most.saturating_sub(used_streams)),
        }
    }
}

/// Whether a stream has no leader.
pub(super) enum Leaderless {
    /// It has none; as its replicas together have it.
    Of(LiveStream),
    /// It has one again.
    No,
}

/// What a cluster shows of a stream.
pub(super) enum Sight {
    /// The stream with its replicas.
    Shown(LiveStream),
    /// Nothing yet, as for a moment after an archive; or nothing just now, and why.
    Hidden(Option<Failure>),
}

/// Requests about one stream.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) connection: Connection,
    pub(super) stream: String,
}

impl Server {
    pub(super) fn new(connection: Connection, stream: &str) -> Self {
        Self { connection, stream: stream.to_owned() }
    }

    /// Another connection, made as the first one was.
    pub(super) async fn connect_again(&self) -> Result<Connection, LogError> {
        Connection::connect(self.connection.options()).await
    }

    /// The same server, or another one of those that were named when this one has gone meanwhile.
    pub(super) async fn open(&self) -> Result<Self, LogError> {
        let connection = match self.connection.is_open() {
            true => self.connection.clone(),
            false => self.connect_again().await?,
        };
        Ok(Self::new(connection, &self.stream))
    }

    /// It is one of several, so a stream that stopped half-way behaves otherwise.
    pub(super) fn is_clustered(&self) -> bool {
        self.connection.server().cluster.is_some()
    }

    /// Names of all streams that take messages of this subject (wildcards allowed).
    pub(super) async fn names(&self, subject: &str) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        loop {
            let body = json!({"subject": subject, "offset": names.len()});
            let page =
                self.patiently(async |patience| self.connection.api("STREAM.NAMES", &body, patience).await);
            let page: Names = page.await.map_err(|error| self.said(error))?;
            let streams = page.streams.unwrap_or_default();
            let is_last = streams.is_empty();
            names.extend(streams);
            if is_last || names.len() >= page.total {
                return Ok(names);
            }
        }
    }

    /// Asks what changes nothing, again while a cluster elects somebody who may answer.
    async fn patiently<T>(&self, ask: impl AsyncFn(Duration) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let begun = Instant::now();
        let patience = if self.is_clustered() { GLANCE } else { ANSWER };
        loop {
            match ask(patience).await {
                Err(error) if self.is_passing(&error) && begun.elapsed() < ELECTION => {
                    tokio::time::sleep(POLL).await;
                }
                answered => return answered,
            }
        }
    }

    /// Asks for a change, again while the cluster refuses it since it elects a leader.
    pub(super) async fn once_elected<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let begun = Instant::now();
        loop {
            match ask().await {
                Err(error) if self.is_electing(&error) && begun.elapsed() < ELECTION => {
                    tokio::time::sleep(POLL).await;
                }
                answered => return answered,
            }
        }
    }

    /// The stream as its leader has it, if there is one; an election is waited for.
    pub(super) async fn live(&self) -> Result<Option<LiveStream>, Failure> {
        let begun = Instant::now();
        loop {
            match self.shown().await? {
                Some(live) if live.is_led() => return Ok(Some(live)),
                None => return Ok(None),
                Some(_) if begun.elapsed() < ELECTION => tokio::time::sleep(POLL).await,
                Some(_) => return Err(LogError::NoLeader { stream: self.stream.clone() }.into()),
            }
        }
    }

    /// The stream as whoever answers has it: only its configuration is everybody's.
    pub(super) async fn shown(&self) -> Result<Option<LiveStream>, Failure> {
        let info = self
            .patiently(async |patience| self.ask(patience).await)
            .await
            .map_err(|error| self.said(error))?;
        Ok(info.map(LiveStream::from))
    }

    /// The same, asked once.
    pub(super) async fn glance(&self) -> Result<Option<LiveStream>, Failure> {
        let info = self.ask(GLANCE).await.map_err(|error| self.said(error))?;
        Ok(info.map(LiveStream::from))
    }

    /// Its replicas.
    pub(super) async fn cluster(&self) -> Result<Sight, Failure> {
        match self.ask(ANSWER).await {
            Ok(Some(info)) => Ok(Sight::Shown(info.into())),
            Ok(None) => Ok(Sight::Hidden(None)),
            Err(error) if self.is_passing(&error) => Ok(Sight::Hidden(Some(self.said(error)))),
            Err(error) => Err(self.said(error)),
        }
    }

    async fn ask(&self, patience: Duration) -> Result<Option<Info>, ApiError> {
        match self.connection.api_get(&self.info_endpoint(), patience).await {
            Err(error) if error.err_code() == code::STREAM_NOT_FOUND => Ok(None),
            answered => answered.map(Some),
        }
    }

    fn info_endpoint(&self) -> String {
        format!("STREAM.INFO.{}", self.stream)
    }

    fn is_passing(&self, error: &ApiError) -> bool {
        self.is_silent(error) || self.is_electing(error)
    }

    /// What an error means for the person on call.
    fn said(&self, error: ApiError) -> Failure {
        match error.is_leaderless() {
            true => LogError::NoLeader { stream: self.stream.clone() }.into(),
            false => LogError::from(error).into(),
        }
    }

    /// Nobody of the cluster has answered, and the connection holds.
    fn is_silent(&self, error: &ApiError) -> bool {
        let is_unanswered = matches!(error, ApiError::Failed(LogError::Unreachable { .. }));
        is_unanswered && self.is_clustered() && self.connection.is_open()
    }

    /// The cluster has no leader for the stream, or the word of the new one is not everywhere yet.
    fn is_electing(&self, error: &ApiError) -> bool {
        let is_unheard = matches!(error, ApiError::Failed(LogError::NoResponders { .. }));
        self.is_clustered() && (is_unheard || error.is_leaderless())
    }

    pub(super) async fn room(&self) -> Result<Room, Failure> {
        let account =
            self.patiently(async |patience| self.connection.api_get::<Account>("INFO", patience).await);
        Ok(account.await.map_err(|error| self.said(error))?.room())
    }

    /// Creates the stream and gives back what the server made of it.
    pub(super) async fn create(&self, config: &StreamConfig) -> Result<LiveStream, ApiError> {
        let endpoint = format!("STREAM.CREATE.{}", self.stream);
        let config = config.to_json();
        let created =
            self.once_elected(async || self.connection.api::<Info>(&endpoint, &config, CHANGE).await);
        Ok(created.await?.into())
    }

    /// Changes some keys of the live configuration, and leaves the others as they are.
    pub(super) async fn update(
        &self,
        live: &LiveStream,
        changes: &[(&str, Value)],
    ) -> Result<LiveStream, Failure> {
        let mut config = live.config.clone();
        for (key, value) in changes {
            config.insert((*key).to_owned(), value.clone());
        }
        let endpoint = format!("STREAM.UPDATE.{}", self.stream);
        let updated =
            self.once_elected(async || self.connection.api::<Info>(&endpoint, &config, CHANGE).await);
        Ok(updated.await.map_err(|error| self.said(error))?.into())
    }

    /// Deletes the stream; it is no error when it is gone already.
    pub(super) async fn delete(&self) -> Result<(), Failure> {
        self.ask_to_delete(CHANGE).await.map_err(|error| self.said(error))
    }

    /// The same of a stream without a leader: some versions do it and nobody says so.
    pub(super) async fn delete_leaderless(&self) -> Result<(), Failure> {
        match self.ask_to_delete(ANSWER).await {
            Err(error) if self.is_silent(&error) => self.wait_until_gone(error).await,
            asked => asked.map_err(|error| self.said(error)),
        }
    }

    async fn ask_to_delete(&self, patience: Duration) -> Result<(), ApiError> {
        let endpoint = format!("STREAM.DELETE.{}", self.stream);
        let asked =
            self.once_elected(async || self.connection.api_get::<Value>(&endpoint, patience).await).await;
        match asked {
            Err(error) if error.err_code() == code::STREAM_NOT_FOUND => Ok(()),
            asked => asked.map(|_| ()),
        }
    }

    async fn wait_until_gone(&self, silence: ApiError) -> Result<(), Failure> {
        let begun = Instant::now();
        // Said twice: a cluster's new leader may not have read of it yet.
        let mut gone = 0;
        loop {
            gone = if matches!(self.ask(GLANCE).await, Ok(None)) { gone + 1 } else { 0 };
            if gone == 2 {
                return Ok(());
            }
            if begun.elapsed() > CHANGE {
                return Err(self.said(silence));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether the server itself may store so many bytes. Old servers do not ask before they take an archive, and refuse
    /// every later publish instead; creating a stream asks. Limits that are met by use alone do not show here. A user that
    /// may not make and remove the probe is not asked for it.
    pub(super) async fn check_store(&self, needed_bytes: u64) -> Result<(), Failure> {
        if self.connection.server().version.is_at_least(2, 12) || needed_bytes == 0 {
            return Ok(());
        }
        let probe = Server::new(self.connection.clone(), "TRSTCTL_RESTORE_PROBE");
        match probe.delete().await {
            // What could not be removed again is not made.
            Err(failure) if failure.class == Class::Refused => return Ok(()),
            other => other?,
        }
        let config = json!({
            "name": probe.stream, "subjects": ["trstctl-restore.probe"], "retention": "limits", "storage": "file",
            "max_bytes": needed_bytes, "num_replicas": 1,
        });
        let endpoint = format!("STREAM.CREATE.{}", probe.stream);
        let created = self.connection.api::<Value>(&endpoint, &config, ANSWER).await;
        probe.delete().await?;
        match created.map_err(|error| (error.err_code(), LogError::from(error))) {
            Err((code::STORAGE_EXCEEDED | code::INSUFFICIENT_RESOURCES, error)) => {
                let message =
                    format!("the server may not store the {needed_bytes} bytes of the log: {error}");
                let hint = "Raise max_file_store in the NATS server's configuration, then run the same command again.";
                Err(Failure::new(Class::Refused, message, hint))
            }
            _ => Ok(()),
        }
    }

    /// The stream whose name is listed. In a cluster, a restore that was cut shows nothing but its name for a while: INFO
    /// says that there is no stream, or that it has no leader, or nothing at all.
    ///
    /// A stream without a leader is given back as such in the end, our `own` work only when all its replicas have said how long it is.
    /// A restored one may stay without for ever although all its servers live: when its leader dies
    /// before another replica has its messages, these elect one of them, which steps down at once; what they noted of that is newer
    /// than all that the old leader knows, and they never vote for it again (seen with 2.15).
    pub(super) async fn live_within(
        &self,
        subject: &str,
        own: Mark,
        patience: Duration,
    ) -> Result<Option<LiveStream>, Failure> {
        let (begun, mut leaderless) = (Instant::now(), None);
        loop {
            match self.ask(GLANCE).await {
                Ok(Some(info)) => {
                    let live = LiveStream::from(info);
                    let waited = leaderless.get_or_insert_with(Instant::now).elapsed();
                    if live.is_led() || live.mark() != Some(own) && waited > ELECTION {
                        return Ok(Some(live));
                    }
                    if waited > LONGEST_ELECTION {
                        match self.leaderless(&live).await {
                            Ok(Leaderless::Of(live)) => return Ok(Some(live)),
                            // It is seen as led with the next look.
                            Ok(Leaderless::No) => {}
                            // A server that answers late.
                            Err(_) if waited < LONGEST_ELECTION + ELECTION => {}
                            Err(left) => return Err(left),
                        }
                    }
                }
                Ok(None) if !self.names(subject).await?.contains(&self.stream) => return Ok(None),
                Ok(None) => {}
                Err(error) if self.is_silent(&error) => {}
                Err(error) if self.is_electing(&error) && begun.elapsed() < ELECTION => {}
                Err(error) => return Err(self.said(error)),
            }
            let longest =
                if leaderless.is_some() { patience + LONGEST_ELECTION + ELECTION } else { patience };
            if begun.elapsed() >= longest {
                return Err(self.name_without_stream(longest));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A stream without a leader, with the last sequence that any of its replicas says it has.
    pub(super) async fn leaderless(&self, live: &LiveStream) -> Result<Leaderless, Failure> {
        let replicas = live.cluster.iter().flat_map(|cluster| &cluster.replicas);
        let mut silent: Vec<&str> = replicas.map(|replica| replica.name.as_str()).collect();
        if (silent.len() as u64) < live.replicas() {
            return Err(self.left_alone("not all are known"));
        }
        let mut last_sequence = live.last_sequence;
        // Of many answers the first arrives, which is that of the server that is asked, if it gives one.
        for url in self.connection.options().url.split(',') {
            let options = ConnectOptions { url: url.to_owned(), ..self.connection.options().clone() };
            let Ok(connection) = Connection::connect(&options).await else { continue };
            let name = connection.server().server_name.clone();
            if let Ok(Some(info)) = Self::new(connection, &self.stream).ask(GLANCE).await {
                let theirs = LiveStream::from(info);
                if theirs.is_led() {
                    return Ok(Leaderless::No);
                }
                last_sequence = last_sequence.max(theirs.last_sequence);
                silent.retain(|replica| *replica != name);
            }
        }
        match silent.is_empty() {
            true => Ok(Leaderless::Of(LiveStream { last_sequence, ..live.clone() })),
            false => Err(self.left_alone(&silent.join(", "))),
        }
    }

    fn left_alone(&self, silent: &str) -> Failure {
        let message = format!(
            "{}, an unverified restore, has no leader, and not all of its servers could be asked what they have: {silent}",
            self.stream
        );
        let hint = format!(
            "Bring them back, name them all in TRSTCTL_NATS_URL, and run the same command again: it then begins anew. If they are lost, \
             `nats stream rm {}` first.",
            self.stream
        );
        Failure::new(Class::Unreachable, message, hint)
    }

    fn name_without_stream(&self, patience: Duration) -> Failure {
        let message = format!(
            "the cluster lists {} but did not show it within {} s: the servers that keep it may be down, or a restore was cut just before",
            self.stream,
            patience.as_secs()
        );
        let hint = format!(
            "Bring all servers of the cluster back, wait until `nats stream info {0}` answers, and run the same command again. Remove it \
             (`nats stream rm {0}`) only if it is certain that a restore that was cut made it: its servers delete what they have \
             when they are back.",
            self.stream
        );
        Failure::new(Class::Unreachable, message, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(text: &str) -> Room {
        serde_json::from_str::<Account>(text).unwrap().room()
    }

    #[test]
    fn room_is_what_the_limit_leaves() {
        let limited = room(r#"{"storage":300,"streams":2,"limits":{"max_storage":1000,"max_streams":3}}"#);
        assert_eq!(limited, Room { storage_bytes: Some(700), streams: Some(1) });
    }

    #[test]
    fn an_account_without_limits_has_room() {
        assert_eq!(room(r#"{"storage":300,"limits":{"max_storage":-1,"max_streams":-1}}"#), Room::default());
        assert_eq!(room("{}"), Room::default());
    }
}
