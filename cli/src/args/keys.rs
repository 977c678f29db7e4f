//! `trstctl-dr keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `trstctl-dr keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Split a KEK or an age identity into shares for custodians
    Escrow(Escrow),
    /// Put shares together: to a key file, or only to show that they give the key
    Recover(Recover),
}

impl Keys {
    /// Its name in the JSON object.
    pub fn name(&self) -> &'static str {
        match self {
            Keys::Escrow(_) => "keys escrow",
            Keys::Recover(_) => "keys recover",
        }
    }
}

/// `trstctl-dr keys escrow`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("key").required(true).args(["kek", "identity"])))]
pub struct Escrow {
    /// Split the KEK in this file of 32 bytes
    #[arg(long, value_name = "FILE")]
    pub kek: Option<PathBuf>,
    /// Split the age identity in this file, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Make so many shares
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub shares: u8,
    /// So many of them are needed
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub threshold: u8,
    /// Write the shares into this new folder, as text and as sheets to print
    #[arg(long, short, value_name = "FOLDER")]
    pub output: PathBuf,
}

/// `trstctl-dr keys recover`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["check", "output"])))]
pub struct Recover {
    /// Files with shares, one a line [default: standard input]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only show that the shares give the key; write it nowhere
    #[arg(long)]
    pub check: bool,
    /// Write the key to this new file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Of a KEK: all sealed keys in this folder must name it
    #[arg(long, value_name = "DIR")]
    pub keystore: Option<PathBuf>,
    /// The key must be this one: a KEK's id, or an age recipient
    #[arg(long, value_name = "ID")]
    pub expect: Option<String>,
}
