//! What two backups of one log must have in common.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What a backup's header says, but for the time of the backup.
pub fn header(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the backup can be read");
    let first = text.lines().next().expect("a backup has a header");
    let mut header: Value = serde_json::from_str(first).expect("the header is JSON");
    header.as_object_mut().expect("the header is an object").remove("created_at").expect("a time");
    header
}

/// A backup's records: all lines but header and trailer.
pub fn records(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the backup can be read");
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

/// The records without their store times, which publishing cannot keep.
pub fn records_without_times(path: &Path) -> Vec<Value> {
    let parse = |line: &String| {
        let mut record: Value = serde_json::from_str(line).expect("a record is JSON");
        record.as_object_mut().expect("a record is an object").remove("stored_at");
        record
    };
    records(path).iter().map(parse).collect()
}

/// The trailer without the digests that cover the header, which names the time of the backup.
pub fn trailer(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the backup can be read");
    let last = text.lines().last().expect("a backup has a trailer");
    let mut trailer: Value = serde_json::from_str(last).expect("the trailer is JSON");
    for key in ["sha256", "hmac_sha256"] {
        trailer.as_object_mut().expect("the trailer is an object").remove(key);
    }
    trailer
}
