//! The mark of a restored stream that nobody has read back yet: its description says so, and append and server refuse it.
//!
//! The mark names the root of what the restore makes, so that a later run of the same command knows its own unfinished
//! work and may take it up; a stream with any other description is never touched.

use trstctl_formats::Digest;

const BEFORE: &str = "trstctl restore ";
const AFTER: &str = ": unverified";

/// Description of a stream that a restore of this root made and has not read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub Digest);

impl Mark {
    /// The mark in a stream's description, if it is one.
    pub fn parse(description: &str) -> Option<Self> {
        let root = description.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
        let mut bytes = [0; 32];
        let lower = !root.bytes().any(|byte| byte.is_ascii_uppercase());
        (lower && hex::decode_to_slice(root, &mut bytes).is_ok()).then_some(Self(Digest(bytes)))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{BEFORE}{}{AFTER}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_from_its_text() {
        let mark = Mark(Digest([0xab; 32]));
        assert_eq!(mark.to_string(), format!("trstctl restore {}: unverified", "ab".repeat(32)));
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
    }

    #[test]
    fn another_description_is_no_mark() {
        let upper = format!("trstctl restore {}: unverified", "AB".repeat(32));
        let short = format!("trstctl restore {}: unverified", "ab".repeat(31));
        for text in ["", "orders of the shop", "trstctl restore : unverified", &upper, &short] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
