//! The text that is signed for the head of a log's Merkle tree: a C2SP checkpoint (docs/format/signed-tree-head.md).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::journal::TreeHead;

/// Characters of the longest name of a log.
const MAX_NAME: usize = 128;

/// Which log, the origin of its checkpoints: printable ASCII without space, so that no name can be taken for another line, and
/// without a plus sign, which a name in a signed note must not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogName(String);

/// A name that no log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a log has 1 to {MAX_NAME} printable ASCII characters, no space and no plus sign")]
pub struct BadLogName;

impl FromStr for LogName {
    type Err = BadLogName;

    fn from_str(name: &str) -> Result<Self, BadLogName> {
        let is_good = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
        if is_good { Ok(Self(name.to_owned())) } else { Err(BadLogName) }
    }
}

impl TryFrom<String> for LogName {
    type Error = BadLogName;

    fn try_from(name: String) -> Result<Self, BadLogName> {
        name.parse()
    }
}

impl From<LogName> for String {
    fn from(name: LogName) -> Self {
        name.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is signed.
pub fn text(log: &LogName, head: &TreeHead) -> Vec<u8> {
    format!("{log}\n{}\n{}\n", head.tree_size, BASE64_STANDARD.encode(head.root)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_log_can_end_its_line() {
        for bad in ["", "a b", "a+b", "a\n", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(bad.parse::<LogName>(), Err(BadLogName), "{bad:?}");
        }
        assert!("a".repeat(128).parse::<LogName>().is_ok());
    }
}
