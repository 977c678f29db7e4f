//! PostgreSQL's binary form of values, rows and arrays: what COPY BINARY and parameters carry.
//!
//! Writing and reading of one kind stand side by side.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::projection::{Column, Kind, Row, Table, Value};

/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_2000: i64 = 946_684_800_000_000;
/// Signature, flags, length of the extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const JSONB_VERSION: u8 = 1;

/// The type of a column.
pub(super) fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Uuid => Type::UUID,
        Kind::Text => Type::TEXT,
        Kind::TextArray => Type::TEXT_ARRAY,
        Kind::Int => Type::INT8,
        Kind::Bool => Type::BOOL,
        Kind::Time => Type::TIMESTAMPTZ,
        Kind::Json => Type::JSONB,
        Kind::Bytes => Type::BYTEA,
    }
}

/// Begins a COPY stream.
pub(super) fn put_copy_header(out: &mut BytesMut) {
    out.put_slice(COPY_HEADER);
}

/// A row of a COPY stream.
pub(super) fn put_copy_row(out: &mut BytesMut, row: &Row) {
    out.put_i16(i16::try_from(row.len()).expect("no table has that many columns"));
    row.iter().for_each(|value| put_sized(out, value));
}

/// Ends a COPY stream.
pub(super) fn put_copy_trailer(out: &mut BytesMut) {
    out.put_i16(-1);
}

/// A value after its length; -1 for NULL.
fn put_sized(out: &mut BytesMut, value: &Value) {
    if matches!(value, Value::Null) {
        return out.put_i32(-1);
    }
    let at = out.len();
    out.put_i32(0);
    put_value(out, value);
    let len = i32::try_from(out.len() - at - 4).expect("a message of the log is smaller than 2 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null => {}
        Value::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::TextArray(texts) => put_text_array(out, texts),
        Value::Int(int) => out.put_i64(*int),
        Value::Bool(flag) => out.put_u8(u8::from(*flag)),
        Value::Time(micros) => out.put_i64(micros - EPOCH_2000),
        Value::Json(json) => {
            out.put_u8(JSONB_VERSION);
            out.put_slice(json.as_bytes());
        }
        Value::Bytes(bytes) => out.put_slice(bytes),
    }
}

fn put_text_array(out: &mut BytesMut, texts: &[String]) {
    put_array_header(out, &Type::TEXT, texts.len());
    for text in texts {
        out.put_i32(i32::try_from(text.len()).expect("a message of the log is smaller than 2 GiB"));
        out.put_slice(text.as_bytes());
    }
}

/// One dimension, or none when empty; no nulls; subscripts from 1.
fn put_array_header(out: &mut BytesMut, element: &Type, len: usize) {
    out.put_i32(i32::from(len > 0));
    out.put_i32(0);
    out.put_u32(element.oid());
    if len > 0 {
        out.put_i32(i32::try_from(len).expect("a batch has fewer rows"));
        out.put_i32(1);
    }
}

/// A value of this kind, `None` when the bytes are none.
pub(super) fn get_value(kind: Kind, raw: Option<&[u8]>) -> Option<Value> {
    let Some(raw) = raw else { return Some(Value::Null) };
    Some(match kind {
        Kind::Uuid => Value::Uuid(Uuid::from_slice(raw).ok()?),
        Kind::Text => Value::Text(get_text(raw)?),
        Kind::TextArray => Value::TextArray(get_text_array(raw)?),
        Kind::Int => Value::Int(i64::from_be_bytes(raw.try_into().ok()?)),
        Kind::Bool => Value::Bool(raw == [1]),
        Kind::Time => Value::Time(i64::from_be_bytes(raw.try_into().ok()?).checked_add(EPOCH_2000)?),
        Kind::Json => Value::Json(get_text(raw.strip_prefix(&[JSONB_VERSION])?)?),
        Kind::Bytes => Value::Bytes(raw.to_vec()),
    })
}

fn get_text(raw: &[u8]) -> Option<String> {
    String::from_utf8(raw.to_vec()).ok()
}

fn get_text_array(raw: &[u8]) -> Option<Vec<String>> {
    let (dimensions, rest) = split_i32(raw)?;
    let (header, mut rest) = rest.split_at_checked(if dimensions == 0 { 8 } else { 16 })?;
    if dimensions > 1 {
        return None;
    }
    let len = if dimensions == 0 { 0 } else { split_i32(&header[8..])?.0 };
    let mut texts = Vec::new();
    for _ in 0..len {
        let (size, after) = split_i32(rest)?;
        let (text, after) = after.split_at_checked(usize::try_from(size).ok()?)?;
        texts.push(get_text(text)?);
        rest = after;
    }
    Some(texts)
}

fn split_i32(raw: &[u8]) -> Option<(i32, &[u8])> {
    let (first, rest) = raw.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*first), rest))
}

/// A row of a table from a source of raw columns in the table's order.
pub(super) fn get_row<'a>(table: Table, raw: impl Fn(usize) -> Option<Raw<'a>>) -> Option<Row> {
    let columns = table.columns().iter().enumerate();
    columns.map(|(at, Column { kind, .. })| get_value(*kind, raw(at)?.0)).collect()
}

/// The bytes of any value, or NULL.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// An array parameter: one column of many keys.
#[derive(Debug)]
pub(super) struct Array<'a> {
    kind: Kind,
    values: Vec<&'a Value>,
}

impl<'a> Array<'a> {
    /// The values at this position of the keys, all of this kind.
    pub(super) fn column(kind: Kind, keys: &[&'a Row], position: usize) -> Self {
        Self { kind, values: keys.iter().filter_map(|key| key.get(position)).collect() }
    }
}

impl ToSql for Array<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        put_array_header(out, &type_of(self.kind), self.values.len());
        self.values.iter().for_each(|value| put_sized(out, value));
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back(kind: Kind, value: Value) {
        let mut out = BytesMut::new();
        put_value(&mut out, &value);
        assert_eq!(get_value(kind, Some(&out)), Some(value));
    }

    #[test]
    fn every_value_comes_back_from_its_binary_form() {
        comes_back(Kind::Uuid, Value::Uuid(Uuid::from_u128(7)));
        comes_back(Kind::Text, Value::Text("ä".into()));
        comes_back(Kind::TextArray, Value::TextArray(vec![]));
        comes_back(Kind::TextArray, Value::TextArray(vec!["a".into(), String::new(), "ö{}\",".into()]));
        comes_back(Kind::Int, Value::Int(i64::MIN));
        comes_back(Kind::Bool, Value::Bool(true));
        comes_back(Kind::Bool, Value::Bool(false));
        comes_back(Kind::Time, Value::Time(-62_135_596_800_000_000));
        comes_back(Kind::Json, Value::Json("{\"a\": 1}".into()));
        comes_back(Kind::Bytes, Value::Bytes(vec![0, 255]));
        assert_eq!(get_value(Kind::Uuid, None), Some(Value::Null));
    }

    #[test]
    fn bytes_that_are_no_value_are_refused() {
        assert_eq!(get_value(Kind::Uuid, Some(&[1])), None);
        assert_eq!(get_value(Kind::Text, Some(&[0xff])), None);
        assert_eq!(get_value(Kind::TextArray, Some(&[0, 0, 0, 1])), None);
        assert_eq!(get_value(Kind::Json, Some(b"\x02{}")), None);
    }
}
