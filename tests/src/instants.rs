//! Random instants at which tests kill: one in each part of a span, from a seed that is printed.

use std::time::{Duration, SystemTime};

/// How often each command is killed: `TRSTCTL_TEST_KILLS`, 5 when not set.
fn kills() -> u32 {
    number("TRSTCTL_TEST_KILLS").and_then(|kills| u32::try_from(kills).ok()).unwrap_or(5)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Instants from the beginning to the end of `span`. Prints the seed; `TRSTCTL_TEST_SEED` gives the same again.
pub fn instants(what: &str, span: Duration) -> Vec<Duration> {
    let fresh = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos()));
    let mut seed = number("TRSTCTL_TEST_SEED").unwrap_or_else(fresh);
    let count = kills();
    println!("{what}: {count} kills within {span:?}, TRSTCTL_TEST_SEED={seed}");
    (0..count).map(|part| span.mul_f64((f64::from(part) + fraction(&mut seed)) / f64::from(count))).collect()
}

/// SplitMix64, as a number from 0 to below 1.
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
