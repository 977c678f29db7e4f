//! `trstctl-signer`: the process that holds the CA keys.

use std::process::ExitCode;

use clap::Parser;
use trstctl_signer::args::Cli;

fn main() -> ExitCode {
    match trstctl_signer::run(Cli::parse()) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("trstctl-signer: {fault}");
            ExitCode::FAILURE
        }
    }
}
