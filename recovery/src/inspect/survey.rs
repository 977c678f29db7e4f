//! Counts of a backup's records: by tenant, by type, over time. Bounded whatever the backup holds.

use std::collections::HashMap;

use trstctl_formats::StoreTime;
use trstctl_formats::backup::{MAX_TENANTS, Record};

use super::histogram::Histogram;

/// Types that are counted one by one; a log has some dozens.
pub const MAX_TYPES: usize = 10_000;

/// Bytes of all names that a tally keeps.
const MAX_NAME_BYTES: usize = 32 << 20;

/// What was counted.
#[derive(Clone, Debug)]
pub struct Survey {
    /// All selected records.
    pub all: Count,
    /// By tenant; `""` is the group of foreign messages.
    pub tenants: Tally,
    /// By type of event.
    pub types: Tally,
    /// Messages that are no events in the log's own spelling.
    pub foreign: Foreign,
    /// Over time.
    pub histogram: Histogram,
}

/// Messages that the backup keeps in raw form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foreign {
    /// All of them.
    pub messages: Count,
    /// Those that hold an event all the same, in another spelling.
    pub events: u64,
}

/// How many, from when to when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Records.
    pub records: u64,
    /// Earliest and latest time; `None` when no record has one.
    pub times: Option<(StoreTime, StoreTime)>,
}

/// A count under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The count.
    pub count: Count,
}

/// Counts by name. Names beyond its bounds are counted together.
#[derive(Clone, Debug)]
pub struct Tally {
    counts: HashMap<String, Count>,
    name_bytes: usize,
    max_names: usize,
    /// Records of names that came when the tally was full.
    pub other: Count,
}

impl Survey {
    /// Nothing counted yet, of a file whose records lie in this range of time.
    pub fn new(range: Option<(StoreTime, StoreTime)>) -> Self {
        Self {
            all: Count::default(),
            tenants: Tally::new(MAX_TENANTS),
            types: Tally::new(MAX_TYPES),
            foreign: Foreign::default(),
            histogram: Histogram::new(range),
        }
    }

    /// Counts a record.
    pub fn add(&mut self, record: &Record<'_>) {
        let time = record.time().filter(|time| !matches!(time.0, i64::MIN | i64::MAX));
        self.all.add(time);
        self.tenants.add(&record.tenant_id(), time);
        match record.kind() {
            Some(kind) => self.types.add(&kind, time),
            None => {
                self.foreign.messages.add(time);
                self.foreign.events += u64::from(record.event_in_raw_form().is_some());
            }
        }
        if let Some(time) = time {
            self.histogram.add(time);
        }
    }
}

impl Count {
    fn add(&mut self, time: Option<StoreTime>) {
        self.records += 1;
        if let Some(time) = time {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }
}

impl Tally {
    fn new(max_names: usize) -> Self {
        Self { counts: HashMap::new(), name_bytes: 0, max_names, other: Count::default() }
    }

    fn add(&mut self, name: &str, time: Option<StoreTime>) {
        if let Some(count) = self.counts.get_mut(name) {
            return count.add(time);
        }
        if self.counts.len() == self.max_names || self.name_bytes + name.len() > MAX_NAME_BYTES {
            return self.other.add(time);
        }
        self.name_bytes += name.len();
        self.counts.entry(name.to_owned()).or_default().add(time);
    }

    /// Names that are counted one by one.
    pub fn names(&self) -> u64 {
        self.counts.len() as u64
    }

    /// All of them, most records first, then by name.
    pub fn ranked(&self) -> Vec<Named> {
        let named = |(name, count): (&String, &Count)| Named { name: name.clone(), count: *count };
        let mut all: Vec<Named> = self.counts.iter().map(named).collect();
        all.sort_by(|a, b| b.count.records.cmp(&a.count.records).then_with(|| a.name.cmp(&b.name)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut tally = Tally::new(2);
        for name in ["a", "b", "c", "b", "d", "b"] {
            tally.add(name, Some(StoreTime(7)));
        }
        let ranked: Vec<_> = tally.ranked().into_iter().map(|n| (n.name, n.count.records)).collect();
        assert_eq!(ranked, [("b".to_owned(), 3), ("a".to_owned(), 1)]);
        assert_eq!(tally.other.records, 2);
    }

    #[test]
    fn long_names_are_bounded_too() {
        let mut tally = Tally::new(MAX_TYPES);
        tally.add(&"x".repeat(MAX_NAME_BYTES), None);
        tally.add("y", None);
        assert_eq!((tally.names(), tally.other.records), (1, 1));
    }

    #[test]
    fn times_of_a_count_are_the_earliest_and_the_latest() {
        let mut count = Count::default();
        count.add(None);
        assert_eq!(count, Count { records: 1, times: None });
        for time in [5, 3, 9] {
            count.add(Some(StoreTime(time)));
        }
        assert_eq!(count, Count { records: 4, times: Some((StoreTime(3), StoreTime(9))) });
    }
}
