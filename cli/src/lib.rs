//! The command line of `trstctl-dr`.
//!
//! `args` defines it, `settings` adds configuration file and environment, each file of `commands` runs one command and
//! answers an `Outcome`, and only `outcome` prints it: text or one JSON object, and the exit code; `report` makes an HTML
//! page of that object.

mod address_space;
pub mod args;
mod commands;
mod connections;
pub mod manual;
mod outcome;
mod report;
pub mod settings;
mod terminal;
mod text;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, Parser};
use trstctl_formats::{Class, Failure};

use crate::args::Cli;
use crate::outcome::{Outcome, Shape};
use crate::report::ReportFile;

/// The definition of the command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let started = Instant::now();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    address_space::start_with_one_reserve(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments, started),
    };
    let shape = Shape { json: cli.global.json };
    let name = cli.command.name();
    let report = match cli.command.report().map(ReportFile::create).transpose() {
        Ok(report) => report.flatten(),
        Err(failure) => return Outcome::failed(failure).print(name, shape, started.elapsed()),
    };
    let outcome = own_faults_told(|| commands::run(cli)).unwrap_or_else(Outcome::failed);
    let outcome = match report {
        Some(report) => outcome.reported(report, name, started.elapsed()),
        None => outcome,
    };
    outcome.print(name, shape, started.elapsed())
}

/// A panic is a fault of this program, with the exit code of one; its place was told on standard error as it happened.
pub(crate) fn own_faults_told<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What a panic leaves behind is dropped unseen: nothing that it could have left half-done is used again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Failure::new(
            Class::Internal,
            "this program has a fault, and stopped where the lines above say",
            "Report it with those lines. What is unfinished is marked as such: the same command may be run again.",
        ))
    })
}

/// What clap says: help and version on standard output, a mistake on standard error, as JSON when that was asked for.
fn usage(error: &clap::Error, arguments: &[OsString], started: Instant) -> ExitCode {
    let json = arguments.iter().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::new(Class::Usage, first, "See trstctl-dr --help.");
        return Outcome::failed(failure).print("", Shape { json }, started.elapsed());
    }
    // Nothing to do when the terminal is gone.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Class::Usage.exit_code() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_an_internal_failure_with_its_own_exit_code() {
        let failure = own_faults_told::<()>(|| panic!("of the tests")).unwrap_err();
        assert_eq!((failure.class, failure.class.exit_code()), (Class::Internal, 10));
        assert_eq!(own_faults_told(|| Ok(7)).unwrap(), 7);
    }
}
