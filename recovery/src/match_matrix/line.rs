//! One line of the matrix: what was held against what, how it ended, what was found, what to do.

use serde::Serialize;
use trstctl_formats::Failure;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They belong together.
    Ok,
    /// They do not; the line says what to do next.
    Failed,
    /// It was not looked at; the line says what would make it checkable.
    NotChecked,
}

/// A finished check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name, which does not change between releases.
    pub check: &'static str,
    /// What it is about: a key id, a file.
    pub subject: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do next, or what would make it checkable; empty when there is nothing.
    pub to_do: String,
}

impl Line {
    /// They belong together.
    pub fn ok(check: &'static str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        let (subject, found) = (subject.into(), found.into());
        Self { check, subject, verdict: Verdict::Ok, found, to_do: String::new() }
    }

    /// They do not.
    pub fn failed(
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self {
            check,
            subject: subject.into(),
            verdict: Verdict::Failed,
            found: found.into(),
            to_do: to_do.into(),
        }
    }

    /// Nothing could be looked at.
    pub fn not_checked(
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::NotChecked, ..Self::failed(check, subject, found, to_do) }
    }

    /// What failed, in the words of the failure.
    pub fn of_failure(check: &'static str, subject: impl Into<String>, failure: &Failure) -> Self {
        Self::failed(check, subject, failure.message.clone(), failure.hint.clone())
    }
}
