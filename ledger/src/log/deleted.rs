//! The sequences that the leader lists as deleted, as ranges.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// Inclusive ranges, rising and never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The ranges.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        let after = self.0.partition_point(|range| range.0 <= sequence);
        after > 0 && self.0[after - 1].1 >= sequence
    }

    /// The parts of the ranges that are in `first..=last`.
    pub(super) fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.0.partition_point(|range| range.1 < first);
        let ranges = self.0[from..].iter().take_while(move |range| range.0 <= last);
        ranges.map(move |range| (range.0.max(first), range.1.min(last)))
    }

    /// The parts of `first..=last` that are in none of the ranges.
    pub(super) fn outside(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut parts = Vec::new();
        let mut next = first;
        let from = self.0.partition_point(|range| range.1 < first);
        for &(start, end) in self.0[from..].iter().take_while(|range| range.0 <= last) {
            if start > next {
                parts.push((next, start - 1));
            }
            next = end.saturating_add(1);
        }
        if next <= last {
            parts.push((next, last));
        }
        parts
    }

    fn from_unsorted(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let mut all = Self::default();
        for (first, last) in ranges {
            match all.0.last_mut() {
                Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
                _ => all.0.push((first, last)),
            }
        }
        all
    }
}

impl<'de> Deserialize<'de> for Ranges {
    /// From a list of sequences, or `null`; the list itself is never kept.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sequences)
    }
}

struct Sequences;

impl<'de> Visitor<'de> for Sequences {
    type Value = Ranges;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sequences")
    }

    fn visit_unit<E>(self) -> Result<Ranges, E> {
        Ok(Ranges::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ranges, A::Error> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        while let Some(sequence) = list.next_element::<u64>()? {
            match ranges.last_mut() {
                Some(range) if range.1.checked_add(1) == Some(sequence) => range.1 = sequence,
                _ => ranges.push((sequence, sequence)),
            }
        }
        Ok(Ranges::from_unsorted(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(json: &str) -> Ranges {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_list_in_any_order_becomes_ranges() {
        assert_eq!(ranges("[3,4,5,9,1,2,10]").as_slice(), [(1, 5), (9, 10)]);
        assert_eq!(ranges("null"), Ranges::default());
    }

    #[test]
    fn membership_is_that_of_the_list() {
        let list = ranges("[3,4,5,9]");
        let inside: Vec<u64> = (0..12).filter(|&sequence| list.contains(sequence)).collect();
        assert_eq!(inside, [3, 4, 5, 9]);
    }

    #[test]
    fn what_is_not_listed_is_found() {
        let list = ranges("[3,4,5,9]");
        assert_eq!(list.outside(1, 10), [(1, 2), (6, 8), (10, 10)]);
        assert_eq!(list.outside(3, 5), []);
        assert_eq!(list.outside(4, 6), [(6, 6)]);
        assert_eq!(Ranges::default().outside(7, 7), [(7, 7)]);
    }
}
