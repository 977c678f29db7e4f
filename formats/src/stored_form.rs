//! The canonical form of a stored event, read strictly: what was read can be written again byte for byte.

use crate::json::{Cursor, Fault};

/// The fields as they stand in the message, strings escaped as there. Whether their escapes are canonical is found out
/// by whoever moves them ([`crate::json::push_stored_as_v2`]).
pub(crate) struct StoredForm<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) kind: &'a [u8],
    pub(crate) tenant_id: &'a [u8],
    pub(crate) time: &'a [u8],
    pub(crate) version: Option<u64>,
    /// base64.
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) actor: Option<StoredActor<'a>>,
}

/// The actor of a stored event.
pub(crate) struct StoredActor<'a> {
    pub(crate) subject: &'a [u8],
    /// The elements with their quotes and commas; never without any.
    pub(crate) roles: Option<&'a [u8]>,
}

impl<'a> StoredForm<'a> {
    /// Reads a whole message; `None` when its form is another one.
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        if !payload.starts_with(b"{\"id\":\"") || simdutf8::basic::from_utf8(payload).is_err() {
            return None;
        }
        Self::read_fields(&mut Cursor::new(payload)).ok()
    }

    fn read_fields(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        cursor.expect(b"{\"id\":\"")?;
        let id = cursor.string()?.raw;
        cursor.expect(b",\"type\":\"")?;
        let kind = cursor.string()?.raw;
        cursor.expect(b",\"tenant_id\":\"")?;
        let tenant_id = cursor.string()?.raw;
        cursor.expect(b",\"time\":\"")?;
        let time = cursor.string()?.raw;
        let version = if cursor.take(b",\"v\":") { Some(cursor.integer()?) } else { None };
        let data = if cursor.take(b",\"data\":\"") { Some(cursor.string()?.raw) } else { None };
        let actor = StoredActor::read(cursor)?;
        cursor.expect(b"}")?;
        cursor.end()?;
        Ok(Self { id, kind, tenant_id, time, version, data, actor })
    }
}

impl<'a> StoredActor<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Fault> {
        if !cursor.take(b",\"actor\":{\"subject\":\"") {
            return Ok(None);
        }
        let subject = cursor.string()?.raw;
        let mut roles = None;
        if cursor.take(b",\"roles\":[") {
            let from = cursor.place();
            cursor.expect(b"\"")?;
            cursor.string()?;
            while cursor.take(b",\"") {
                cursor.string()?;
            }
            roles = Some(cursor.since(from));
            cursor.expect(b"]")?;
        }
        cursor.expect(b"}")?;
        Ok(Some(Self { subject, roles }))
    }
}
