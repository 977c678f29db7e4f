//! The characters of JSON strings: decoding as Go does, and three ways of escaping.
//!
//! *Go* escaping (version 1, stored events): `"` `\` control characters, and `<` `>` `&` U+2028 U+2029 for HTML's sake.
//! *Version 2* escaping: `"` `\` and control characters, nothing else. Both have one spelling for every string, so that
//! text moves between them without being decoded.

use std::borrow::Cow;

use super::specials::{plain_len, position_of};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Decodes a checked string: each byte that is no UTF-8 and each lone surrogate becomes U+FFFD.
pub(crate) fn decode_go(raw: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(raw) {
        Ok(text) if !raw.contains(&b'\\') => Cow::Borrowed(text),
        _ => Cow::Owned(decode_slowly(raw)),
    }
}

fn decode_slowly(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push_lossy(&mut out, &rest[..at]);
        let (decoded, len) = decode_escape(&rest[at..]);
        out.push(decoded);
        rest = &rest[at + len..];
    }
    push_lossy(&mut out, rest);
    out
}

/// Go replaces byte by byte, where Rust's lossy conversion replaces a whole broken sequence.
fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// The character of a checked escape, and the length of its text.
fn decode_escape(text: &[u8]) -> (char, usize) {
    match text.get(1) {
        Some(b'u') => decode_unicode(text),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(other) => (char::from(*other), 2),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn decode_unicode(text: &[u8]) -> (char, usize) {
    let first = code_unit(text).unwrap_or(0xfffd);
    let second = code_unit(text.get(6..).unwrap_or_default());
    match (first, second) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).expect("a surrogate pair is a character"), 12)
        }
        _ => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
    }
}

/// The number of a `\uXXXX` at the beginning of `text`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends the string, escaped as Go does, without quotes.
pub(crate) fn push_go_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let special = |rest: &[u8]| rest.iter().position(|byte| is_go_special(*byte));
    push_escaped(out, bytes, special, |out, rest| {
        if !push_html_escape(out, rest) {
            push_escape(out, rest[0]);
            return 1;
        }
        html_len(rest)
    });
}

/// Appends the string, escaped as in version 2, without quotes.
pub(crate) fn push_v2_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let special = |rest: &[u8]| Some(plain_len(rest)).filter(|at| *at < rest.len());
    push_escaped(out, text, special, |out, rest| {
        push_escape(out, rest[0]);
        1
    });
}

/// Copies runs of ordinary bytes up to where `special` finds one; `escape` writes what replaces the beginning of its text and says how much that was.
#[inline]
fn push_escaped(
    out: &mut Vec<u8>,
    text: &[u8],
    special: impl Fn(&[u8]) -> Option<usize>,
    mut escape: impl FnMut(&mut Vec<u8>, &[u8]) -> usize,
) {
    let mut rest = text;
    while let Some(at) = special(rest) {
        out.extend_from_slice(&rest[..at]);
        let len = escape(out, &rest[at..]);
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest);
}

fn is_v2_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// 0xe2 begins U+2028 and U+2029.
const HTML_SPECIALS: [u8; 4] = [b'<', b'>', b'&', 0xe2];

fn is_html_special(byte: u8) -> bool {
    HTML_SPECIALS.contains(&byte)
}

fn is_go_special(byte: u8) -> bool {
    is_v2_special(byte) || is_html_special(byte)
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x8 => out.extend_from_slice(b"\\b"),
        0xc => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0..0x20 => push_u00(out, byte),
        _ => out.push(byte),
    }
}

fn push_u00(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

/// Escapes what `rest` begins with when that is special to HTML only, or a 0xe2 that begins something else.
fn push_html_escape(out: &mut Vec<u8>, rest: &[u8]) -> bool {
    match rest {
        [b'<' | b'>' | b'&', ..] => push_u00(out, rest[0]),
        [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
            out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
        }
        [0xe2, ..] => out.push(0xe2),
        _ => return false,
    }
    true
}

fn html_len(rest: &[u8]) -> usize {
    if matches!(rest, [0xe2, 0x80, 0xa8 | 0xa9, ..]) { 3 } else { 1 }
}

/// Appends checked JSON as Go's `Compact` with HTML escaping does: without insignificant white space, all else
/// verbatim.
pub(crate) fn push_go_compacted(out: &mut Vec<u8>, json: &[u8]) {
    let mut in_string = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => {
                // The escaped character may be a quote.
                out.push(b'\\');
                at += 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' if !in_string => {
                at += 1;
                continue;
            }
            _ if is_html_special(*byte) => {
                push_html_escape(out, &json[at..]);
                at += html_len(&json[at..]);
                continue;
            }
            _ => {}
        }
        out.extend(json.get(at));
        at += 1;
    }
}

/// Appends a string of a stored event, given as it stands there, as version 2 writes it. `false` when its spelling is
/// not the one that Go escaping gives; then what was appended is worth nothing. The text must be UTF-8.
#[must_use]
pub(crate) fn push_stored_as_v2(out: &mut Vec<u8>, raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = position_of(rest, [b'\\', b'<', b'>', b'&', 0xe2]) {
        out.extend_from_slice(&rest[..at]);
        let Some((replacement, len)) = stored_special(&rest[at..]) else { return false };
        out.extend_from_slice(replacement);
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest);
    true
}

/// What stands in version 2 for the special text that `rest` begins with, and how long that text is.
fn stored_special(rest: &[u8]) -> Option<(&[u8], usize)> {
    let unicode = rest.get(..6).unwrap_or_default();
    match unicode {
        b"\\u003c" => return Some((b"<", 6)),
        b"\\u003e" => return Some((b">", 6)),
        b"\\u0026" => return Some((b"&", 6)),
        b"\\u2028" => return Some(("\u{2028}".as_bytes(), 6)),
        b"\\u2029" => return Some(("\u{2029}".as_bytes(), 6)),
        _ => {}
    }
    match rest {
        [b'\\', ..] => canonical_escape_len(rest).map(|len| (&rest[..len], len)),
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => None,
        [0xe2, ..] => Some((&rest[..1], 1)),
        _ => None,
    }
}

/// Length of the escape at the beginning of `rest`, when it is one that both forms write.
fn canonical_escape_len(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'\\', b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => Some(6),
        [b'\\', b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => Some(6),
        _ => None,
    }
}

/// Whether a checked string is spelled as version 2 spells it.
pub(crate) fn is_canonical_v2(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let Some(len) = canonical_escape_len(&rest[at..]) else { return false };
        rest = &rest[at + len..];
    }
    true
}

/// Appends a string of version 2, given as it stands there, as a stored event writes it.
pub(crate) fn push_v2_as_stored(out: &mut Vec<u8>, raw: &[u8]) {
    push_escaped(
        out,
        raw,
        |rest| position_of(rest, HTML_SPECIALS),
        |out, rest| {
            push_html_escape(out, rest);
            html_len(rest)
        },
    );
}

/// The bytes of a string of version 2.
pub(crate) fn v2_decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    match decode_go(raw) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_replaces_what_is_no_unicode_as_go_does() {
        for (raw, decoded) in [
            (&b"plain"[..], "plain"),
            (br#"\"\\\/\b\f\n\r\t\u00e9\u20AC"#, "\"\\/\u{8}\u{c}\n\r\té€"),
            (br"\ud83d\ude00", "😀"),
            (br"\ud83d", "\u{fffd}"),
            (br"\ud83dx", "\u{fffd}x"),
            (br"\ud83d\u0041", "\u{fffd}A"),
            (br"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (br"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (b"a\xe2\x80z", "a\u{fffd}\u{fffd}z"),
            (b"\xf0\x9f\x98", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decode_go(raw), decoded, "{raw:?}");
        }
    }

    #[test]
    fn go_escaping_covers_html_and_control_characters() {
        let mut out = Vec::new();
        push_go_escaped(&mut out, "a<b>&\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é€\u{2027}\u{2028}\u{2029}");
        let expected =
            "a\\u003cb\\u003e\\u0026\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é€\u{2027}\\u2028\\u2029";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn compacting_keeps_everything_but_white_space_and_html() {
        let mut out = Vec::new();
        let json = b"{ \"a b\" :\t[ 1.0 ,\n-0e5, \"\\\" <\\\\\" ] , \"a b\" : \"\xff\xe2\x80\xa8\xe2\x82\xac\xe2\" }";
        push_go_compacted(&mut out, json);
        let expected = b"{\"a b\":[1.0,-0e5,\"\\\" \\u003c\\\\\"],\"a b\":\"\xff\\u2028\xe2\x82\xac\xe2\"}";
        assert_eq!(out, expected);
    }

    #[test]
    fn both_forms_say_the_same_for_every_character() {
        for code in (0..0x3000).chain([0x1f600, 0xfffd, 0x10_ffff]) {
            let Some(c) = char::from_u32(code) else { continue };
            let text = format!("a{c}z");
            let (mut go, mut v2, mut moved, mut back) = (vec![], vec![], vec![], vec![]);
            push_go_escaped(&mut go, &text);
            push_v2_escaped(&mut v2, text.as_bytes());
            assert!(push_stored_as_v2(&mut moved, &go), "{text:?}");
            push_v2_as_stored(&mut back, &v2);
            assert_eq!((&moved, &back), (&v2, &go), "{text:?}");
            assert!(is_canonical_v2(&v2));
            assert_eq!(decode_go(&go), text);
            assert_eq!(decode_go(&v2), text);
        }
    }

    #[test]
    fn other_spellings_are_not_canonical() {
        for raw in [r"\/", r"\u000a", r"\u001F", r"\u0041", r"\u003C", r"\u2028x\u00e9", r"\u007f", r"\u0008"]
        {
            assert!(!push_stored_as_v2(&mut Vec::new(), raw.as_bytes()), "{raw}");
            assert!(!is_canonical_v2(raw.as_bytes()), "{raw}");
        }
        for raw in ["<", ">", "&", "\u{2028}", "\u{2029}"] {
            assert!(!push_stored_as_v2(&mut Vec::new(), raw.as_bytes()), "{raw}");
        }
        assert!(!is_canonical_v2(br"\u2028"));
        assert!(!is_canonical_v2(br"\u003c"));
    }
}
