//! Which records of a backup are of interest.

use trstctl_formats::StoreTime;
use trstctl_formats::backup::Record;

/// Records that fit every given condition; by default all of them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of one of these tenants; `""` is the group of foreign messages. None given: of any.
    pub tenants: Vec<String>,
    /// Of one of these types. None given: of any, foreign messages too.
    pub types: Vec<TypePattern>,
    /// Stored at this instant or later (version 1: the event's time).
    pub since: Option<StoreTime>,
    /// Stored at this instant or earlier.
    pub until: Option<StoreTime>,
    /// Of this sequence or a higher one (version 1: number of the record).
    pub from: Option<u64>,
    /// Of this sequence or a lower one.
    pub to: Option<u64>,
}

impl Selection {
    /// Whether it takes every record.
    pub fn is_all(&self) -> bool {
        let bounds = self.since.is_some() || self.until.is_some() || self.from.is_some() || self.to.is_some();
        self.tenants.is_empty() && self.types.is_empty() && !bounds
    }

    /// Whether it takes this record. One without a time fits no bound on time.
    pub fn takes(&self, record: &Record<'_>) -> bool {
        let sequence = record.sequence();
        self.from.is_none_or(|from| sequence >= from)
            && self.to.is_none_or(|to| sequence <= to)
            && self.since.is_none_or(|since| record.time().is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| record.time().is_some_and(|time| time <= until))
            && (self.tenants.is_empty() || self.tenants.iter().any(|id| *id == record.tenant_id()))
            && (self.types.is_empty()
                || record.kind().is_some_and(|kind| self.types.iter().any(|pattern| pattern.fits(&kind))))
    }
}

/// A pattern for types: with `*` (any characters) or `?` (one) a glob, else the type itself and all below it
/// (`identity` takes `identity.issued`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(String);

impl TypePattern {
    /// A pattern as the operator wrote it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether this type fits.
    pub fn fits(&self, kind: &str) -> bool {
        if self.0.contains(['*', '?']) {
            return glob(self.0.as_bytes(), kind.as_bytes());
        }
        kind.strip_prefix(self.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || self.0.ends_with('.'))
    }
}

/// Matches from left to right; only the last `*` is ever taken back, so the time is at most the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t += char_len(text[t]);
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                (p, t) = (star_p + 1, star_t + 1);
            }
        }
    }
    t == text.len() && pattern[p.min(pattern.len())..].iter().all(|byte| *byte == b'*')
}

/// Bytes of the character that begins so.
fn char_len(first: u8) -> usize {
    match first.leading_ones() {
        0 | 1 => 1,
        ones => ones as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, kind: &str) -> bool {
        TypePattern::new(pattern).fits(kind)
    }

    #[test]
    fn pattern_without_wildcards_takes_the_type_and_what_is_below_it() {
        for kind in ["identity", "identity.issued", "identity.issued.again"] {
            assert!(fits("identity", kind), "{kind}");
        }
        assert!(!fits("identity", "identity_transition") && !fits("identity.issued", "identity"));
        assert!(fits("identity.", "identity.issued"));
    }

    #[test]
    fn glob_takes_any_run_for_a_star_and_one_character_for_a_question_mark() {
        for (pattern, kind, expected) in [
            ("*", "", true),
            ("*.created", "owner.created", true),
            ("*.created", "owner.created.x", false),
            ("o*.c*d", "owner.created", true),
            ("*a*b*c", "aXbXbXc", true),
            ("*a*b*c", "aXbXbX", false),
            ("own?r", "owner", true),
            ("own?r", "ownr", false),
            ("?", "é", true),
            ("??", "é", false),
            ("owner**", "owner", true),
        ] {
            assert_eq!(fits(pattern, kind), expected, "{pattern} {kind}");
        }
    }
}
