//! The acknowledgement subject of a delivered message: it carries sequence and store time.
//!
//! `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivery>.<time>.<pending>`, or with domain and account before the
//! stream (and perhaps a random token at the end). That a message was delivered by a consumer, and is no status message of
//! the server, is known by this subject only: a stored header block can look like any status.

use trstctl_formats::StoreTime;

/// What the acknowledgement subject says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// Sequence in the stream.
    pub(super) sequence: u64,
    /// Number of this delivery, from 1, without gaps within a consumer.
    pub(super) delivery: u64,
    pub(super) stored_at: StoreTime,
    /// What the consumer believes is still to come. It may be wrong where a replica lags.
    pub(super) pending: u64,
}

/// Reads the acknowledgement subjects of one consumer, which all begin alike.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// What the last one had before its sequence.
    beginning: Vec<u8>,
}

impl Acks {
    /// `None`: no acknowledgement subject, hence no delivered message.
    pub(super) fn parse(&mut self, reply: &[u8]) -> Option<Ack> {
        match reply.strip_prefix(&self.beginning[..]) {
            Some(numbers) if !self.beginning.is_empty() => Ack::from_numbers(numbers),
            _ => {
                let length = length_before_sequence(reply)?;
                self.beginning = reply[..length].to_vec();
                Ack::from_numbers(&reply[length..])
            }
        }
    }
}

fn length_before_sequence(reply: &[u8]) -> Option<usize> {
    let rest = reply.strip_prefix(b"$JS.ACK.")?;
    let tokens_before = match rest.iter().filter(|&&byte| byte == b'.').count() + 1 {
        7 => 3,
        9 | 10 => 5,
        _ => return None,
    };
    let (last_dot, _) = rest.iter().enumerate().filter(|&(_, &byte)| byte == b'.').nth(tokens_before - 1)?;
    Some(reply.len() - rest.len() + last_dot + 1)
}

impl Ack {
    /// From `<sequence>.<delivery>.<time>.<pending>`, after which a further token may stand.
    fn from_numbers(text: &[u8]) -> Option<Self> {
        let (sequence, rest) = number(text)?;
        let (delivery, rest) = number(rest)?;
        let (stored_at, rest) = signed(rest)?;
        let (pending, _) = number(rest)?;
        Some(Self { sequence, delivery, stored_at: StoreTime(stored_at), pending })
    }
}

/// A number up to a dot or the end, and what follows. At most 19 digits, which always fit: no server gives more.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, &byte) in text.iter().enumerate().take(20) {
        match byte {
            b'0'..=b'9' if at < 19 => value = value * 10 + u64::from(byte - b'0'),
            b'.' if at > 0 => return Some((value, &text[at + 1..])),
            _ => return None,
        }
    }
    (!text.is_empty()).then_some((value, &[]))
}

fn signed(text: &[u8]) -> Option<(i64, &[u8])> {
    match text.strip_prefix(b"-") {
        Some(text) => number(text).and_then(|(value, rest)| Some((0i64.checked_sub_unsigned(value)?, rest))),
        None => number(text).and_then(|(value, rest)| Some((i64::try_from(value).ok()?, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(reply: &[u8]) -> Option<Ack> {
        let mut acks = Acks::default();
        let first = acks.parse(reply);
        // The second one goes the short way.
        assert_eq!(acks.parse(reply), first);
        first
    }

    #[test]
    fn both_forms_give_the_same() {
        let ack = Some(Ack {
            sequence: 5001,
            delivery: 7,
            stored_at: StoreTime(1_614_835_415_943_074_242),
            pending: 9,
        });
        assert_eq!(parse(b"$JS.ACK.S.C.1.5001.7.1614835415943074242.9"), ack);
        assert_eq!(parse(b"$JS.ACK.hub.ACC.S.C.1.5001.7.1614835415943074242.9"), ack);
        assert_eq!(parse(b"$JS.ACK._.ACC.S.C.1.5001.7.1614835415943074242.9.rand"), ack);
    }

    #[test]
    fn a_store_time_before_1970_is_read() {
        let ack = parse(b"$JS.ACK.S.C.1.1.1.-9223372036854775808.0").unwrap();
        assert_eq!(ack.stored_at, StoreTime(i64::MIN));
    }

    #[test]
    fn the_acknowledgement_of_another_consumer_is_read_as_well() {
        let mut acks = Acks::default();
        acks.parse(b"$JS.ACK.S.C.1.1.1.1.0").unwrap();
        assert_eq!(acks.parse(b"$JS.ACK.S.C.2.5.2.1.0").unwrap().sequence, 5);
        assert_eq!(acks.parse(b"_INBOX.x"), None);
        assert_eq!(acks.parse(b""), None);
    }

    #[test]
    fn anything_else_is_no_acknowledgement() {
        for odd in ["", "_INBOX.x", "$JS.ACK.S.C.1.1.1.1", "$JS.ACK.S.C.1.x.1.1.0", "$JS.ACK.S.C.1..1.1.0"] {
            assert_eq!(parse(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(parse(b"$JS.ACK.S.C.1.99999999999999999999.1.1.0"), None);
    }
}
