//! What the server must allow before anything is removed or sent: replicas, a stream more, storage.
//!
//! A stream that gives way to the restore counts as gone already. Storage is refused at the start only when it cannot
//! suffice; the exact sum is checked while the archive is made, before its last chunk.

use trstctl_formats::backup::Content;
use trstctl_formats::{Class, Failure};

use super::server::{LiveStream, Room, Server};
use crate::log::StreamConfig;

/// A message with no subject, header and payload takes so many bytes in the store.
const LEAST_RECORD_BYTES: u64 = 30;

/// What the restored log must not exceed.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    room: Room,
    replicas: u32,
}

impl Limits {
    /// The limits of a restore that replaces `going`, after a look at all that can be known before it.
    pub(super) async fn checked(
        server: &Server,
        config: &StreamConfig,
        content: &Content,
        going: Option<&LiveStream>,
    ) -> Result<Self, Failure> {
        check_replicas(server, config)?;
        let room = server.room().await?;
        let limits =
            Self { room: going.map_or(room, |stream| without(room, stream)), replicas: config.replicas };
        if limits.room.streams == Some(0) {
            let message =
                format!("the account may not have another stream, and {} is to be restored", config.name);
            return Err(Failure::new(Class::Refused, message, "Raise the account's limit of streams."));
        }
        limits.check(content.records.saturating_mul(LEAST_RECORD_BYTES))?;
        Ok(limits)
    }

    /// Whether so many bytes of messages may be stored.
    pub(super) fn check(self, stored_bytes: u64) -> Result<(), Failure> {
        let needed = stored_bytes.saturating_mul(u64::from(self.replicas));
        match self.room.storage_bytes {
            Some(room) if needed > room => Err(Failure::new(
                Class::Refused,
                format!("the log needs at least {needed} bytes of storage, and the account has {room} left"),
                "Raise the account's JetStream storage limit, then run the same command again.",
            )),
            _ => Ok(()),
        }
    }
}

fn check_replicas(server: &Server, config: &StreamConfig) -> Result<(), Failure> {
    if config.replicas <= 1 || server.is_clustered() {
        return Ok(());
    }
    let message =
        format!("{} is to have {} replicas, and this server is a single one", config.name, config.replicas);
    let hint =
        "Use the cluster's URL, or set TRSTCTL_NATS_REPLICAS=1 with TRSTCTL_NATS_ALLOW_SINGLE_REPLICA=true.";
    Err(Failure::new(Class::Refused, message, hint))
}

/// The room when this stream has gone.
fn without(room: Room, stream: &LiveStream) -> Room {
    let freed = stream.len_bytes.saturating_mul(stream.replicas());
    Room {
        storage_bytes: room.storage_bytes.map(|left| left.saturating_add(freed)),
        streams: room.streams.map(|left| left.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_that_gives_way_leaves_its_room_on_every_replica() {
        let config = StreamConfig::new("S", "events.>", 3).to_json();
        let going = LiveStream {
            name: "S".to_owned(),
            description: String::new(),
            config,
            last_sequence: 9,
            messages: 9,
            len_bytes: 100,
            consumers: 0,
            cluster: None,
        };
        let room = Room { storage_bytes: Some(50), streams: Some(0) };
        assert_eq!(without(room, &going), Room { storage_bytes: Some(350), streams: Some(1) });
        assert_eq!(without(Room::default(), &going), Room::default());
        assert_eq!(going.config["num_replicas"], json!(3));
    }

    #[test]
    fn every_replica_needs_its_storage() {
        let limits = Limits { room: Room { storage_bytes: Some(300), streams: None }, replicas: 3 };
        assert!(limits.check(100).is_ok());
        assert_eq!(limits.check(101).unwrap_err().class, Class::Refused);
    }
}
