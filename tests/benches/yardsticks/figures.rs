//! Measured figures: several of each, with their median and spread.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What a figure counts, and which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// More is better.
    BytesPerSecond,
    /// More is better.
    EventsPerSecond,
    /// More is better.
    RowsPerSecond,
    /// More is better.
    SignaturesPerSecond,
    /// Less is better.
    Seconds,
    /// Less is better.
    Bytes,
}

/// The same thing measured several times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub unit: Unit,
    /// At least one, in the order in which they were measured.
    pub values: Vec<f64>,
}

impl Figures {
    /// One figure.
    pub fn once(unit: Unit, value: f64) -> Self {
        Self { unit, values: vec![value] }
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    /// Half of what lies between the lowest and the highest, as a share of the median.
    pub fn spread(&self) -> f64 {
        let lowest = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.values.iter().copied().fold(0.0, f64::max);
        (highest - lowest) / 2.0 / self.median()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.unit {
            Unit::BytesPerSecond => format!("{:.2} GB/s", self.median() / 1e9),
            Unit::EventsPerSecond if self.median() < 10e3 => format!("{:.1} k/s", self.median() / 1e3),
            Unit::EventsPerSecond => format!("{:.0} k/s", self.median() / 1e3),
            Unit::RowsPerSecond => format!("{:.0} k rows/s", self.median() / 1e3),
            Unit::SignaturesPerSecond => format!("{:.1} k signs/s", self.median() / 1e3),
            Unit::Seconds if self.median() < 0.01 => format!("{:.1} ms", self.median() * 1e3),
            Unit::Seconds if self.median() < 1.0 => format!("{:.0} ms", self.median() * 1e3),
            Unit::Seconds => format!("{:.2} s", self.median()),
            Unit::Bytes => format!("{:.1} MiB", self.median() / f64::from(1 << 20)),
        };
        f.write_str(&value)?;
        if self.values.len() > 1 { write!(f, " ±{:.0} %", self.spread() * 100.0) } else { Ok(()) }
    }
}

/// Seconds that some work takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// Measures yardstick and program in turn, after one run of each that warms caches and is not counted. The closures answer
/// figures of this unit.
pub fn alternate(
    unit: Unit,
    rounds: usize,
    mut yardstick: impl FnMut() -> f64,
    mut ours: impl FnMut() -> f64,
) -> (Figures, Figures) {
    yardstick();
    ours();
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(yardstick());
        own.push(ours());
    }
    (Figures { unit, values: theirs }, Figures { unit, values: own })
}
