//! The configuration of a restored stream: one text for the request and for `meta.inf`, complete and with no key that
//! the oldest supported server does not know.
//!
//! Both matter only after the next restart of the server: an unknown key takes the stream offline then, a missing one
//! makes 2.9 replace the time of creation.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use trstctl_formats::StoreTime;

use super::mark::Mark;

/// Duplicate window of the log.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Duplicate window while a log is restored by publishing: old ids may repeat more closely than they did.
pub const PUBLISH_DUPLICATE_WINDOW: Duration = Duration::from_millis(100);

/// What the stream of a log is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Name of the stream, normally `TRSTCTL_EVENTS`.
    pub name: String,
    /// Subjects, normally `events.>`.
    pub subjects: Vec<String>,
    /// Copies of the log in a cluster.
    pub replicas: u32,
    /// The mark of an unverified restore, if there is to be one.
    pub mark: Option<Mark>,
    /// Ids seen within this time are duplicates.
    pub duplicate_window: Duration,
    /// First sequence of an empty stream, for servers of 2.10 and newer; older ones ignore it silently.
    pub first_sequence: Option<u64>,
}

impl StreamConfig {
    /// The configuration of the log (spec "The stream").
    pub fn new(name: impl Into<String>, subject: impl Into<String>, replicas: u32) -> Self {
        Self {
            name: name.into(),
            subjects: vec![subject.into()],
            replicas,
            mark: None,
            duplicate_window: DUPLICATE_WINDOW,
            first_sequence: None,
        }
    }

    /// The same with the mark of a restore.
    #[must_use]
    pub fn marked(&self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self.clone() }
    }

    /// As the server's API takes it.
    pub fn to_json(&self) -> Map<String, Value> {
        let description = self.mark.map(|mark| mark.to_string()).unwrap_or_default();
        let window_ns = u64::try_from(self.duplicate_window.as_nanos()).unwrap_or(u64::MAX);
        let Value::Object(mut config) = json!({
            "name": self.name,
            "description": description,
            "subjects": self.subjects,
            "retention": "limits",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "discard": "old",
            "storage": "file",
            "num_replicas": self.replicas,
            "duplicate_window": window_ns,
            "allow_direct": true,
            "deny_delete": true,
            "deny_purge": true,
        }) else {
            return Map::new();
        };
        if let Some(first) = self.first_sequence {
            config.insert("first_seq".to_owned(), first.into());
        }
        config
    }

    /// `meta.inf` of an archive: the same configuration, and when the stream was created.
    pub fn to_meta_inf(&self, created: StoreTime) -> Bytes {
        let mut config = self.to_json();
        config.insert("Created".to_owned(), created.to_string().into());
        Bytes::from(Value::Object(config).to_string())
    }

    /// Where a live configuration is another one than this: key, value here, value there. What the server adds by
    /// itself (`metadata._nats.*`, keys at their neutral value) is no difference, nor are `description` and the two
    /// permissions that streams of the Go implementation give.
    pub fn differences(&self, live: &Map<String, Value>) -> Vec<Difference> {
        let ours = self.to_json();
        let keys = ours.keys().chain(live.keys().filter(|key| !ours.contains_key(*key)));
        keys.filter(|key| !IGNORED.contains(&key.as_str()))
            .filter_map(|key| Difference::at(key, ours.get(key), live.get(key)))
            .collect()
    }
}

/// Keys that may differ without making a stream another one.
const IGNORED: [&str; 4] = ["description", "deny_delete", "deny_purge", "first_seq"];

/// One key of two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// The value that this program would set.
    pub ours: Value,
    /// The value of the live stream.
    pub live: Value,
}

impl Difference {
    fn at(key: &str, ours: Option<&Value>, live: Option<&Value>) -> Option<Self> {
        let (ours, live) = (significant(key, ours), significant(key, live));
        (ours != live).then(|| Self { key: key.to_owned(), ours, live })
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} instead of {}", self.key, self.live, self.ours)
    }
}

/// A value without what the server adds by itself; neutral values of every kind become `null`.
fn significant(key: &str, value: Option<&Value>) -> Value {
    let value = value.cloned().unwrap_or_default();
    match value {
        Value::Object(map) if key == "metadata" => {
            let own: Map<_, _> = map.into_iter().filter(|(name, _)| !name.starts_with("_nats.")).collect();
            if own.is_empty() { Value::Null } else { Value::Object(own) }
        }
        Value::Object(map) if map.values().all(|inner| significant("", Some(inner)).is_null()) => Value::Null,
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Bool(false) => Value::Null,
        Value::Number(number) if number.as_i64() == Some(0) => Value::Null,
        Value::String(text) if matches!(text.as_str(), "" | "none" | "default") => Value::Null,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> StreamConfig {
        StreamConfig::new("TRSTCTL_EVENTS", "events.>", 3)
    }

    #[test]
    fn meta_inf_is_the_request_and_the_time_of_creation() {
        let mut meta: Map<String, Value> = serde_json::from_slice(&ours().to_meta_inf(StoreTime(0))).unwrap();
        assert_eq!(meta.remove("Created"), Some("1970-01-01T00:00:00Z".into()));
        assert_eq!(meta, ours().to_json());
    }

    #[test]
    fn what_a_server_adds_by_itself_is_no_difference() {
        let mut live = ours().to_json();
        for (key, value) in [
            ("compression", json!("none")),
            ("sealed", json!(false)),
            ("mirror_direct", json!(false)),
            ("allow_rollup_hdrs", json!(false)),
            ("consumer_limits", json!({})),
            ("metadata", json!({"_nats.ver": "2.15.2", "_nats.level": "3"})),
            ("description", json!("anything")),
            ("deny_purge", json!(false)),
        ] {
            live.insert(key.to_owned(), value);
        }
        assert_eq!(ours().differences(&live), []);
    }

    #[test]
    fn a_limit_and_foreign_metadata_are_differences() {
        let mut live = ours().to_json();
        live.insert("max_msgs".to_owned(), json!(10));
        live.insert("metadata".to_owned(), json!({"_nats.ver": "2.15.2", "team": "blue"}));
        live.insert("sources".to_owned(), json!([{"name": "X"}]));
        let keys: Vec<_> = ours().differences(&live).into_iter().map(|difference| difference.key).collect();
        assert_eq!(keys, ["max_msgs", "metadata", "sources"]);
    }
}
