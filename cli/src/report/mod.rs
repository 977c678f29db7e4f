//! The report of a command as one HTML page: for the file of an auditor, and for the person who reads it in ten years.
//!
//! It is a view of the object that `--json` prints, and computes nothing: what is not in that object is not in the report. The
//! page is complete in itself: no script, no font, no image from elsewhere, and it says so to the browser. Every text goes
//! through [`html::escaped`], since tenant ids and file names are written by others.

mod checked;
mod counts;
mod facts;
mod file;
mod html;
mod page;
mod timeline;
mod verdict;

pub use file::ReportFile;
pub use page::page;

use jiff::Timestamp;

/// What the page says besides the result.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// When the command began.
    pub started: Timestamp,
    /// Version of this program.
    pub program_version: &'static str,
}
