//! The last line of a backup.

use trstctl_formats::backup::FormatVersion;
use trstctl_formats::backup::one_line::trailer_again;

use super::{Outcome, assert_same, refusal};

/// A trailer that is accepted is written again as it stood there; in version 1, which is read leniently, from the second
/// time on.
pub fn trailer(line: &[u8]) -> Outcome {
    let in_version_1 = of_version_1(line);
    let in_version_2 = of_version_2(line);
    Outcome::from(format!("{in_version_1} / {in_version_2}"))
}

fn of_version_1(line: &[u8]) -> Outcome {
    match trailer_again(FormatVersion::V1, line) {
        Err(refused) => refusal::of_line(line, refused),
        Ok(again) => {
            let again = again.expect("version 1 writes all that it reads");
            // Digests hold no escapes, and the writer writes no other text.
            if !line.contains(&b'\\') {
                assert_eq!(trailer_again(FormatVersion::V1, &again), Ok(Some(again.clone())));
            }
            Outcome::Borrowed("read")
        }
    }
}

fn of_version_2(line: &[u8]) -> Outcome {
    match trailer_again(FormatVersion::V2, line) {
        Err(refused) => refusal::of_line(line, refused),
        Ok(None) => Outcome::Borrowed("read, with another cut than its last sequence"),
        Ok(Some(again)) => {
            assert_same(&again, line);
            Outcome::Borrowed("read")
        }
    }
}
