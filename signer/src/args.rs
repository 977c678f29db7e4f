//! The command line.

pub mod allow;
mod floor;

use std::path::PathBuf;

use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::serial::Serial;
use allow::Allow;
pub use floor::{Floor, FloorOf};

/// Holds sealed CA keys, and signs only what its journal allows.
#[derive(Parser, Debug)]
#[command(
    name = "trstctl-signer",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(flatten)]
    pub serve: Serving,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What serving takes, if no command was given: what the environment says of it is no reason to ask a command for the rest.
#[derive(Debug)]
pub struct Serving(pub Option<Serve>);

impl FromArgMatches for Serving {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let serve = matches.subcommand_name().is_none().then(|| Serve::from_arg_matches(matches));
        serve.transpose().map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Serving {
    fn augment_args(command: clap::Command) -> clap::Command {
        Serve::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Serve::augment_args_for_update(command)
    }
}

/// What serving takes.
#[derive(Args, Debug)]
pub struct Serve {
    /// Folder of the sealed keys and the journal; an empty one becomes a new key store
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
    /// File with the key that opens the sealed keys: 32 bytes
    #[arg(long, value_name = "FILE", env = "TRSTCTL_SIGNER_KEK")]
    pub kek: PathBuf,
    /// Unix socket to answer on, in a folder of this user alone
    #[arg(long, value_name = "PATH", env = "TRSTCTL_SIGNER_SOCKET", required_unless_present_any = ["check", "probe"])]
    pub socket: Option<PathBuf>,
    /// User that may connect, besides this one; may be repeated
    #[arg(long, value_name = "N", env = "TRSTCTL_SIGNER_ALLOW_UID", value_delimiter = ',')]
    pub allow_uid: Vec<u32>,
    /// User to become before anything is read, when root starts the signer; keys, KEK and socket must be its own
    #[arg(long, value_name = "NAME", env = "TRSTCTL_SIGNER_USER")]
    pub user: Option<String>,
    /// Refuse to start where the kernel lacks a protection, instead of saying so
    #[arg(long, env = "TRSTCTL_SIGNER_REQUIRE_HARDENING")]
    pub require_hardening: bool,
    /// Open and check every key and the journal, and exit
    #[arg(long)]
    pub check: bool,
    /// Print, as JSON, whether the KEK opens each key, also without a journal, and exit; nothing is written
    #[arg(long, conflicts_with = "check")]
    pub probe: bool,
    /// With --probe: say who signed or revoked this serial, in lower-case hexadecimal; may be repeated
    #[arg(long, value_name = "HEX", requires = "probe")]
    pub serial: Vec<Serial>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Seal every key again under a new KEK; run again after a crash, it goes on
    Rewrap(Rewrap),
    /// State the least that a CA or a log has signed, where the journal does not know it; begins a journal where there is none
    Floor(Floor),
    /// Lift one refusal of the journal, as may be needed after a recovery
    #[command(subcommand)]
    Allow(Allow),
    /// What the signers of a key store did
    #[command(subcommand)]
    Journal(JournalCommand),
}

#[derive(Subcommand, Debug)]
pub enum JournalCommand {
    /// Check that every entry follows from the one before, that keys and journal belong together, and published CRLs
    Verify(Verify),
    /// Print the entries, one a line
    Show(JournalArgs),
    /// Print what the entries say of each key, as one JSON document
    Export(JournalArgs),
}

#[derive(Args, Debug)]
pub struct JournalArgs {
    /// Folder of the sealed keys and the journal
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// Folder of the sealed keys and the journal
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
    /// Published CRL, DER or PEM, that the journal must know by its digest; its signature is not verified; may be repeated
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Rewrap {
    /// Folder of the sealed keys and the journal
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
    /// File with the KEK that the keys are sealed under
    #[arg(long, value_name = "FILE", env = "TRSTCTL_SIGNER_KEK")]
    pub kek: PathBuf,
    /// File with the KEK that is to take its place: 32 bytes
    #[arg(long, value_name = "FILE")]
    pub new_kek: PathBuf,
}
