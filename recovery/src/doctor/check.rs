//! One check: its name, how it ended, what was found, what to do.

use serde::Serialize;
use trstctl_formats::Failure;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It could not be looked at; the check says why.
    NotChecked,
    /// A recovery would work, and a person should know this.
    Warning,
    /// A recovery, or the next backup, would fail or lose something.
    Problem,
}

/// A finished check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which does not change between releases.
    pub name: &'static str,
    /// How it ended.
    pub state: State,
    /// What was found, or why nothing could be.
    pub found: String,
    /// What to do; empty when there is nothing.
    pub to_do: String,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found, "")
    }

    /// A person should know this.
    pub fn warning(name: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self::new(name, State::Warning, found, to_do)
    }

    /// This must be mended before the day it is needed.
    pub fn problem(name: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self::new(name, State::Problem, found, to_do)
    }

    /// Nothing could be looked at.
    pub fn not_checked(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, State::NotChecked, why, "")
    }

    /// What failed is a problem, in the words of the failure.
    pub fn failed(name: &'static str, failure: &Failure) -> Self {
        Self::problem(name, failure.message.clone(), failure.hint.clone())
    }

    fn new(name: &'static str, state: State, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), to_do: to_do.into() }
    }
}
