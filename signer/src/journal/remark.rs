//! Words of a person that an entry keeps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of the longest remark.
const MAX_CHARACTERS: usize = 500;

/// A name or a reason: one line of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Remark(String);

/// What is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is one line of 1 to {MAX_CHARACTERS} characters, with something in it, and without control characters"
)]
pub struct BadRemark;

impl FromStr for Remark {
    type Err = BadRemark;

    fn from_str(text: &str) -> Result<Self, BadRemark> {
        let is_good = !text.trim().is_empty()
            && text.chars().count() <= MAX_CHARACTERS
            && !text
                .chars()
                .any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'));
        if is_good { Ok(Self(text.to_owned())) } else { Err(BadRemark) }
    }
}

impl TryFrom<String> for Remark {
    type Error = BadRemark;

    fn try_from(text: String) -> Result<Self, BadRemark> {
        text.parse()
    }
}

impl From<Remark> for String {
    fn from(remark: Remark) -> Self {
        remark.0
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_one_line_with_something_in_it() {
        for good in ["Ada", "the host burnt, \"quoted\"", "ü", &"a".repeat(MAX_CHARACTERS)] {
            assert_eq!(good.parse::<Remark>().map(|remark| remark.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "  ", "two\nlines", "a\u{1b}[0m", "a\u{2028}b", &"ü".repeat(MAX_CHARACTERS + 1)] {
            assert_eq!(bad.parse::<Remark>(), Err(BadRemark), "{bad:?}");
        }
    }
}
