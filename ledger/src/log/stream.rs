//! Requests about one stream: its state and configuration from the leader, single messages, deletion.
//!
//! MSG.GET and MSG.DELETE are answered by the stream's leader alone; a direct get, which any replica answers, is never
//! used to learn whether a message exists (trap 3). INFO is answered by the leader while there is one, and else by any
//! replica with what it has itself, be it nothing (seen with 2.9 and 2.15): such an answer is an error here.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

pub use super::deleted::Ranges;
use super::{LogError, LogState};
use crate::wire::{ApiError, Connection, code};

/// Longest wait for an answer about a stream.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Longest wait until a stream is made, changed or gone: that waits for every replica.
pub const CHANGE: Duration = Duration::from_secs(30);
/// Longest wait for a leader that is being elected: an election begins up to nine seconds after a leader's death and may need
/// several rounds. Until it begins, nobody answers.
pub const ELECTION: Duration = Duration::from_secs(30);
/// See [`ClusterInfo::is_led`].
const LEASE: Duration = Duration::from_secs(3);
/// A list of more deleted sequences than this is not asked for: the server writes it in one answer, eight bytes and more
/// for each, and ends connections that have 64 MiB waiting.
pub(super) const LONGEST_LIST: u64 = 3_000_000;

/// What the leader says of a stream.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StreamInfo {
    /// The configuration as the server keeps it, with what it adds.
    pub config: Map<String, Value>,
    /// When it was created, RFC 3339.
    #[serde(default)]
    pub created: String,
    /// State.
    pub state: StreamState,
    /// Its place in a cluster; on a single server `None`, or that server alone.
    #[serde(default)]
    pub cluster: Option<ClusterInfo>,
}

/// State of a stream as the server counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// First sequence as the server says it; see [`StreamState::log_state`].
    pub first_seq: u64,
    /// Store time of the first message, RFC 3339.
    #[serde(default)]
    pub first_ts: String,
    /// Last sequence ever used.
    pub last_seq: u64,
    /// Store time of the last message, RFC 3339.
    #[serde(default)]
    pub last_ts: String,
    /// Consumers.
    #[serde(default)]
    pub consumer_count: u64,
    /// Deleted sequences between first and last.
    #[serde(default)]
    pub num_deleted: u64,
    /// Those sequences, when they were asked for. 2.9 leaves some out.
    #[serde(default)]
    pub deleted: Ranges,
    /// What the server has found damaged and gave up, when that was asked for.
    #[serde(default)]
    pub lost: Lost,
}

/// Messages that a server stored and can no longer read. Until it starts again it says so; then they count as deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Lost {
    /// Their sequences.
    pub msgs: Ranges,
}

impl StreamState {
    /// The same in the words of the log: an empty stream begins after its last sequence, whatever the server says.
    pub fn log_state(&self) -> LogState {
        let first_sequence = if self.messages == 0 { self.last_seq + 1 } else { self.first_seq };
        LogState {
            first_sequence,
            last_sequence: self.last_seq,
            messages: self.messages,
            len_bytes: self.bytes,
        }
    }
}

/// The servers that keep a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterInfo {
    /// The leader's name; empty when there is none.
    pub leader: String,
    /// The others, as the leader sees them; all, as the one that answers sees them, where there is none. Their word of being
    /// current is not relied upon.
    pub replicas: Vec<Replica>,
    /// The group that elects the leader, as newer servers tell it that belong to it.
    pub raft_group: String,
    /// Replicas are being added or moved.
    pub desired: Option<IgnoredAny>,
}

impl ClusterInfo {
    /// Whether the leader of a stream of so many replicas has said this, and leads it still. Else a replica has, with what it
    /// has itself:
    /// - one that knows no leader;
    /// - one that was to lead once and answers beside the leader, which it lists among the others;
    /// - one that has not heard yet who else keeps the stream, and names itself.
    ///
    /// A leader hears every other each second. One that has not heard a majority for three may have been followed by another, and
    /// what it says may be old; otherwise it hears of that with the next second.
    pub fn is_led(&self, wanted: u64) -> bool {
        let is_member = !self.raft_group.is_empty() || self.desired.is_some();
        let names_itself = self.replicas.is_empty() && wanted > 1 && !is_member;
        let is_another = self.replicas.iter().any(|replica| replica.name == self.leader);
        !(self.leader.is_empty() || names_itself || is_another || self.is_alone())
    }

    /// Half of those that elect, or fewer, were heard lately.
    fn is_alone(&self) -> bool {
        let electing = || self.replicas.iter().filter(|replica| !replica.pending);
        let heard =
            electing().filter(|replica| replica.is_heard_within(LEASE) && !replica.is_unheard()).count();
        (heard + 1) * 2 <= electing().count() + 1
    }
}

/// One of the servers that follow a stream's leader.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// The leader believes that it is up to date.
    pub current: bool,
    /// It is not there. Said some minutes after a death.
    pub offline: bool,
    /// Nanoseconds since it was heard.
    pub active: u64,
    /// Operations that it is behind.
    pub lag: u64,
    /// It is to become one, and elects nobody yet.
    pub pending: bool,
}

impl Replica {
    /// The leader has never heard it.
    fn is_unheard(&self) -> bool {
        self.active == 0 && !self.current
    }

    /// It is there and was heard within this time.
    pub fn is_heard_within(&self, span: Duration) -> bool {
        !self.offline && Duration::from_nanos(self.active) <= span
    }
}

impl StreamInfo {
    /// Gives it back if the leader has said so.
    ///
    /// # Errors
    /// [`LogError::NoLeader`] when a replica has answered in its place.
    pub fn of_leader(self) -> Result<Self, LogError> {
        match self.cluster.as_ref().is_none_or(|cluster| cluster.is_led(self.replicas())) {
            true => Ok(self),
            false => Err(LogError::NoLeader { stream: self.config_text("name").to_owned() }),
        }
    }

    /// A text of the configuration, empty when it is not there.
    fn config_text(&self, key: &str) -> &str {
        self.config.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The description, which carries the mark of an unverified restore.
    pub fn description(&self) -> &str {
        self.config_text("description")
    }

    /// Copies that the stream is configured to have.
    pub fn replicas(&self) -> u64 {
        self.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1)
    }
}

/// A stream by its name, on a connection.
#[derive(Clone, Copy)]
pub struct StreamRequests<'a> {
    connection: &'a Connection,
    stream: &'a str,
}

impl<'a> StreamRequests<'a> {
    /// Requests about `stream`.
    ///
    /// # Errors
    /// [`LogError::Configuration`] when that cannot be a stream's name.
    pub fn new(connection: &'a Connection, stream: &'a str) -> Result<Self, LogError> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\');
        if stream.is_empty() || stream.contains(odd) {
            return Err(LogError::Configuration {
                what: format!("stream name {stream:?}"),
                reason: "it is empty or holds one of . * > / \\ or white space".to_owned(),
            });
        }
        Ok(Self { connection, stream })
    }

    /// State and configuration, without the list of deleted sequences.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with [`code::STREAM_NOT_FOUND`] when there is none, [`LogError::NoLeader`] when nobody leads it.
    pub async fn info(self) -> Result<StreamInfo, ApiError> {
        let info: StreamInfo =
            self.connection.api_get(&format!("STREAM.INFO.{}", self.stream), DEADLINE).await?;
        info.of_leader().map_err(ApiError::Failed)
    }

    /// The same with the lists of deleted and lost sequences, unless they are too long to be asked for.
    ///
    /// # Errors
    /// As [`StreamRequests::info`].
    pub async fn info_with_deleted(self) -> Result<StreamInfo, ApiError> {
        let info = self.info().await?;
        if info.state.num_deleted > LONGEST_LIST {
            return Ok(info);
        }
        let endpoint = format!("STREAM.INFO.{}", self.stream);
        let info: StreamInfo =
            self.connection.api(&endpoint, &json!({"deleted_details": true}), DEADLINE).await?;
        info.of_leader().map_err(ApiError::Failed)
    }

    /// Whether the leader has the message of this sequence.
    ///
    /// # Errors
    /// When the leader gives no answer, or another than yes or no.
    pub async fn has_message(self, sequence: u64) -> Result<bool, ApiError> {
        let endpoint = format!("STREAM.MSG.GET.{}", self.stream);
        match self.connection.api::<Done>(&endpoint, &json!({"seq": sequence}), DEADLINE).await {
            Ok(Done {}) => Ok(true),
            Err(error) if error.err_code() == code::NO_MESSAGE_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sequence and header block of the first message of `subject` at or after `from`, from the leader.
    ///
    /// # Errors
    /// When the leader gives no answer, or a refusal.
    pub(super) async fn next_of_subject(
        self,
        from: u64,
        subject: &str,
    ) -> Result<Option<(u64, Vec<u8>)>, ApiError> {
        let endpoint = format!("STREAM.MSG.GET.{}", self.stream);
        let body = json!({"seq": from, "next_by_subj": subject});
        match self.connection.api::<FoundMessage>(&endpoint, &body, DEADLINE).await {
            Ok(FoundMessage { message }) => Ok(Some((message.seq, message.headers()))),
            Err(error) if error.err_code() == code::NO_MESSAGE_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes one message, for tests and demos: the stream must allow it.
    ///
    /// # Errors
    /// When the stream denies it, or there is no such message.
    pub async fn delete_message(self, sequence: u64) -> Result<(), ApiError> {
        let endpoint = format!("STREAM.MSG.DELETE.{}", self.stream);
        let body = json!({"seq": sequence, "no_erase": true});
        self.connection.api::<Done>(&endpoint, &body, DEADLINE).await.map(|_| ())
    }

    /// Deletes all messages below `keep_from`, for tests and demos: the stream must allow it.
    ///
    /// # Errors
    /// When the stream denies it.
    pub async fn purge_below(self, keep_from: u64) -> Result<(), ApiError> {
        let endpoint = format!("STREAM.PURGE.{}", self.stream);
        self.connection.api::<Done>(&endpoint, &json!({"seq": keep_from}), DEADLINE).await.map(|_| ())
    }

    /// Creates the stream; the answer's configuration is what the server took, which may be less than was asked for.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn create(self, config: &Map<String, Value>) -> Result<StreamInfo, ApiError> {
        self.connection.api(&format!("STREAM.CREATE.{}", self.stream), config, CHANGE).await
    }

    /// Changes the configuration.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn update(self, config: &Map<String, Value>) -> Result<StreamInfo, ApiError> {
        self.connection.api(&format!("STREAM.UPDATE.{}", self.stream), config, CHANGE).await
    }

    /// Deletes the stream with all its messages.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn delete(self) -> Result<(), ApiError> {
        self.connection.api_get::<Done>(&format!("STREAM.DELETE.{}", self.stream), CHANGE).await.map(|_| ())
    }
}

#[derive(Deserialize)]
struct FoundMessage {
    message: Found,
}

#[derive(Deserialize)]
struct Found {
    seq: u64,
    #[serde(default)]
    hdrs: String,
}

impl Found {
    fn headers(&self) -> Vec<u8> {
        STANDARD.decode(&self.hdrs).unwrap_or_default()
    }
}

/// An answer that says nothing but that it was done.
#[derive(Deserialize)]
struct Done {}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_led(cluster: &str, replicas: u64) -> bool {
        serde_json::from_str::<ClusterInfo>(cluster).unwrap().is_led(replicas)
    }

    #[test]
    fn only_a_leader_that_a_majority_has_just_heard_is_believed() {
        let led = |replicas: &str| is_led(&format!(r#"{{"leader":"a","replicas":[{replicas}]}}"#), 3);
        let (heard, silent) = (r#"{"name":"b","active":900000000}"#, r#"{"name":"c","active":3100000000}"#);
        let offline = r#"{"name":"d","active":1,"offline":true}"#;
        assert!(led(&format!("{heard},{heard}")) && led(&format!("{heard},{silent}")));
        assert!(!led(&format!("{silent},{silent}")) && !led(&format!("{silent},{offline}")));
        // Heard just now, or never.
        let (now, never) = (r#"{"name":"b","current":true}"#, r#"{"name":"b"}"#);
        assert!(led(&format!("{now},{silent}")) && !led(&format!("{never},{silent}")));
        // A replica names the leader that it lists.
        assert!(!led(&format!(r#"{heard},{{"name":"a","active":1}}"#)));
        assert!(!is_led(&format!(r#"{{"replicas":[{heard},{heard},{heard}]}}"#), 3));
    }

    #[test]
    fn a_server_that_names_itself_alone_leads_a_stream_of_one_replica_or_of_more_to_come() {
        let alone = r#"{"leader":"a"}"#;
        assert!(is_led(alone, 1) && !is_led(alone, 3));
        // Its servers were taken away, and it elects by itself.
        assert!(is_led(r#"{"leader":"a","raft_group":"S-R3F-x"}"#, 3));
        assert!(is_led(r#"{"leader":"a","replicas":[{"name":"b","offline":true,"pending":true}]}"#, 3));
        assert!(is_led(r#"{"leader":"a","desired":{"name":"C","replicas":[{"name":"b"}]}}"#, 3));
    }
}
