//! One promised number: what, against which yardstick, how far it must reach, and what limits it.

use serde::{Deserialize, Serialize};

use crate::figures::Figures;

/// A measured row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Name of the entry that measured it.
    #[serde(default)]
    pub name: String,
    /// What is measured, with its size.
    pub what: String,
    /// What it is compared with; `None` when the bar is an absolute one.
    pub yardstick: Option<Yardstick>,
    /// This program's figures.
    pub ours: Figures,
    pub reach: Reach,
    /// What keeps it from being better, from a profile.
    pub limit: String,
}

/// Something else that does the least that must be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Yardstick {
    pub name: String,
    pub figures: Figures,
}

/// The bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reach {
    /// This share of the yardstick's rate, or more.
    AtLeastTimes(f64),
    /// This many times the yardstick's figure, or less.
    AtMostTimes(f64),
    /// This figure, in the row's unit, or more.
    AtLeast(f64),
    /// This figure, in the row's unit, or less.
    AtMost(f64),
    /// No bar: told for what it explains.
    Told,
}

impl Row {
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Ours as a multiple of the yardstick's.
    pub fn ratio(&self) -> Option<f64> {
        self.yardstick.as_ref().map(|yardstick| self.ours.median() / yardstick.figures.median())
    }

    /// Whether the bar is reached; `None` without a bar.
    pub fn is_reached(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.reach {
            Reach::AtLeastTimes(bar) => Some(ratio >= bar),
            Reach::AtMostTimes(bar) => Some(ratio <= bar),
            // Of an absolute bar the worst figure counts.
            Reach::AtLeast(bar) => Some(self.ours.values.iter().all(|value| *value >= bar)),
            Reach::AtMost(bar) => Some(self.ours.values.iter().all(|value| *value <= bar)),
            Reach::Told => None,
        }
    }

    /// The bar in words.
    pub fn bar(&self) -> String {
        match self.reach {
            Reach::AtLeastTimes(bar) => format!("≥ {bar}x"),
            Reach::AtMostTimes(bar) => format!("≤ {bar}x"),
            Reach::AtLeast(bar) => format!("≥ {}", Figures::once(self.ours.unit, bar)),
            Reach::AtMost(bar) => format!("≤ {}", Figures::once(self.ours.unit, bar)),
            Reach::Told => String::new(),
        }
    }
}
