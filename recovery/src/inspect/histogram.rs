//! Records over time: at most some twenty bins of a width that people use, beginning where clocks and calendars do.

use trstctl_formats::StoreTime;

/// Bins at most.
const MAX_BINS: i128 = 20;

const MS: i128 = 1_000_000;
const SECOND: i128 = 1000 * MS;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;

/// Widths in nanoseconds, rising; the last one holds all of time in `MAX_BINS`.
const WIDTHS: [i128; 28] = [
    MS,
    10 * MS,
    100 * MS,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
    1825 * DAY,
    3650 * DAY,
    36500 * DAY,
];

/// Counts by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    start_ns: i128,
    width_ns: i128,
    counts: Vec<u64>,
}

/// One bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Where it begins.
    pub from: StoreTime,
    /// Records from there to before the next bin.
    pub records: u64,
}

impl Histogram {
    /// Empty bins over this range of time; none without one.
    pub fn new(range: Option<(StoreTime, StoreTime)>) -> Self {
        let Some((first, last)) = range else {
            return Self { start_ns: 0, width_ns: MS, counts: Vec::new() };
        };
        let (first, last) = (i128::from(first.0), i128::from(last.0));
        let bins = |width: i128| last.div_euclid(width) - first.div_euclid(width) + 1;
        let width_ns = WIDTHS.into_iter().find(|width| bins(*width) <= MAX_BINS).unwrap_or(36500 * DAY);
        let count = usize::try_from(bins(width_ns)).unwrap_or_default();
        Self { start_ns: first.div_euclid(width_ns) * width_ns, width_ns, counts: vec![0; count] }
    }

    /// Counts a record of this time; one outside the range is not counted.
    pub fn add(&mut self, time: StoreTime) {
        let bin = (i128::from(time.0) - self.start_ns).div_euclid(self.width_ns);
        if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.counts.get_mut(bin)) {
            *count += 1;
        }
    }

    /// Width of a bin in milliseconds.
    pub fn width_ms(&self) -> u64 {
        u64::try_from(self.width_ns / MS).unwrap_or(u64::MAX)
    }

    /// The bins, in order.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        (0..).zip(&self.counts).map(|(index, records)| {
            let from = self.start_ns + index * self.width_ns;
            // Only the first bin can begin before the first instant that there is.
            Bin { from: StoreTime(i64::try_from(from).unwrap_or(i64::MIN)), records: *records }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[i64]) -> Vec<(i64, u64)> {
        let range = times.iter().min().zip(times.iter().max());
        let mut histogram = Histogram::new(range.map(|(a, b)| (StoreTime(*a), StoreTime(*b))));
        times.iter().for_each(|time| histogram.add(StoreTime(*time)));
        histogram.bins().map(|bin| (bin.from.0, bin.records)).collect()
    }

    #[test]
    fn every_record_is_in_one_bin_and_bins_begin_at_whole_widths() {
        let hour = i64::try_from(HOUR).unwrap();
        let times: Vec<i64> = (0..19).map(|n| 7 + n * hour).collect();
        let bins = of(&times);
        assert_eq!(bins.len(), 19);
        assert!(bins.iter().all(|(from, records)| from % hour == 0 && *records == 1), "{bins:?}");
    }

    #[test]
    fn all_of_time_fits_and_so_does_an_instant() {
        let bins = of(&[i64::MIN + 1, 0, i64::MAX - 1]);
        assert!(bins.len() <= 20 && bins.iter().map(|(_, records)| records).sum::<u64>() == 3, "{bins:?}");
        assert_eq!(of(&[1_500_000]), [(1_000_000, 1)]);
        assert_eq!(of(&[]), []);
    }
}
