//! The first line of a backup.

use trstctl_formats::backup::{FormatVersion, Header, one_line};

use super::{Outcome, assert_same, refusal};

/// A header that is accepted spells itself: in version 2 as it stood there, in version 1 as it will always stand.
pub fn header(line: &[u8]) -> Outcome {
    let header = match one_line::header(line) {
        Ok(header) => header,
        Err(refused) => return refusal::of_line(line, refused),
    };
    let again = one_line::header_line(&header);
    assert_eq!(one_line::header(&again), Ok(header.clone()), "written again: {}", again.escape_ascii());
    if header.version == FormatVersion::V2 && !is_clamped(&header) {
        assert_same(&again, line);
    }
    Outcome::from(format!("{:?} {} {}", header.version, header.deployment_id.is_some(), is_clamped(&header)))
}

/// Whether the file may say an instant that is not within 64 bits of nanoseconds: it reads as the nearest one.
pub fn is_clamped(header: &Header) -> bool {
    matches!(header.created_at.0, i64::MIN | i64::MAX)
}
