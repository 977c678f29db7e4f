//! The header block of a message, and how a version 2 line in event form says it.
//!
//! A block is usable when `NATS/1.0\r\n`, then `name: value\r\n` for each pair, then `\r\n` give it back byte for byte.
//! The usual block, one `Nats-Msg-Id` equal to the event's id, is left out of the line; no block is `[]`.

use std::borrow::Cow;

use super::record_v2::read_string;
use crate::json::{self, Cursor, Fault};

const STATUS_LINE: &[u8] = b"NATS/1.0\r\n";
const MESSAGE_ID: &[u8] = b"Nats-Msg-Id";

/// Appends the member `headers` of a message whose id is `id` (escaped as in the line), or nothing when it is left out;
/// `None` when the block is not usable.
pub(crate) fn push(out: &mut Vec<u8>, block: &[u8], id: &[u8]) -> Option<()> {
    if block.is_empty() {
        out.extend_from_slice(b",\"headers\":[]");
        return Some(());
    }
    let before = out.len();
    out.extend_from_slice(b",\"headers\":[");
    let mut lines = HeaderLines::of(block)?;
    let mut count = 0;
    let mut usual = false;
    while let Some((name, value)) = lines.next_pair()? {
        out.extend_from_slice(if count == 0 { b"[\"" } else { b",[\"" });
        json::push_v2_escaped(out, name);
        out.extend_from_slice(b"\",\"");
        let value_from = out.len();
        json::push_v2_escaped(out, value);
        usual = count == 0 && name == MESSAGE_ID && &out[value_from..] == id;
        out.extend_from_slice(b"\"]");
        count += 1;
    }
    match (count, usual) {
        (0, _) => return None,
        (1, true) => out.truncate(before),
        _ => out.push(b']'),
    }
    Some(())
}

/// The block without its `Nats-Expected-*` lines: what remains of it when a message is published anew. No block when
/// nothing remains.
pub(crate) fn without_expectations(block: &[u8]) -> Cow<'_, [u8]> {
    const EXPECTED: &[u8] = b"Nats-Expected-";
    let Some(lines) = block.strip_prefix(STATUS_LINE) else { return Cow::Borrowed(block) };
    if memchr::memmem::find(lines, EXPECTED).is_none() {
        return Cow::Borrowed(block);
    }
    let kept: Vec<u8> =
        split_lines(lines).filter(|line| !line.starts_with(EXPECTED)).flatten().copied().collect();
    if kept == b"\r\n" { Cow::Borrowed(b"") } else { Cow::Owned([STATUS_LINE, &kept].concat()) }
}

/// Lines with the CR LF that ends each.
fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memmem::find(rest, b"\r\n").map_or(rest.len(), |at| at + 2);
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// The pairs of a block.
struct HeaderLines<'a> {
    rest: &'a [u8],
}

impl<'a> HeaderLines<'a> {
    fn of(block: &'a [u8]) -> Option<Self> {
        simdutf8::basic::from_utf8(block).ok()?;
        Some(Self { rest: block.strip_prefix(STATUS_LINE)? })
    }

    /// The next pair; `Some(None)` after the last one, `None` when the block is not usable.
    fn next_pair(&mut self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        if self.rest == b"\r\n" {
            return Some(None);
        }
        let end = memchr::memchr2(b'\r', b'\n', self.rest)?;
        let (line, after) = self.rest.split_at(end);
        self.rest = after.strip_prefix(b"\r\n")?;
        let colon = memchr::memchr(b':', line).filter(|at| *at > 0)?;
        Some(Some((&line[..colon], line[colon..].strip_prefix(b": ")?)))
    }
}

/// The headers as a line says them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InLine<'a> {
    /// Left out: one `Nats-Msg-Id` equal to the id.
    Usual,
    /// `[]`: no block.
    Without,
    /// The pairs with their brackets, quotes and commas.
    Pairs(&'a [u8]),
}

impl<'a> InLine<'a> {
    /// Takes the member `headers` if it comes next.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        if !cursor.take(b",\"headers\":[") {
            return Ok(InLine::Usual);
        }
        if cursor.take(b"]") {
            return Ok(InLine::Without);
        }
        let from = cursor.place();
        read_pair(cursor)?;
        while cursor.take(b",") {
            read_pair(cursor)?;
        }
        let pairs = cursor.since(from);
        cursor.expect(b"]")?;
        Ok(InLine::Pairs(pairs))
    }

    /// Whether the writer would have said it so, for a message with this id.
    pub(crate) fn check(&self, id: &[u8]) -> Result<(), &'static str> {
        match self {
            InLine::Usual if breaks_line(id) => Err("`headers`, since this id cannot be a header's value"),
            InLine::Pairs(pairs) if is_usual(pairs, id) => {
                Err("no `headers` where the only one is Nats-Msg-Id = id")
            }
            _ => Ok(()),
        }
    }

    /// Appends the block as stored.
    pub(crate) fn push_block(&self, out: &mut Vec<u8>, id: &[u8]) {
        let pairs = match self {
            InLine::Without => return,
            InLine::Usual => {
                out.extend_from_slice(&message_id_block(&json::v2_decoded(id)));
                return;
            }
            InLine::Pairs(pairs) => pairs,
        };
        out.extend_from_slice(STATUS_LINE);
        let mut cursor = Cursor::new(pairs);
        loop {
            let (name, value) = read_pair(&mut cursor).expect("the pairs were read before");
            out.extend_from_slice(&json::v2_decoded(name));
            out.extend_from_slice(b": ");
            out.extend_from_slice(&json::v2_decoded(value));
            out.extend_from_slice(b"\r\n");
            if !cursor.take(b",") {
                break;
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The usual block.
pub(crate) fn message_id_block(id: &[u8]) -> Vec<u8> {
    [STATUS_LINE, MESSAGE_ID, b": ", id, b"\r\n\r\n"].concat()
}

fn read_pair<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], &'a [u8]), Fault> {
    cursor.expect(b"[\"")?;
    let at = cursor.place();
    let name = read_string(cursor)?;
    if name.is_empty() || name.contains(&b':') || breaks_line(name) {
        return Err(Fault::new(at, "a header name, not empty and without `:`, CR and LF"));
    }
    cursor.expect(b",\"")?;
    let at = cursor.place();
    let value = read_string(cursor)?;
    if breaks_line(value) {
        return Err(Fault::new(at, "a header value without CR and LF"));
    }
    cursor.expect(b"]")?;
    Ok((name, value))
}

/// Whether a string of a line, escaped as there, has a CR or LF.
fn breaks_line(escaped: &[u8]) -> bool {
    memchr::memchr(b'\\', escaped).is_some()
        && json::v2_decoded(escaped).iter().any(|b| matches!(b, b'\r' | b'\n'))
}

fn is_usual(pairs: &[u8], id: &[u8]) -> bool {
    let rest = pairs.strip_prefix(b"[\"Nats-Msg-Id\",\"").and_then(|rest| rest.strip_prefix(id));
    rest == Some(b"\"]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(block: &[u8], id: &str) -> Option<String> {
        let mut out = Vec::new();
        push(&mut out, block, id.as_bytes())?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn usable_blocks_come_back_byte_for_byte() {
        for (block, line) in [
            ("", ",\"headers\":[]"),
            ("NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n", ""),
            ("NATS/1.0\r\nNats-Msg-Id: y\r\n\r\n", ",\"headers\":[[\"Nats-Msg-Id\",\"y\"]]"),
            (
                "NATS/1.0\r\na b: : \"é\\\t\r\na b: \r\n\r\n",
                ",\"headers\":[[\"a b\",\": \\\"é\\\\\\t\"],[\"a b\",\"\"]]",
            ),
            (
                "NATS/1.0\r\nNats-Msg-Id: x\r\nNats-Msg-Id: x\r\n\r\n",
                ",\"headers\":[[\"Nats-Msg-Id\",\"x\"],[\"Nats-Msg-Id\",\"x\"]]",
            ),
        ] {
            assert_eq!(written(block.as_bytes(), "x").as_deref(), Some(line), "{block:?}");
            let mut cursor = Cursor::new(line.as_bytes());
            let read = InLine::read(&mut cursor).unwrap();
            cursor.end().unwrap();
            read.check(b"x").unwrap();
            let mut back = Vec::new();
            read.push_block(&mut back, b"x");
            assert_eq!(back, block.as_bytes());
        }
    }

    #[test]
    fn blocks_that_would_not_come_back_are_not_usable() {
        for block in [
            &b"NATS/1.0\r\n\r\n"[..],
            b"NATS/1.0\r\n",
            b"NATS/1.0",
            b"x",
            b"NATS/1.0 503\r\n\r\n",
            b"NATS/1.0\r\na:b\r\n\r\n",
            b"NATS/1.0\r\na\r\n\r\n",
            b"NATS/1.0\r\n: b\r\n\r\n",
            b"NATS/1.0\r\na: b\n\r\n\r\n",
            b"NATS/1.0\r\na: b\rc\r\n\r\n",
            b"NATS/1.0\r\na: b\r\n",
            b"NATS/1.0\r\na: b\r\n\r\nmore",
            b"NATS/1.0\r\na: \xff\r\n\r\n",
        ] {
            assert_eq!(written(block, "x"), None, "{block:?}");
        }
    }

    #[test]
    fn expectations_are_taken_out_and_nothing_else() {
        let without =
            |block: &str| String::from_utf8(without_expectations(block.as_bytes()).into_owned()).unwrap();
        assert_eq!(
            without("NATS/1.0\r\na: 1\r\nNats-Expected-Last-Sequence: 4\r\nNats-Msg-Id: x\r\n\r\n"),
            "NATS/1.0\r\na: 1\r\nNats-Msg-Id: x\r\n\r\n"
        );
        assert_eq!(without("NATS/1.0\r\nNats-Expected-Stream: s\r\n\r\n"), "");
        let kept = "NATS/1.0\r\na: Nats-Expected-Stream: s\r\n\r\n";
        assert_eq!(without(kept), kept);
        assert_eq!(without("odd Nats-Expected-x"), "odd Nats-Expected-x");
    }
}
