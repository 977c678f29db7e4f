//! How much of a test is run: a sample of some seconds, or the whole of it where `TRSTCTL_TORTURE` is set (`make torture`).
//!
//! What chance decides comes from a seed that is printed; `TRSTCTL_SEED` gives the same again.

use std::time::{Duration, SystemTime};

/// Whether the whole form is asked for.
pub fn is_whole() -> bool {
    std::env::var_os("TRSTCTL_TORTURE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// `whole` under `make torture`, else `sample`.
pub fn cases<T>(sample: T, whole: T) -> T {
    if is_whole() { whole } else { sample }
}

/// A source of chance, the same for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    /// From `TRSTCTL_SEED`, or a fresh one; prints it beside what it is for.
    pub fn for_test(what: &str) -> Self {
        let fresh = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos()));
        let seed = match std::env::var("TRSTCTL_SEED") {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("TRSTCTL_SEED={text} is no number")),
            Err(_) => fresh(),
        };
        println!("{what}: TRSTCTL_SEED={seed}");
        Self(seed)
    }

    /// The same every time.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 1 to `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        1 + (self.fraction() * most as f64) as u64
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.up_to(times) == 1
    }

    /// One of these; there must be one.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.up_to(all.len() as u64) as usize - 1]
    }
}

/// `count` instants from the beginning to the end of `span`, one in each equal part of it.
pub fn instants(what: &str, span: Duration, count: u32) -> Vec<Duration> {
    let mut chance = Chance::for_test(&format!("{what}: {count} kills within {span:?}"));
    (0..count).map(|part| span.mul_f64((f64::from(part) + chance.fraction()) / f64::from(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_lie_one_in_each_part_of_the_span() {
        let span = Duration::from_secs(10);
        for (part, instant) in (0..).zip(instants("a test", span, 10)) {
            assert!(instant >= Duration::from_secs(part) && instant < Duration::from_secs(part + 1));
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let numbers = || {
            let mut chance = Chance(7);
            [chance.up_to(100), chance.up_to(100)]
        };
        assert_eq!(numbers(), numbers());
        assert!(numbers().iter().all(|number| (1..=100).contains(number)));
    }
}
