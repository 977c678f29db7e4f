//! Messages that are no events of ours, or spell them differently: what a stream gathers in years, and more.
//!
//! The server takes them all. None may stop a backup, and each must come back byte for byte.

use bytes::Bytes;
use trstctl_formats::event::Event;
use uuid::Uuid;

use super::random::Random;
use super::{Entry, Keep, Outcome, text};

/// Number of kinds.
#[cfg(test)]
pub const KINDS: u64 = 24;

/// The odd message number `number`: the kinds take turns.
pub fn message(number: u64, id: &str, now_ns: i64, random: &mut Random) -> Entry {
    let base = Base { id, time: text::time(now_ns), tenant: random.uuid() };
    match number % 24 {
        0 => foreign(&b"hello"[..]),
        1 => foreign(Bytes::new()),
        2 => foreign(random.bytes::<64>().to_vec()),
        3 => foreign(&b"[1,2]"[..]),
        4 => foreign(&br#"{"type":"scan.finished"}"#[..]),
        5 => foreign(&br#"{"tenant_id":"00000000-0000-4000-8000-00000000000a","type":7}"#[..]),
        6 => base.entry(base.spaced()),
        7 => base.entry(base.with_tail(b"\n")),
        8 => base.entry(base.with_tail(b" \t\r\n ")),
        9 => base.entry(base.replaced(r#","v":1"#, "")),
        10 => base.entry(base.replaced(r#","v":1"#, r#","v":0"#)),
        11 => base.entry(base.replaced(r#","v":1"#, r#","v":1,"extra":{"a":[]}"#)),
        12 => base.data(random.bytes::<90>().to_vec()),
        13 => base.data(&b"{\r\n  \"ok\": true\r\n}\r\n"[..]),
        14 => base.data([b"[".repeat(140), b"]".repeat(140)].concat()),
        15 => base.data(&br#"{"lone":"\ud800","n":123456789012345678901234567890.5e-400,"n":NaN}"#[..]),
        16 => base.data(vec![0x5a; 100_000 + random.index(60_000)]),
        17 => base.headers(&b""[..]),
        18 => base.headers(&b"NATS/1.0\r\n\r\n"[..]),
        19 => base.headers(format!(
            "NATS/1.0\r\nX-B: 2\r\nX-A: 1\r\nx-b: 3\r\nNats-Msg-Id: {id}\r\nX-B: 2\r\n\r\n"
        )),
        20 => base.headers(format!("NATS/1.0\r\nNats-Msg-Id:{id}\r\nX-Wide:   a  b \r\nX-Empty:\r\n\r\n")),
        21 => base.headers(&b"NATS/1.0 100 Idle Heartbeat\r\nX-Odd: y\r\n\r\n"[..]),
        22 => base.headers(&b"NATS/1.0\r\nX-Bytes: \xff\xfe\r\nX-\xc3\xbc: \xc3\xb6\r\n\r\n"[..]),
        _ => Entry { subject: format!("events.ünï.{}a", "deep.".repeat(20)), ..base.entry(base.stored()) },
    }
}

/// A message that is no event.
fn foreign(payload: impl Into<Bytes>) -> Entry {
    Entry {
        subject: "events.x".into(),
        headers: Bytes::new(),
        payload: payload.into(),
        keep: Keep::Kept,
        outcome: Outcome::Quarantined,
    }
}

/// An event of a type that nobody knows, to be made odd.
struct Base<'a> {
    id: &'a str,
    time: String,
    tenant: Uuid,
}

impl Base<'_> {
    fn event(&self) -> Event {
        Event {
            id: self.id.into(),
            kind: "scan.finished".into(),
            tenant_id: self.tenant.to_string(),
            time: self.time.clone(),
            version: Some(1),
            data: Bytes::from_static(b"{\"ok\":true}"),
            actor: None,
        }
    }

    fn stored(&self) -> Bytes {
        self.event().to_stored()
    }

    fn entry(&self, payload: impl Into<Bytes>) -> Entry {
        Entry {
            subject: "events.scan.finished".into(),
            headers: Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", self.id)),
            payload: payload.into(),
            keep: Keep::Kept,
            outcome: Outcome::NotProjected,
        }
    }

    /// Its payload is these bytes.
    fn data(&self, data: impl Into<Bytes>) -> Entry {
        self.entry(Event { data: data.into(), ..self.event() }.to_stored())
    }

    /// Its header block is this one.
    fn headers(&self, headers: impl Into<Bytes>) -> Entry {
        Entry { headers: headers.into(), ..self.entry(self.stored()) }
    }

    fn with_tail(&self, tail: &[u8]) -> Vec<u8> {
        [&self.stored()[..], tail].concat()
    }

    fn replaced(&self, from: &str, to: &str) -> String {
        String::from_utf8_lossy(&self.stored()).replacen(from, to, 1)
    }

    /// Other order, other spacing.
    fn spaced(&self) -> String {
        let Self { id, time, tenant } = self;
        format!(
            "{{ \"type\" : \"scan.finished\",\n\"time\":\"{time}\", \"tenant_id\":\"{tenant}\",\t\"id\":\"{id}\" }}"
        )
    }
}
