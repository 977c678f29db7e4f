//! The payload of an event: one JSON object, from which each column takes its value by key.
//!
//! Reading follows the rules of a version 1 record where they apply: unknown keys are ignored, of duplicates the last
//! wins, invalid UTF-8 reads as U+FFFD byte by byte, `1.0` is no integer. `null` is absent for an optional key and empty
//! for a list or a JSON column; everywhere else it is refused, like a missing key and like a value that the column cannot
//! hold. A refusal names the key and never the value: payloads may hold what no operator should read.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::record::{Jsonb, Micros};
use super::{MAX_INDEXED_TEXT_BYTES, jsonb, time};

/// Why a payload does not fit its event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("the payload is not a JSON object")]
    NotAnObject,
    #[error("the payload lacks `{0}`")]
    Missing(&'static str),
    #[error("`{0}` of the payload is null")]
    Null(&'static str),
    #[error("`{key}` of the payload {why}")]
    Unfit { key: &'static str, why: &'static str },
}

/// The text of a payload; [`Fields`] borrow from it.
pub(super) struct Payload<'a>(Cow<'a, str>);

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self(Cow::Borrowed(text)),
            Err(_) => Self(Cow::Owned(replace_invalid(bytes))),
        }
    }

    pub(super) fn fields(&self) -> Result<Fields<'_>, Misfit> {
        serde_json::from_str(&self.0).map_err(|_| Misfit::NotAnObject)
    }
}

/// Each invalid byte becomes one U+FFFD, as the producers' own reader does it.
fn replace_invalid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// The keys of a payload with their values, in the order of the payload.
pub(super) struct Fields<'a>(Vec<(Cow<'a, [u8]>, &'a RawValue)>);

impl Fields<'_> {
    pub(super) fn uuid(&self, key: &'static str) -> Result<Uuid, Misfit> {
        as_uuid(key, self.required(key)?)
    }

    pub(super) fn uuid_or_none(&self, key: &'static str) -> Result<Option<Uuid>, Misfit> {
        self.optional(key).map(|raw| as_uuid(key, raw)).transpose()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<String, Misfit> {
        as_text(key, self.required(key)?).map(Cow::into_owned)
    }

    pub(super) fn text_or_none(&self, key: &'static str) -> Result<Option<String>, Misfit> {
        self.optional(key).map(|raw| as_text(key, raw).map(Cow::into_owned)).transpose()
    }

    /// A text that an index takes.
    pub(super) fn indexed_text(&self, key: &'static str) -> Result<String, Misfit> {
        let text = self.text(key)?;
        match text.len() > MAX_INDEXED_TEXT_BYTES {
            true => Err(Misfit::Unfit { key, why: "is longer than an index takes" }),
            false => Ok(text),
        }
    }

    pub(super) fn time(&self, key: &'static str) -> Result<Micros, Misfit> {
        as_time(key, self.required(key)?)
    }

    pub(super) fn time_or_none(&self, key: &'static str) -> Result<Option<Micros>, Misfit> {
        self.optional(key).map(|raw| as_time(key, raw)).transpose()
    }

    pub(super) fn int(&self, key: &'static str) -> Result<i64, Misfit> {
        as_int(key, self.required(key)?)
    }

    pub(super) fn int_or_none(&self, key: &'static str) -> Result<Option<i64>, Misfit> {
        self.optional(key).map(|raw| as_int(key, raw)).transpose()
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, Misfit> {
        match self.required(key)? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Misfit::Unfit { key, why: "is not a boolean" }),
        }
    }

    /// Base64 (standard alphabet, padded).
    pub(super) fn bytes(&self, key: &'static str) -> Result<Vec<u8>, Misfit> {
        as_bytes(key, self.required(key)?)
    }

    pub(super) fn bytes_or_none(&self, key: &'static str) -> Result<Option<Vec<u8>>, Misfit> {
        self.optional(key).map(|raw| as_bytes(key, raw)).transpose()
    }

    /// A list of texts; `null` is empty.
    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<String>, Misfit> {
        let raw = self.present(key)?;
        if raw == "null" {
            return Ok(Vec::new());
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| Misfit::Unfit { key, why: "is not a list" })?;
        items.into_iter().map(|item| as_text(key, item.get()).map(Cow::into_owned)).collect()
    }

    /// Any JSON; `null` is an empty object.
    pub(super) fn json(&self, key: &'static str) -> Result<Jsonb, Misfit> {
        let raw = self.find(key).ok_or(Misfit::Missing(key))?;
        match raw.get() {
            "null" => Ok(Jsonb("{}".to_owned())),
            _ => jsonb::canonical(raw).map_err(|why| Misfit::Unfit { key, why }),
        }
    }

    fn find(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(k, _)| **k == *key.as_bytes()).map(|(_, value)| *value)
    }

    fn present(&self, key: &'static str) -> Result<&str, Misfit> {
        self.find(key).map(RawValue::get).ok_or(Misfit::Missing(key))
    }

    fn required(&self, key: &'static str) -> Result<&str, Misfit> {
        match self.present(key)? {
            "null" => Err(Misfit::Null(key)),
            raw => Ok(raw),
        }
    }

    fn optional(&self, key: &str) -> Option<&str> {
        self.find(key).map(RawValue::get).filter(|raw| *raw != "null")
    }
}

fn as_text<'a>(key: &'static str, raw: &'a str) -> Result<Cow<'a, str>, Misfit> {
    match raw.starts_with('"') {
        true => jsonb::decode_string(raw).map_err(|why| Misfit::Unfit { key, why }),
        false => Err(Misfit::Unfit { key, why: "is not a string" }),
    }
}

fn as_uuid(key: &'static str, raw: &str) -> Result<Uuid, Misfit> {
    parse_uuid(&as_text(key, raw)?).ok_or(Misfit::Unfit { key, why: "is not a uuid" })
}

fn as_time(key: &'static str, raw: &str) -> Result<Micros, Misfit> {
    time::parse(&as_text(key, raw)?).ok_or(Misfit::Unfit { key, why: "is not an RFC 3339 time" })
}

fn as_int(key: &'static str, raw: &str) -> Result<i64, Misfit> {
    raw.parse().map_err(|_| Misfit::Unfit { key, why: "is not an integer of 64 bits" })
}

fn as_bytes(key: &'static str, raw: &str) -> Result<Vec<u8>, Misfit> {
    /// Line breaks and stray bits in the last character are what the producers' own reader lets pass.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let mut text = as_text(key, raw)?;
    if text.contains(['\r', '\n']) {
        text.to_mut().retain(|c| !matches!(c, '\r' | '\n'));
    }
    LENIENT.decode(text.as_bytes()).map_err(|_| Misfit::Unfit { key, why: "is not padded base64" })
}

/// A uuid in any spelling that PostgreSQL's `uuid` takes: either case, optional braces, hyphens after any group of four
/// digits or none.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut rest = inner.as_bytes();
    let mut bytes = [0; 16];
    for (position, byte) in bytes.iter_mut().enumerate() {
        let (pair, after) = rest.split_first_chunk::<2>()?;
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        rest = match position % 2 == 1 && position < 15 {
            true => after.strip_prefix(b"-").unwrap_or(after),
            false => after,
        };
    }
    rest.is_empty().then(|| Uuid::from_bytes(bytes))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(Key(key)) = map.next_key()? {
            fields.push((key, map.next_value()?));
        }
        Ok(Fields(fields))
    }
}

/// A key, taken as bytes: a lone surrogate in the name of an unknown key is nobody's business.
struct Key<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, key: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(payload: &[u8], read: impl Fn(&Fields<'_>) -> Result<T, Misfit>) -> Result<T, Misfit> {
        let payload = Payload::new(payload);
        payload.fields().and_then(|fields| read(&fields))
    }

    fn name(payload: &[u8]) -> Result<String, Misfit> {
        with(payload, |f| f.text("name"))
    }

    #[test]
    fn of_duplicate_keys_the_last_wins_also_when_spelt_with_escapes() {
        assert_eq!(name(br#"{"name":"a","n\u0061me":"b"}"#).as_deref(), Ok("b"));
        assert_eq!(name(br#"{"name":"a","Name":"b"}"#).as_deref(), Ok("a"));
    }

    #[test]
    fn what_no_column_reads_does_not_matter() {
        let odd = br#" { "x":"\ud800\u0000", "\udc00":[1e999999999], "name" : "a" } "#;
        assert_eq!(name(odd).as_deref(), Ok("a"));
    }

    #[test]
    fn each_invalid_byte_reads_as_one_replacement_character() {
        assert_eq!(name(b"{\"name\":\"a\xe2\x82b\xff\"}").as_deref(), Ok("a\u{fffd}\u{fffd}b\u{fffd}"));
    }

    #[test]
    fn a_payload_that_is_no_object_is_refused() {
        for payload in [
            &b""[..],
            b"null",
            b"[]",
            b"\"x\"",
            b"{",
            b"{}x",
            b"{'name':1}",
            b"{\"a\":01}",
            b"\xef\xbb\xbf{}",
        ] {
            assert_eq!(name(payload), Err(Misfit::NotAnObject), "{payload:?}");
        }
    }

    #[test]
    fn a_required_key_is_there_and_not_null() {
        assert_eq!(name(b"{}"), Err(Misfit::Missing("name")));
        assert_eq!(name(br#"{"name":null}"#), Err(Misfit::Null("name")));
        assert_eq!(name(br#"{"name":""}"#).as_deref(), Ok(""));
    }

    #[test]
    fn null_is_absent_when_optional_and_empty_for_lists_and_json() {
        assert_eq!(with(br#"{"k":null}"#, |f| f.text_or_none("k")), Ok(None));
        assert_eq!(with(b"{}", |f| f.uuid_or_none("k")), Ok(None));
        assert_eq!(with(br#"{"k":null}"#, |f| f.texts("k")), Ok(vec![]));
        assert_eq!(with(br#"{"k":null}"#, |f| f.json("k")), Ok(Jsonb("{}".into())));
        assert_eq!(with(b"{}", |f| f.texts("k")), Err(Misfit::Missing("k")));
        assert_eq!(with(b"{}", |f| f.json("k")), Err(Misfit::Missing("k")));
    }

    #[test]
    fn a_value_that_its_column_cannot_hold_is_refused() {
        fn unfit<T>(why: &'static str) -> Result<T, Misfit> {
            Err(Misfit::Unfit { key: "k", why })
        }
        assert_eq!(with(br#"{"k":"\u0000"}"#, |f| f.text("k")), unfit("holds U+0000"));
        assert_eq!(with(br#"{"k":"\ud83d"}"#, |f| f.text_or_none("k")), unfit("holds a lone surrogate"));
        assert_eq!(with(br#"{"k":5}"#, |f| f.text("k")), unfit("is not a string"));
        assert_eq!(with(br#"{"k":["a",null]}"#, |f| f.texts("k")), unfit("is not a string"));
        assert_eq!(with(br#"{"k":"a"}"#, |f| f.texts("k")), unfit("is not a list"));
        assert_eq!(with(br#"{"k":"true"}"#, |f| f.flag("k")), unfit("is not a boolean"));
        assert_eq!(with(br#"{"k":"x=="}"#, |f| f.bytes("k")), unfit("is not padded base64"));
        assert_eq!(with(br#"{"k":""}"#, |f| f.uuid_or_none("k")), unfit("is not a uuid"));
        assert_eq!(with(br#"{"k":"yesterday"}"#, |f| f.time("k")), unfit("is not an RFC 3339 time"));
        for number in ["1.0", "1e3", "9223372036854775808", "\"1\"", "true", "[]"] {
            let payload = format!("{{\"k\":{number}}}");
            assert_eq!(with(payload.as_bytes(), |f| f.int("k")), unfit("is not an integer of 64 bits"));
        }
        assert_eq!(with(br#"{"k":-9223372036854775808}"#, |f| f.int("k")), Ok(i64::MIN));
        assert_eq!(with(br#"{"k":-0}"#, |f| f.int("k")), Ok(0));
    }

    #[test]
    fn a_text_longer_than_an_index_takes_is_refused() {
        let payload = |len| format!("{{\"k\":\"{}\"}}", "x".repeat(len));
        assert!(with(payload(MAX_INDEXED_TEXT_BYTES).as_bytes(), |f| f.indexed_text("k")).is_ok());
        assert!(with(payload(MAX_INDEXED_TEXT_BYTES + 1).as_bytes(), |f| f.indexed_text("k")).is_err());
        assert!(with(payload(1 << 20).as_bytes(), |f| f.text("k")).is_ok());
    }

    #[test]
    fn base64_is_read_as_the_producers_read_it() {
        assert_eq!(with(br#"{"k":"AQ\nID\r\n"}"#, |f| f.bytes("k")), Ok(vec![1, 2, 3]));
        assert_eq!(with(br#"{"k":"AR=="}"#, |f| f.bytes("k")), Ok(vec![1]));
        assert!(with(br#"{"k":"AQ"}"#, |f| f.bytes("k")).is_err());
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn uuids_are_those_that_postgresql_takes() {
        let uuid = Uuid::from_u128(0x11111111_1111_4111_8111_11111111111a);
        for text in [
            "11111111-1111-4111-8111-11111111111a",
            "11111111-1111-4111-8111-11111111111A",
            "{11111111-1111-4111-8111-11111111111a}",
            "1111111111114111811111111111111a",
            "1111-1111-1111-4111-8111-1111-1111-111a",
        ] {
            assert_eq!(parse_uuid(text), Some(uuid), "{text}");
        }
        for text in [
            "",
            "urn:uuid:11111111-1111-4111-8111-11111111111a",
            " 11111111-1111-4111-8111-11111111111a",
            "1111111-11111-4111-8111-11111111111a",
            "11111111-1111-4111-8111-1111-1111-111a-",
            "{11111111-1111-4111-8111-11111111111a",
            "11111111-1111-4111-8111-11111111111a}",
            "11111111-1111-4111-8111-11111111111g",
            "11111111--1111-4111-8111-11111111111a",
        ] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }
}
