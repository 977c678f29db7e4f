//! Messages of the log, as the projection turns them into rows.

use bytes::Bytes;
use serde_json::value::RawValue;
use trstctl_formats::backup::one_line;
use trstctl_formats::{StoreTime, StoredMessage};
use trstctl_ledger::projection::{
    Column, Counts, Fold, Kind, MAX_INDEXED_TEXT_BYTES, MemoryModel, Row, Step, Table, Value,
};

use super::Outcome;

/// Whatever the messages are: each is accounted for, the rows are the same however the log is cut into batches, and
/// PostgreSQL can hold every one of them.
///
/// The input is record lines of version 1; a line that is none stands for a message with these bytes.
pub fn projection(input: &[u8]) -> Outcome {
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<StoredMessage> =
        lines.zip(1..).map(|(line, sequence)| message_of(line, sequence)).collect();
    let (model, counts) = applied(&messages, messages.len().max(1));
    assert_eq!(counts.total(), messages.len() as u64);
    for batch_len in [1, 3] {
        let (other, other_counts) = applied(&messages, batch_len);
        assert_eq!(other_counts, counts, "in batches of {batch_len}");
        assert_eq!(other.digest(), model.digest(), "in batches of {batch_len}");
    }
    assert_eq!(folded(&messages).digest(), model.digest(), "in one fold of an empty model");
    let rows = Table::ALL.map(|table| {
        model.rows(table).for_each(|row| assert_storable(table, row));
        model.rows(table).count().min(2).to_string()
    });
    let dangling = model.dangling().len().min(2);
    Outcome::from(format!("{} {} {dangling}", rows.concat(), counts.quarantined.min(3)))
}

fn message_of(line: &[u8], sequence: u64) -> StoredMessage {
    let payload = match one_line::record_v1(line) {
        Ok(record) => record.event.to_stored(),
        Err(_) => Bytes::copy_from_slice(line),
    };
    let (subject, headers) = (Bytes::from_static(b"events.x"), Bytes::new());
    StoredMessage { sequence, stored_at: StoreTime(0), subject, headers, payload }
}

fn applied(messages: &[StoredMessage], batch_len: usize) -> (MemoryModel, Counts) {
    let (mut model, mut counts) = (MemoryModel::new(), Counts::default());
    for batch in messages.chunks(batch_len) {
        counts.add(&model.apply(batch).expect("these rows were written by this program"));
    }
    (model, counts)
}

fn folded(messages: &[StoredMessage]) -> MemoryModel {
    let mut fold = Fold::of_empty_model();
    messages.iter().for_each(|message| fold.apply(Step::read(message)));
    let mut model = MemoryModel::new();
    model.write(fold.into_changes());
    model
}

fn assert_storable(table: Table, row: &Row) {
    assert_eq!(row.len(), table.columns().len());
    for (column, value) in table.columns().iter().zip(row) {
        assert!(fits(column, value), "{} of {}: {value:?}", column.name, table.name());
    }
    let indexed = table.lookup().unwrap_or_default().iter().chain(table.key());
    for value in indexed.filter_map(|name| row.get(table.position(name)?)) {
        let is_short = !matches!(value, Value::Text(text) if text.len() > MAX_INDEXED_TEXT_BYTES);
        assert!(is_short, "no index of {} takes {value:?}", table.name());
    }
}

/// The first instant that `timestamptz` holds, in microseconds since 1970; its last one lies beyond 64 bits of them.
const EARLIEST: i64 = -210_866_803_200_000_000;

fn fits(column: &Column, value: &Value) -> bool {
    let has_no_nul = |text: &String| !text.contains('\0');
    match (column.kind, value) {
        (_, Value::Null) => column.nullable,
        (Kind::Text, Value::Text(text)) => has_no_nul(text),
        (Kind::TextArray, Value::TextArray(texts)) => texts.iter().all(has_no_nul),
        (Kind::Json, Value::Json(text)) => {
            has_no_nul(text) && serde_json::from_str::<&RawValue>(text).is_ok()
        }
        (Kind::Time, Value::Time(time)) => *time >= EARLIEST,
        (Kind::Uuid, Value::Uuid(_)) | (Kind::Int, Value::Int(_)) | (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Bytes, Value::Bytes(_)) => true,
        _ => false,
    }
}
