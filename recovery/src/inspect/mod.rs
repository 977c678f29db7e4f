//! Inspect: what is in a backup, told only after all of it was verified.
//!
//! The second pass reads the same open file and hashes it again; what it says counts once it has ended well.

mod histogram;
mod selection;
mod survey;

use std::fs::File;
use std::io::{self, Write};

use trstctl_formats::backup::{Record, Verified};
use trstctl_formats::{Class, Failure};

pub use histogram::{Bin, Histogram};
pub use selection::{Selection, TypePattern};
pub use survey::{Count, Foreign, MAX_TYPES, Named, Survey, Tally};

use crate::progress::Progress;

/// Records between two looks at the operator.
const LOOK_EVERY: u64 = 4096;

/// How a stream of events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// All that were selected were written, and the file is still the one that was verified.
    All(u64),
    /// Whoever read them has read enough.
    ReaderGone,
}

/// Counts the selected records of a verified backup.
///
/// # Errors
/// `damaged` when the file changed after it was verified; `interrupted`.
pub fn survey(
    verified: &mut Verified<File>,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Survey, Failure> {
    let mut survey = Survey::new(verified.summary().time_range);
    each(verified, selection, progress, |record| {
        survey.add(record);
        Ok(())
    })?;
    Ok(survey)
}

/// Writes the selected records, each line as it stands in the backup.
///
/// # Errors
/// Those of [`survey`], and `output_failed`.
pub fn stream(
    verified: &mut Verified<File>,
    selection: &Selection,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<Streamed, Failure> {
    let mut written = 0;
    let mut reader_gone = false;
    let streamed = each(verified, selection, progress, |record| {
        written += 1;
        let line = out.write_all(record.line).and_then(|()| out.write_all(b"\n"));
        line.map_err(|error| unwritable(&error, &mut reader_gone))
    });
    let flushed = streamed.and_then(|()| out.flush().map_err(|error| unwritable(&error, &mut reader_gone)));
    if reader_gone { Ok(Streamed::ReaderGone) } else { flushed.map(|()| Streamed::All(written)) }
}

fn unwritable(error: &io::Error, reader_gone: &mut bool) -> Failure {
    *reader_gone |= error.kind() == io::ErrorKind::BrokenPipe;
    Failure::new(
        Class::OutputFailed,
        format!("the events cannot be written to standard output: {error}"),
        "Check where standard output goes, and its free space. What was written is not complete.",
    )
}

/// Calls with each selected record.
fn each(
    verified: &mut Verified<File>,
    selection: &Selection,
    progress: &dyn Progress,
    mut with: impl FnMut(&Record<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut records = verified.records()?;
    while let Some(record) = records.next()? {
        if record.number.is_multiple_of(LOOK_EVERY) {
            progress.done(record.number);
            if progress.interrupted() {
                return Err(stopped());
            }
        }
        if selection.takes(&record) {
            with(&record)?;
        }
    }
    Ok(())
}

fn stopped() -> Failure {
    Failure::new(
        Class::Interrupted,
        "stopped while the backup was read the second time",
        "Nothing was changed. Run the same command again.",
    )
}
