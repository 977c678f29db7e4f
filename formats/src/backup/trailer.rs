//! The last line of a backup: what the lines before it must be.

use super::header::read_unsigned;
use super::key::{BackupKey, HmacSha256, finish_mac};
use super::limits::{MAX_GAP_RANGES, MAX_TENANTS};
use super::record_v2::{push_integer, read_string};
use super::tenants::TenantHead;
use super::{Content, FormatVersion};
use crate::Digest;
use crate::envelope::{DEPTH_V1, set_string};
use crate::json::{Cursor, Fault, Members, RawString, Value};

/// What every trailer begins with (in version 1: that we write).
pub(crate) const TRAILER_TAG: &[u8] = b"{\"format\":\"trstctl-event-log-backup-trailer\"";
pub(crate) const FORMAT: &str = "trstctl-event-log-backup-trailer";

/// Whether a line, without its newline, is tagged as a trailer.
pub(crate) fn is_tagged(line: &[u8], version: FormatVersion) -> bool {
    line.starts_with(TRAILER_TAG)
        || (version == FormatVersion::V1 && v1_format(line).is_ok_and(|format| format.decoded() == FORMAT))
}

/// The last `format` that is a string, whatever the other members of the object are.
fn v1_format(line: &[u8]) -> Result<RawString<'_>, Fault> {
    let mut format = RawString::default();
    let mut members = Members::object(line, DEPTH_V1)?;
    while let Some(member) = members.next_member()? {
        if let Value::String(text) = member.value
            && member.key.is_key("format")
        {
            format = text;
        }
    }
    members.end()?;
    Ok(format)
}

/// Whether the line is one whole JSON object, white space around it allowed.
pub(crate) fn is_object(line: &[u8]) -> bool {
    let scan = || {
        let mut members = Members::object(line, DEPTH_V1)?;
        while members.next_member()?.is_some() {}
        members.end()
    };
    scan().is_ok()
}

/// A trailer of version 1. Its digests are text, to be compared byte for byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TrailerV1 {
    pub(crate) sha256: String,
    /// Empty when there is none.
    pub(crate) hmac_sha256: String,
    pub(crate) records: u64,
    pub(crate) event_cut_sequence: u64,
}

impl TrailerV1 {
    /// Appends the line, without newline.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(TRAILER_TAG);
        out.extend_from_slice(b",\"sha256\":\"");
        out.extend_from_slice(self.sha256.as_bytes());
        if !self.hmac_sha256.is_empty() {
            out.extend_from_slice(b"\",\"hmac_sha256\":\"");
            out.extend_from_slice(self.hmac_sha256.as_bytes());
        }
        out.extend_from_slice(b"\",\"records\":");
        push_integer(out, self.records);
        if self.event_cut_sequence != 0 {
            out.extend_from_slice(b",\"event_cut_sequence\":");
            push_integer(out, self.event_cut_sequence);
        }
        out.push(b'}');
    }

    /// Reads a line, without its newline, as leniently as Go.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Fault> {
        let (format, trailer) = read_v1_members(line)?;
        if format.decoded() != FORMAT {
            return Err(Fault::new(0, "one `format`, that of a trailer"));
        }
        Ok(trailer)
    }
}

fn read_v1_members(line: &[u8]) -> Result<(RawString<'_>, TrailerV1), Fault> {
    let (mut format, mut sha256, mut hmac) =
        (RawString::default(), RawString::default(), RawString::default());
    let (mut records, mut cut) = (0, 0);
    let mut members = Members::object(line, DEPTH_V1)?;
    while let Some(member) = members.next_member()? {
        let (key, value) = (member.key, member.value);
        let result = if key.is_key("format") {
            set_string(&mut format, value)
        } else if key.is_key("sha256") {
            set_string(&mut sha256, value)
        } else if key.is_key("hmac_sha256") {
            set_string(&mut hmac, value)
        } else if key.is_key("records") {
            read_unsigned(value).map(|integer| records = integer.unwrap_or(records))
        } else if key.is_key("event_cut_sequence") {
            read_unsigned(value).map(|integer| cut = integer.unwrap_or(cut))
        } else {
            Ok(())
        };
        result.map_err(|expected| Fault::new(member.at, expected))?;
    }
    members.end()?;
    let trailer = TrailerV1 {
        sha256: sha256.decoded().into_owned(),
        hmac_sha256: hmac.decoded().into_owned(),
        records,
        event_cut_sequence: cut,
    };
    Ok((format, trailer))
}

/// A trailer of version 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TrailerV2 {
    pub(crate) sha256: Digest,
    pub(crate) merkle_root: Digest,
    pub(crate) records: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) event_cut_sequence: u64,
    /// `None` for `null`: too many to say.
    pub(crate) gaps: Option<Vec<(u64, u64)>>,
    /// `None` for `null`: too many to say.
    pub(crate) tenants: Option<Vec<TenantHead>>,
    pub(crate) authentication: Option<Authentication>,
}

/// The MAC of a trailer of version 2, and which key made it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authentication {
    pub(crate) key_id: String,
    pub(crate) hmac_sha256: Digest,
    /// How many bytes of the line the MAC covers.
    pub(crate) covered_bytes: usize,
}

/// Length of what follows the tenants, newline included.
const KEYED_TAIL_BYTES: usize = ",\"key_id\":\"\",\"hmac_sha256\":\"\"}\n".len() + 16 + 64;

impl TrailerV2 {
    /// Appends the line, without newline. What is too much to say, by the limits, is said as `null`.
    pub(crate) fn write(
        sha256: Digest,
        content: &Content,
        gap_ranges: u64,
        tenants: Option<&[TenantHead]>,
        key: Option<&BackupKey>,
        out: &mut Vec<u8>,
    ) {
        let from = out.len();
        out.extend_from_slice(TRAILER_TAG);
        push_digest(out, b",\"sha256\":\"", sha256);
        push_digest(out, b",\"merkle_root\":\"", content.merkle_root);
        for (name, value) in [
            (",\"records\":", content.records),
            (",\"first_sequence\":", content.first_sequence),
            (",\"last_sequence\":", content.last_sequence),
            (",\"event_cut_sequence\":", content.last_sequence),
        ] {
            out.extend_from_slice(name.as_bytes());
            push_integer(out, value);
        }
        out.extend_from_slice(b",\"gaps\":");
        if gap_ranges > MAX_GAP_RANGES as u64 {
            out.extend_from_slice(b"null")
        } else {
            push_gaps(out, &content.gaps)
        }
        out.extend_from_slice(b",\"tenants\":");
        let tail_bytes = if key.is_some() { KEYED_TAIL_BYTES } else { "}\n".len() };
        match tenants.filter(|tenants| tenants_fit(out.len() - from + tail_bytes, tenants)) {
            Some(tenants) => push_tenants(out, tenants),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(key) = key {
            push_authentication(out, from, key);
        }
        out.push(b'}');
    }

    /// Reads a line, without its newline, in its one spelling.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Fault> {
        let text = str::from_utf8(line).map_err(|error| Fault::new(error.valid_up_to(), "UTF-8"))?;
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.expect(b"{\"format\":\"trstctl-event-log-backup-trailer\",\"sha256\":\"")?;
        let sha256 = read_digest(&mut cursor)?;
        cursor.expect(b",\"merkle_root\":\"")?;
        let merkle_root = read_digest(&mut cursor)?;
        cursor.expect(b",\"records\":")?;
        let records = cursor.integer()?;
        cursor.expect(b",\"first_sequence\":")?;
        let first_sequence = cursor.integer()?;
        cursor.expect(b",\"last_sequence\":")?;
        let last_sequence = cursor.integer()?;
        cursor.expect(b",\"event_cut_sequence\":")?;
        let event_cut_sequence = cursor.integer()?;
        cursor.expect(b",\"gaps\":")?;
        let gaps = read_list(&mut cursor, MAX_GAP_RANGES, read_gap)?;
        cursor.expect(b",\"tenants\":")?;
        let tenants = read_list(&mut cursor, MAX_TENANTS, read_tenant)?;
        let authentication = Authentication::read(&mut cursor)?;
        cursor.expect(b"}")?;
        cursor.end()?;
        Ok(Self {
            sha256,
            merkle_root,
            records,
            first_sequence,
            last_sequence,
            event_cut_sequence,
            gaps,
            tenants,
            authentication,
        })
    }
}

/// Whether a trailer spells these tenants out, when all but them takes `other_bytes`, newline included.
pub(crate) fn tenants_fit(other_bytes: usize, tenants: &[TenantHead]) -> bool {
    tenants.len() <= MAX_TENANTS && other_bytes + tenants_bytes(tenants) <= FormatVersion::V2.max_line_bytes()
}

fn tenants_bytes(tenants: &[TenantHead]) -> usize {
    let mut digits = Vec::with_capacity(20);
    let mut bytes = "[]".len() + tenants.len().saturating_sub(1);
    for tenant in tenants {
        digits.clear();
        push_integer(&mut digits, tenant.records);
        bytes += "{\"tenant_id\":\"\",\"records\":,\"merkle_root\":\"\"}".len()
            + 64
            + digits.len()
            + tenant.id.len();
    }
    bytes
}

fn push_digest(out: &mut Vec<u8>, before: &[u8], digest: Digest) {
    out.extend_from_slice(before);
    out.extend_from_slice(hex::encode(digest.0).as_bytes());
    out.push(b'"');
}

fn push_gaps(out: &mut Vec<u8>, gaps: &[(u64, u64)]) {
    out.push(b'[');
    for (i, (first, last)) in gaps.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"[" } else { b",[" });
        push_integer(out, *first);
        out.push(b',');
        push_integer(out, *last);
        out.push(b']');
    }
    out.push(b']');
}

fn push_tenants(out: &mut Vec<u8>, tenants: &[TenantHead]) {
    out.push(b'[');
    for (i, tenant) in tenants.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"tenant_id\":\"" } else { b",{\"tenant_id\":\"" });
        out.extend_from_slice(&tenant.id);
        out.extend_from_slice(b"\",\"records\":");
        push_integer(out, tenant.records);
        push_digest(out, b",\"merkle_root\":\"", tenant.merkle_root);
        out.push(b'}');
    }
    out.push(b']');
}

fn push_authentication(out: &mut Vec<u8>, from: usize, key: &BackupKey) {
    out.extend_from_slice(b",\"key_id\":\"");
    out.extend_from_slice(key.key_id().as_bytes());
    out.push(b'"');
    let mac = finish_mac(mac_of(key, &out[from..]));
    push_digest(out, b",\"hmac_sha256\":\"", mac);
}

/// The MAC over the beginning of a trailer of version 2.
pub(crate) fn mac_of(key: &BackupKey, covered: &[u8]) -> HmacSha256 {
    let mut mac = key.mac(FormatVersion::V2);
    hmac::Mac::update(&mut mac, covered);
    mac
}

/// A digest of 64 lower-case hex digits; `None` for any other text.
pub(crate) fn digest_of_hex(text: &[u8]) -> Option<Digest> {
    let mut digest = [0; 32];
    decode_lower_hex(text, &mut digest)?;
    Some(Digest(digest))
}

fn decode_lower_hex(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    let lower = text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (lower && hex::decode_to_slice(text, bytes).is_ok()).then_some(())
}

/// A digest in lower-case hex, of which the opening quote was taken.
fn read_digest(cursor: &mut Cursor<'_>) -> Result<Digest, Fault> {
    let mut digest = [0; 32];
    read_hex(cursor, &mut digest)?;
    Ok(Digest(digest))
}

fn read_hex(cursor: &mut Cursor<'_>, bytes: &mut [u8]) -> Result<(), Fault> {
    let at = cursor.place();
    let text = cursor.string()?.raw;
    decode_lower_hex(text, bytes).ok_or(Fault::new(at, "hex digits, lower case, of the right number"))
}

/// `null`, or an array of at most `limit` elements.
fn read_list<'a, T>(
    cursor: &mut Cursor<'a>,
    limit: usize,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, Fault>,
) -> Result<Option<Vec<T>>, Fault> {
    if cursor.take(b"null") {
        return Ok(None);
    }
    let mut list = Vec::new();
    cursor.expect(b"[")?;
    if cursor.take(b"]") {
        return Ok(Some(list));
    }
    loop {
        if list.len() == limit {
            return Err(cursor.fault("`null` in place of so many elements"));
        }
        list.push(read(cursor)?);
        if !cursor.take(b",") {
            break;
        }
    }
    cursor.expect(b"]")?;
    Ok(Some(list))
}

fn read_gap(cursor: &mut Cursor<'_>) -> Result<(u64, u64), Fault> {
    cursor.expect(b"[")?;
    let first = cursor.integer()?;
    cursor.expect(b",")?;
    let last = cursor.integer()?;
    cursor.expect(b"]")?;
    Ok((first, last))
}

fn read_tenant(cursor: &mut Cursor<'_>) -> Result<TenantHead, Fault> {
    cursor.expect(b"{\"tenant_id\":\"")?;
    let id = read_string(cursor)?.into();
    cursor.expect(b",\"records\":")?;
    let records = cursor.integer()?;
    cursor.expect(b",\"merkle_root\":\"")?;
    let merkle_root = read_digest(cursor)?;
    cursor.expect(b"}")?;
    Ok(TenantHead { id, records, merkle_root })
}

impl Authentication {
    fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, Fault> {
        if !cursor.take(b",\"key_id\":\"") {
            return Ok(None);
        }
        let mut key_id = [0; 8];
        read_hex(cursor, &mut key_id)?;
        let covered_bytes = cursor.place();
        cursor.expect(b",\"hmac_sha256\":\"")?;
        let hmac_sha256 = read_digest(cursor)?;
        Ok(Some(Self { key_id: hex::encode(key_id), hmac_sha256, covered_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_spelled_out_while_the_trailer_is_no_longer_than_a_line() {
        let zero = Digest([0; 32]);
        let content =
            Content { records: 1, first_sequence: 1, last_sequence: 1, gaps: Vec::new(), merkle_root: zero };
        let key = BackupKey::from_key_file(b"key").unwrap();
        for key in [None, Some(&key)] {
            let line_bytes = |id_bytes: usize| {
                let tenants = [vec![b'x'; id_bytes], b"y".to_vec()].map(|id| TenantHead {
                    id: id.into(),
                    records: 12,
                    merkle_root: zero,
                });
                let mut out = b"what stands before\n".to_vec();
                let before = out.len();
                TrailerV2::write(zero, &content, 0, Some(&tenants), key, &mut out);
                out.len() - before + "\n".len()
            };
            let (max, others) = (FormatVersion::V2.max_line_bytes(), line_bytes(0));
            assert_eq!(line_bytes(max - others), max);
            assert!(line_bytes(max - others + 1) < others, "it says `null`");
        }
    }
}
