//! A message as the log holds it: the unit that every reader hands out and every writer takes.

use std::fmt;

use bytes::Bytes;

use crate::rfc3339;

/// One message of the stream, byte for byte as the server stores it.
///
/// Two messages are the same if and only if all five fields are equal; a restored log is the same log under
/// this equality (design decision 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Stream sequence, from 1.
    pub sequence: u64,
    /// The server's store time.
    pub stored_at: StoreTime,
    /// Subject; normally ASCII, but the server takes any bytes.
    pub subject: Bytes,
    /// The whole header block as on the wire (`NATS/1.0\r\n` … `\r\n\r\n`); empty when the message has none.
    pub headers: Bytes,
    /// The payload.
    pub payload: Bytes,
}

impl StoredMessage {
    /// Size of the message's own bytes: subject, header block and payload.
    pub fn len_bytes(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }
}

/// A store time: nanoseconds since 1970-01-01T00:00:00Z, in 64 bits as the server keeps it.
///
/// Its text form is RFC 3339 in UTC with `Z` and 0 to 9 fraction digits without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTime(pub i64);

impl StoreTime {
    /// Reads the text form; `None` for any other spelling, and for an instant that 64 bits cannot hold.
    pub fn parse(text: &str) -> Option<Self> {
        rfc3339::parse_utc(text.as_bytes())?.exact()
    }
}

impl fmt::Display for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(30);
        rfc3339::write_store_time(*self, &mut text);
        f.write_str(std::str::from_utf8(&text).expect("a time is ASCII"))
    }
}
