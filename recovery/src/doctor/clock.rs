//! The clock of a server against the clock of this host: `--until`, the time in a backup, and the age of the newest
//! backup all rely on them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Check;
use crate::words;

/// More is told.
const NOTABLE: Duration = Duration::from_secs(2);
/// More is a problem.
const TOO_MUCH: Duration = Duration::from_secs(60);

/// A server's time, and this host's just before it was asked for and just after.
pub(super) struct Reading {
    pub(super) before: Timestamp,
    pub(super) server: Timestamp,
    pub(super) after: Timestamp,
}

/// Compares; what the answer took on its way counts for nothing.
pub(super) fn compare(name: &'static str, reading: &Reading) -> Check {
    let ahead = reading.server.duration_since(reading.after).max(SignedDuration::ZERO).unsigned_abs();
    let behind = reading.before.duration_since(reading.server).max(SignedDuration::ZERO).unsigned_abs();
    let skew = ahead.max(behind);
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let found = format!("{} {direction} this host", words::duration(skew));
    let to_do = "Set the clocks by NTP (chrony, systemd-timesyncd), on this host and on the servers.";
    match skew {
        _ if skew < NOTABLE => Check::ok(name, "agrees with this host"),
        _ if skew < TOO_MUCH => Check::warning(name, found, to_do),
        _ => Check::problem(name, found, to_do),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn state(before: i64, server: i64, after: i64) -> State {
        compare("clock", &Reading { before: at(before), server: at(server), after: at(after) }).state
    }

    #[test]
    fn skew_beyond_the_way_of_the_answer_is_told_in_both_directions() {
        assert_eq!(state(100, 105, 109), State::Ok, "a slow answer is no skew");
        assert_eq!(state(100, 110, 101), State::Warning);
        assert_eq!(state(100, 90, 101), State::Warning);
        assert_eq!(state(100, 400, 101), State::Problem);
        assert_eq!(state(500, 100, 501), State::Problem);
    }
}
