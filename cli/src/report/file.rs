//! The file of a report: refused before any work when it exists, visible only when it is whole.

use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;
use trstctl_formats::Failure;
use trstctl_recovery::output::{Existing, Output, failed};

use super::{Circumstances, page};
use crate::args::ReportArgs;

/// A report that will be written when its command has ended, well or not.
pub struct ReportFile {
    output: Output,
    path: PathBuf,
    started: Timestamp,
}

impl ReportFile {
    /// Begins the file that the arguments name, if they name one.
    pub fn create(args: &ReportArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.report else { return Ok(None) };
        let existing = if args.force { Existing::Replace } else { Existing::Refuse };
        let output = Output::create(path, existing)?;
        Ok(Some(Self { output, path: path.clone(), started: Timestamp::now() }))
    }

    /// Writes the page of the finished command's JSON object, and gives the file its name.
    pub fn publish(mut self, object: &Value) -> Result<PathBuf, Failure> {
        let circumstances =
            Circumstances { started: self.started, program_version: env!("CARGO_PKG_VERSION") };
        let page = page(object, &circumstances);
        let name = self.path.display().to_string();
        self.output.write_all(page.as_bytes()).map_err(|error| failed(&name, &error))?;
        self.output.publish()?;
        Ok(self.path)
    }
}
