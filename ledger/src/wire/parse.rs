//! Finds the next operation of the NATS protocol in a buffer.
//!
//! Pure: the same bytes give the same answer, nothing is copied, and no input panics. Every length that the server
//! announces is checked against [`Limits`] before anybody reserves memory for it. Subjects and header blocks are not
//! looked into: they are whatever bytes stand there.

use std::ops::Range;

use memchr::memchr;

/// What the parser takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest line before a payload, in bytes, its end included.
    pub line_bytes: usize,
    /// Longest header block and payload together, in bytes.
    pub message_bytes: usize,
}

impl Default for Limits {
    /// Lines up to 256 KiB (a subject has at most 64 KiB, a reply subject a few hundred bytes; INFO lists a cluster's
    /// addresses). Messages up to 68 MiB: the server sets no limit when it delivers, and no version takes more than
    /// 64 MiB.
    fn default() -> Self {
        Self { line_bytes: 256 << 10, message_bytes: 68 << 20 }
    }
}

/// Where the parts of a delivered message stand, counted from the operation's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The subscription that it belongs to.
    pub sid: u64,
    pub(super) subject: Span,
    pub(super) reply: Span,
    pub(super) headers: Span,
    pub(super) payload: Span,
}

/// A part of a buffer; 32 bits suffice, since [`Limits`] are far below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Result<Self, ParseError> {
        let narrow =
            |at: usize| u32::try_from(at).map_err(|_| ParseError::MessageTooLarge { len: at as u64 });
        Ok(Self { start: narrow(range.start)?, end: narrow(range.end)? })
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// An operation of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `MSG` or `HMSG`
    Message(Frame),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `INFO`, where its JSON stands
    Info(Range<usize>),
    /// `-ERR`, where its text stands, quotes included
    Err(Range<usize>),
}

/// The outcome of looking at a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An operation and its length in bytes.
    Op(Op, usize),
    /// More bytes are needed: the buffer must hold at least so many before it is worth looking again.
    Incomplete {
        /// Length that the buffer must have.
        at_least: usize,
    },
}

/// The server broke the protocol: the connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No known operation.
    #[error("an unknown operation")]
    UnknownOperation,
    /// A message line that is not of the form.
    #[error("a message line that is not of the protocol's form")]
    BadMessageLine,
    /// A line without end.
    #[error("a line longer than {limit} bytes")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// A message beyond the limit.
    #[error("a message of {len} bytes, which is more than this program takes")]
    MessageTooLarge {
        /// Its length.
        len: u64,
    },
    /// A header block longer than the message.
    #[error("a header block that is longer than its message")]
    HeadersTooLong,
    /// The payload does not end where the line says.
    #[error("a message that does not end where its length says")]
    MissingEnd,
}

/// Looks at the operation that begins at the buffer's first byte.
pub fn parse(buffer: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let window = &buffer[..buffer.len().min(limits.line_bytes)];
    let Some(newline) = memchr(b'\n', window) else {
        return match buffer.len() < limits.line_bytes {
            true => Ok(Parsed::Incomplete { at_least: buffer.len() + 1 }),
            false => Err(ParseError::LineTooLong { limit: limits.line_bytes }),
        };
    };
    let line = buffer[..newline].strip_suffix(b"\r").unwrap_or(&buffer[..newline]);
    let after = newline + 1;
    match line.first() {
        Some(b'M') if line.starts_with(b"MSG ") => message(buffer, line, 4, after, limits),
        Some(b'H') if line.starts_with(b"HMSG ") => message(buffer, line, 5, after, limits),
        Some(b'P') if line == b"PING" => Ok(Parsed::Op(Op::Ping, after)),
        Some(b'P') if line == b"PONG" => Ok(Parsed::Op(Op::Pong, after)),
        Some(b'+') if line == b"+OK" => Ok(Parsed::Op(Op::Ok, after)),
        Some(b'I') if line.starts_with(b"INFO ") => Ok(Parsed::Op(Op::Info(5..line.len()), after)),
        Some(b'-') if line.starts_with(b"-ERR") => Ok(Parsed::Op(Op::Err(4..line.len()), after)),
        _ => Err(ParseError::UnknownOperation),
    }
}

/// `MSG subject sid [reply] length` and `HMSG subject sid [reply] header-length length`, `args` being where the
/// subject begins: with a header block the line has one number more.
fn message(
    buffer: &[u8],
    line: &[u8],
    args: usize,
    body: usize,
    limits: &Limits,
) -> Result<Parsed, ParseError> {
    let numbers = args - 3;
    let (words, count) = words(line, args)?;
    let reply = match count - 2 {
        n if n == numbers => 0..0,
        n if n == numbers + 1 => words[2].clone(),
        _ => return Err(ParseError::BadMessageLine),
    };
    let sid = number(&line[words[1].clone()])?;
    let total = number(&line[words[count - 1].clone()])?;
    if total > limits.message_bytes as u64 {
        return Err(ParseError::MessageTooLarge { len: total });
    }
    let headers = if numbers == 2 { number(&line[words[count - 2].clone()])? } else { 0 };
    if headers > total {
        return Err(ParseError::HeadersTooLong);
    }
    let (middle, end) = (body + headers as usize, body + total as usize);
    if buffer.len() < end + 2 {
        return Ok(Parsed::Incomplete { at_least: end + 2 });
    }
    if &buffer[end..end + 2] != b"\r\n" {
        return Err(ParseError::MissingEnd);
    }
    let frame = Frame {
        sid,
        subject: Span::new(words[0].clone())?,
        reply: Span::new(reply)?,
        headers: Span::new(body..middle)?,
        payload: Span::new(middle..end)?,
    };
    Ok(Parsed::Op(Op::Message(frame), end + 2))
}

/// The words of a message line, of which there are three to five, and their number. Between two words stand one or more
/// spaces: a server's own messages leave an empty place for the reply subject that they do not have.
fn words(line: &[u8], mut at: usize) -> Result<([Range<usize>; 5], usize), ParseError> {
    let mut words = [const { 0..0 }; 5];
    let mut count = 0;
    while at < line.len() {
        let end = memchr(b' ', &line[at..]).map_or(line.len(), |length| at + length);
        if end > at {
            *words.get_mut(count).ok_or(ParseError::BadMessageLine)? = at..end;
            count += 1;
        }
        at = end + 1;
    }
    if count < 3 { Err(ParseError::BadMessageLine) } else { Ok((words, count)) }
}

fn number(digits: &[u8]) -> Result<u64, ParseError> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::BadMessageLine);
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(input: &[u8]) -> Frame {
        match parse(input, &Limits::default()) {
            Ok(Parsed::Op(Op::Message(frame), used)) if used == input.len() => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_keeps_every_byte_in_its_place() {
        let input = b"HMSG a\xff.b 7 $JS.ACK.x 12 15\r\nNATS/1.0\r\n\r\n\r\nx\r\n";
        let frame = whole(input);
        assert_eq!(frame.sid, 7);
        assert_eq!(&input[frame.subject.range()], b"a\xff.b");
        assert_eq!(&input[frame.reply.range()], b"$JS.ACK.x");
        assert_eq!(&input[frame.headers.range()], b"NATS/1.0\r\n\r\n");
        assert_eq!(&input[frame.payload.range()], b"\r\nx");
    }

    #[test]
    fn a_message_without_reply_and_payload_is_complete() {
        let frame = whole(b"MSG s 1 0\r\n\r\n");
        assert!(frame.reply.range().is_empty() && frame.headers.range().is_empty());
        assert!(frame.payload.range().is_empty());
    }

    #[test]
    fn an_empty_place_for_the_reply_is_no_reply() {
        let frame = whole(b"MSG s 1  0\r\n\r\n");
        assert!(frame.sid == 1 && frame.reply.range().is_empty() && frame.payload.range().is_empty());
    }

    #[test]
    fn the_needed_length_is_announced_before_the_payload_came() {
        let input = b"MSG s 1 1000\r\nabc";
        assert_eq!(parse(input, &Limits::default()), Ok(Parsed::Incomplete { at_least: 14 + 1002 }));
        assert_eq!(parse(b"PI", &Limits::default()), Ok(Parsed::Incomplete { at_least: 3 }));
    }

    #[test]
    fn limits_are_checked_before_memory_is_reserved() {
        let limits = Limits { line_bytes: 32, message_bytes: 10 };
        assert_eq!(parse(b"MSG s 1 11\r\n", &limits), Err(ParseError::MessageTooLarge { len: 11 }));
        assert_eq!(parse(&[b'M'; 40], &limits), Err(ParseError::LineTooLong { limit: 32 }));
        assert!(parse(b"MSG s 1 99999999999999999999\r\n", &limits).is_err());
    }

    #[test]
    fn broken_lines_are_errors() {
        for bad in [
            &b"MSG s 1\r\n"[..],
            b"MSG s x 0\r\n\r\n",
            b"MSG s 1 r 0 0\r\n\r\n",
            b"HMSG s 1 r q 0 0\r\n\r\n",
            b"HMSG s 1 5 4\r\nabcd\r\n",
            b"MSG s 1 2\r\nabcd\r\n",
            b"HELLO\r\n",
            b"\r\n",
        ] {
            assert!(parse(bad, &Limits::default()).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_or_reaches_beyond_itself(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Parsed::Op(_, used)) = parse(&input, &Limits::default()) {
                prop_assert!(used <= input.len());
            }
        }

        #[test]
        fn a_cut_message_is_incomplete_and_a_whole_one_is_not(
            subject in "[a-z\u{e4}.]{1,20}", reply in "[a-z]{0,9}",
            headers in proptest::collection::vec(any::<u8>(), 0..50),
            payload in proptest::collection::vec(any::<u8>(), 0..50), cut in 0usize..200,
        ) {
            let reply = if reply.is_empty() { reply } else { format!("{reply} ") };
            let total = headers.len() + payload.len();
            let mut input = format!("HMSG {subject} 3 {reply}{} {total}\r\n", headers.len()).into_bytes();
            input.extend([&headers[..], &payload, b"\r\n"].concat());
            let frame = whole(&input);
            prop_assert_eq!(&input[frame.headers.range()], &headers[..]);
            prop_assert_eq!(&input[frame.payload.range()], &payload[..]);
            let cut = cut.min(input.len() - 1);
            let parsed = parse(&input[..cut], &Limits::default());
            let Ok(Parsed::Incomplete { at_least }) = parsed else { panic!("{parsed:?}") };
            prop_assert!(at_least > cut && at_least <= input.len());
        }
    }
}
