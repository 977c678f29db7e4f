//! Cuts a stream of bytes into what a fault is done to: operations of the NATS protocol, or pieces as they come.

use std::io::{self, BufRead};
use std::ops::Range;

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Operations of the NATS protocol, each with its payload.
    Nats,
    /// Whatever comes at once.
    Bytes,
}

/// One operation, or one piece.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    /// Subject of a message, empty where there is none.
    pub(super) subject: String,
    /// Reply subject of a message, empty where there is none.
    pub(super) reply: String,
    /// Where the payload lies, headers left out.
    payload: Range<usize>,
    /// The line before the payload's lengths: what stays when another payload is put in.
    beginning: String,
}

impl Frame {
    /// The next one; `None` at the end.
    pub(super) fn read(source: &mut impl BufRead, speech: Speech) -> io::Result<Option<Self>> {
        match speech {
            Speech::Nats => operation(source),
            Speech::Bytes => piece(source),
        }
    }

    /// Flips one bit in the middle of the payload; of a piece, in its middle.
    pub(super) fn flip(&mut self) {
        let place = if self.payload.is_empty() {
            self.bytes.len() / 2
        } else {
            self.payload.start + self.payload.len() / 2
        };
        self.flip_at(place);
    }

    pub(super) fn flip_at(&mut self, place: usize) {
        if let Some(byte) = self.bytes.get_mut(place) {
            *byte ^= 1;
        }
    }

    /// The same message with this payload, and no headers.
    pub(super) fn with_payload(&self, payload: &[u8]) -> Self {
        let beginning = self.beginning.trim_start_matches('H');
        let mut bytes = format!("{beginning} {}\r\n", payload.len()).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        Self { bytes, ..self.clone() }
    }

    /// The stream's sequence in the reply subject of a delivered message.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.delivery()?.get(SEQUENCE)?.parse().ok()
    }

    /// The consumer that delivers this message.
    pub(super) fn consumer(&self) -> Option<&str> {
        self.delivery()?.get(CONSUMER).copied()
    }

    /// The same delivery, by a consumer that has delivered so many messages less.
    pub(super) fn renumbered(mut self, less: u64) -> Self {
        let Some(mut tokens) = self.delivery() else { return self };
        let number = tokens[DELIVERY].parse::<u64>().map_or(0, |number| number - less).to_string();
        tokens[DELIVERY] = &number;
        let reply = format!("$JS.ACK.{}", tokens.join("."));
        let line = self.bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let before = String::from_utf8_lossy(&self.bytes[..line]).replace(&self.reply, &reply);
        let length = before.len();
        self.bytes = [before.as_bytes(), &self.bytes[line..]].concat();
        self.payload = self.payload.start + length - line..self.payload.end + length - line;
        self.reply = reply;
        self
    }

    /// Tokens of `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<delivery>.<time>.<pending>`, the form without a domain.
    fn delivery(&self) -> Option<Vec<&str>> {
        let tokens: Vec<_> = self.reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        (tokens.len() == 7).then_some(tokens)
    }
}

const CONSUMER: usize = 1;
const SEQUENCE: usize = 3;
const DELIVERY: usize = 4;

fn operation(source: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let mut frame = Frame::default();
    if source.read_until(b'\n', &mut frame.bytes)? == 0 {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&frame.bytes).into_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    // MSG subject sid [reply] len; HMSG subject sid [reply] headers len; PUB subject [reply] len; HPUB subject [reply] headers len.
    let (before_reply, lengths) = match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
        Some("MSG") => (3, 1),
        Some("HMSG") => (3, 2),
        Some("PUB") => (2, 1),
        Some("HPUB") => (2, 2),
        _ => return Ok(Some(frame)),
    };
    let number =
        |from_end: usize| words.get(words.len() - from_end).and_then(|word| word.parse::<usize>().ok());
    let (Some(total), headers) = (number(1), if lengths == 2 { number(2).unwrap_or(0) } else { 0 }) else {
        return Ok(Some(frame));
    };
    frame.subject = words.get(1).copied().unwrap_or_default().to_owned();
    frame.beginning = words[..words.len() - lengths].join(" ");
    if words.len() > before_reply + lengths {
        words[before_reply].clone_into(&mut frame.reply);
    }
    let start = frame.bytes.len();
    frame.bytes.resize(start + total + 2, 0);
    source.read_exact(&mut frame.bytes[start..])?;
    frame.payload = start + headers..start + total;
    Ok(Some(frame))
}

fn piece(source: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let bytes = source.fill_buf()?.to_vec();
    source.consume(bytes.len());
    Ok((!bytes.is_empty()).then(|| Frame { payload: 0..bytes.len(), bytes, ..Frame::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_cut_with_their_payloads() {
        let mut stream: &[u8] = b"PING\r\nHMSG events.a 7 $JS.ACK.L.c.1.42.7.170.0 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPUB b 2\r\nhi\r\n";
        let mut next = || Frame::read(&mut stream, Speech::Nats).unwrap();
        assert_eq!(next().unwrap().bytes, b"PING\r\n");
        let mut message = next().unwrap();
        assert_eq!((message.subject.as_str(), message.sequence()), ("events.a", Some(42)));
        let renumbered = message.clone().renumbered(3);
        assert_eq!(
            (renumbered.reply.as_str(), renumbered.sequence()),
            ("$JS.ACK.L.c.1.42.4.170.0", Some(42))
        );
        assert!(renumbered.bytes.starts_with(b"HMSG events.a 7 $JS.ACK.L.c.1.42.4.170.0 12 17\r\nNATS"));
        assert_eq!(message.with_payload(b"x").bytes, b"MSG events.a 7 $JS.ACK.L.c.1.42.7.170.0 1\r\nx\r\n");
        message.flip();
        assert!(message.bytes.ends_with(b"hemlo\r\n"));
        let publish = next().unwrap();
        assert_eq!((publish.subject.as_str(), publish.reply.as_str()), ("b", ""));
        assert!(next().is_none());
    }
}
