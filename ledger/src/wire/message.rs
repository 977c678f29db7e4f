//! A message as it was received: one slice of the read buffer, and where its parts stand in it.
//!
//! A kept message keeps the whole read buffer alive (up to 1 MiB): copy what is kept for long.

use std::fmt;

use bytes::Bytes;

use super::parse::{Frame, Limits, Op, Parsed, parse};

/// A received message. Its parts are the bytes that the server sent, unchanged.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    frame: Frame,
}

impl Message {
    /// `bytes` are those of the whole operation that `frame` was found in.
    pub(super) fn new(bytes: Bytes, frame: Frame) -> Self {
        Self { bytes, frame }
    }

    /// The message that these bytes are, whole and alone: for tests and fuzz targets, which have no connection.
    #[doc(hidden)]
    pub fn of_operation(bytes: Bytes) -> Option<Self> {
        match parse(&bytes, &Limits::default()) {
            Ok(Parsed::Op(Op::Message(frame), used)) if used == bytes.len() => Some(Self::new(bytes, frame)),
            _ => None,
        }
    }

    /// Subject; the server takes any bytes but white space.
    pub fn subject(&self) -> &[u8] {
        &self.bytes[self.frame.subject.range()]
    }

    /// Subject to answer to; empty when there is none.
    pub fn reply(&self) -> &[u8] {
        &self.bytes[self.frame.reply.range()]
    }

    /// Header block, empty when there is none.
    pub fn headers(&self) -> &[u8] {
        &self.bytes[self.frame.headers.range()]
    }

    /// Payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.frame.payload.range()]
    }

    /// The subject, sharing the read buffer.
    pub fn subject_bytes(&self) -> Bytes {
        self.bytes.slice(self.frame.subject.range())
    }

    /// The header block, sharing the read buffer.
    pub fn headers_bytes(&self) -> Bytes {
        self.bytes.slice(self.frame.headers.range())
    }

    /// The payload, sharing the read buffer.
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice(self.frame.payload.range())
    }

    /// Bytes of the whole operation.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The status that the first header line carries: `503` in `NATS/1.0 503`. A stored message can carry one too, so
    /// this tells a server's word from a delivered message only together with [`Message::reply`].
    pub fn status(&self) -> Option<u16> {
        let digits = self.headers().strip_prefix(b"NATS/1.0 ")?.trim_ascii_start().get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Whether this is the server's word that nobody listens to what was published: then nobody got it.
    pub fn says_nobody_listens(&self) -> bool {
        self.status() == Some(503) && self.payload().is_empty()
    }

    /// The words after the status.
    pub fn status_text(&self) -> String {
        let line = self.headers().strip_prefix(b"NATS/1.0 ").unwrap_or_default().trim_ascii_start();
        let line = line.split(|&byte| byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line.get(3..).unwrap_or_default().trim_ascii()).into_owned()
    }

    /// Value of the first header of this name, white space around it removed.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().split(|&byte| byte == b'\n').skip(1).find_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
        })
    }
}

impl fmt::Debug for Message {
    /// Shows lengths, not contents: payloads may be anybody's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("reply", &String::from_utf8_lossy(self.reply()))
            .field("headers_len", &self.headers().len())
            .field("payload_len", &self.payload().len())
            .finish()
    }
}

#[cfg(test)]
impl Message {
    /// A message without payload, as a server would send it.
    pub(crate) fn status_for_tests(subject: &str, headers: &str) -> Self {
        let input = format!("HMSG {subject} 1 {0} {0}\r\n{headers}\r\n", headers.len());
        Self::of_operation(Bytes::from(input)).expect("this is a message")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &str) -> Message {
        Message::status_for_tests("s", headers)
    }

    #[test]
    fn a_status_is_read_from_the_first_line_only() {
        let status = message("NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Bytes: 12\r\n\r\n");
        assert_eq!(status.status(), Some(409));
        assert_eq!(status.status_text(), "Message Size Exceeds MaxBytes");
        assert_eq!(status.header("nats-pending-bytes"), Some(&b"12"[..]));
        assert_eq!(message("NATS/1.0\r\nA: 503\r\n\r\n").status(), None);
        assert_eq!(message("NATS/1.0 5").status(), None);
    }
}
