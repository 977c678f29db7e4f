//! What is appended: an event with its message id, and the header lines that carry an expectation.

use bytes::Bytes;
use trstctl_formats::event::Event;

use super::{Expected, LogError, NewMessage};

const FIRST_LINE: &str = "NATS/1.0\r\n";
const MESSAGE_ID: &str = "Nats-Msg-Id";

impl NewMessage {
    /// An event, with its id as the message id. An id that cannot stand in a header line (it is empty, or has control
    /// characters or white space at its ends) goes without: such a message is never taken for a duplicate.
    pub fn event(subject: impl Into<String>, event: &Event) -> Self {
        let id = event.id.as_str();
        let headers = match id.is_empty() || id.trim() != id || id.contains(char::is_control) {
            true => Bytes::new(),
            false => format!("{FIRST_LINE}{MESSAGE_ID}: {id}\r\n\r\n").into(),
        };
        Self { subject: subject.into(), headers, payload: event.to_stored() }
    }

    pub(super) fn message_id(&self) -> Option<&[u8]> {
        message_id(&self.headers)
    }

    /// The header block with the line that states what is expected.
    pub(super) fn headers_expecting(&self, expected: Expected) -> Result<Bytes, LogError> {
        let line = match expected {
            Expected::Any => return Ok(self.headers.clone()),
            Expected::LastOfSubject(sequence) => {
                format!("Nats-Expected-Last-Subject-Sequence: {sequence}\r\n")
            }
            Expected::LastOfLog(sequence) => format!("Nats-Expected-Last-Sequence: {sequence}\r\n"),
        };
        if self.headers.is_empty() {
            return Ok(format!("{FIRST_LINE}{line}\r\n").into());
        }
        let lines = self.headers.strip_suffix(b"\r\n\r\n").ok_or_else(|| LogError::Configuration {
            what: format!("header block of a message to {}", self.subject),
            reason: "it does not end with an empty line, so no expectation can be added".to_owned(),
        })?;
        Ok([lines, b"\r\n", line.as_bytes(), b"\r\n"].concat().into())
    }
}

/// The message id in a header block, by which the server knows a repetition.
pub(super) fn message_id(headers: &[u8]) -> Option<&[u8]> {
    let mut lines = headers.split(|&byte| byte == b'\n').skip(1);
    lines.find_map(|line| {
        let value = line.strip_prefix(MESSAGE_ID.as_bytes())?.strip_prefix(b":")?.trim_ascii();
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &str) -> NewMessage {
        NewMessage { subject: "events.x".into(), headers: headers.to_owned().into(), payload: Bytes::new() }
    }

    #[test]
    fn an_expectation_is_a_further_header_line() {
        let id = message("NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n");
        assert_eq!(
            id.headers_expecting(Expected::LastOfSubject(7)).unwrap(),
            "NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Expected-Last-Subject-Sequence: 7\r\n\r\n"
        );
        assert_eq!(
            message("").headers_expecting(Expected::LastOfLog(0)).unwrap(),
            "NATS/1.0\r\nNats-Expected-Last-Sequence: 0\r\n\r\n"
        );
        assert!(message("odd").headers_expecting(Expected::LastOfLog(0)).is_err());
        assert_eq!(message("odd").headers_expecting(Expected::Any).unwrap(), "odd");
    }

    #[test]
    fn the_message_id_is_found_in_the_block() {
        assert_eq!(message("NATS/1.0\r\nA: b\r\nNats-Msg-Id: a b \r\n\r\n").message_id(), Some(&b"a b"[..]));
        assert_eq!(message("NATS/1.0\r\nNats-Msg-Id: \r\n\r\n").message_id(), None);
        assert_eq!(message("").message_id(), None);
    }
}
