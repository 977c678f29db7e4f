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

impl Ack {
    /// `None`: no acknowledgement subject, hence no delivered message.
    pub(super) fn parse(reply: &[u8]) -> Option<Self> {
        let rest = reply.strip_prefix(b"$JS.ACK.")?;
        let before_sequence = match memchr::memchr_iter(b'.', rest).count() + 3 {
            9 => 3,
            11 | 12 => 5,
            _ => return None,
        };
        let mut tokens = rest.split(|&byte| byte == b'.').skip(before_sequence);
        Some(Self {
            sequence: number(tokens.next()?)?,
            delivery: number(tokens.next()?)?,
            stored_at: StoreTime(signed(tokens.next()?)?),
            pending: number(tokens.next()?)?,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(number(digits)?),
        None => i64::try_from(number(text)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same() {
        let ack = Some(Ack {
            sequence: 5001,
            delivery: 7,
            stored_at: StoreTime(1_614_835_415_943_074_242),
            pending: 9,
        });
        assert_eq!(Ack::parse(b"$JS.ACK.S.C.1.5001.7.1614835415943074242.9"), ack);
        assert_eq!(Ack::parse(b"$JS.ACK.hub.ACC.S.C.1.5001.7.1614835415943074242.9"), ack);
        assert_eq!(Ack::parse(b"$JS.ACK._.ACC.S.C.1.5001.7.1614835415943074242.9.rand"), ack);
    }

    #[test]
    fn a_store_time_before_1970_is_read() {
        let ack = Ack::parse(b"$JS.ACK.S.C.1.1.1.-9223372036854775808.0").unwrap();
        assert_eq!(ack.stored_at, StoreTime(i64::MIN));
    }

    #[test]
    fn anything_else_is_no_acknowledgement() {
        for odd in ["", "_INBOX.x", "$JS.ACK.S.C.1.1.1.1", "$JS.ACK.S.C.1.x.1.1.0", "$JS.ACK.S.C.1..1.1.0"] {
            assert_eq!(Ack::parse(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(Ack::parse(b"$JS.ACK.S.C.1.99999999999999999999.1.1.0"), None);
    }
}
