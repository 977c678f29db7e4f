//! The command line, as clap reads it; man pages and completions are made from it too.

mod keys;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use keys::{Certificate, Check, Crl, Escrow, Generate, Keys, List, Recover, SignerArgs, SigningArgs};

use crate::commands::Counts;

/// Backs up, verifies, restores and rebuilds a trstctl control plane.
#[derive(Debug, Parser)]
#[command(
    name = "trstctl-dr",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Read settings from this TOML file (environment variables win over it)
    #[arg(long, global = true, value_name = "FILE", env = "TRSTCTL_CONFIG_FILE")]
    pub config: Option<PathBuf>,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print one JSON object to standard output, words to standard error
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a backup of the event log to a file
    Backup(Backup),
    /// Check a backup from its first to its last byte; needs no server
    Verify(Verify),
    /// Tell what is in a backup, or stream its events; needs no server
    Inspect(Inspect),
    /// Show that an earlier backup is the beginning of a later one's history
    Prove(Prove),
    /// Put a backup into an empty log and prove that it is there
    Restore(Restore),
    /// Make the read model anew from the log, readers undisturbed
    Rebuild(Rebuild),
    /// Compare the read model with the log; with --repair, mend what differs
    Diff(Diff),
    /// Check on a calm day all that a recovery needs, writing nothing
    Doctor(Doctor),
    /// Audit that every table has a recovery class
    #[command(subcommand)]
    Manifest(Manifest),
    /// The signer's keys: make them and what they sign, escrow, recover
    #[command(subcommand)]
    Keys(Keys),
    /// Rehearse a disaster and its recovery on throw-away engines
    Demo(Demo),
    /// Print a completion script for a shell
    Completions(Completions),
}

impl Command {
    /// Its name in the JSON object.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Backup(_) => "backup",
            Command::Verify(_) => "verify",
            Command::Inspect(_) => "inspect",
            Command::Prove(_) => "prove",
            Command::Restore(_) => "restore",
            Command::Rebuild(_) => "rebuild",
            Command::Diff(_) => "diff",
            Command::Doctor(_) => "doctor",
            Command::Manifest(Manifest::Audit(_)) => "manifest audit",
            Command::Keys(keys) => keys.name(),
            Command::Demo(_) => "demo",
            Command::Completions(_) => "completions",
        }
    }

    /// The report that it is to write, of those that write one.
    pub fn report(&self) -> Option<&ReportArgs> {
        match self {
            Command::Verify(args) => Some(&args.report),
            Command::Restore(args) => Some(&args.report),
            Command::Demo(args) => Some(&args.report),
            _ => None,
        }
    }
}

/// `trstctl-dr backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// Write to this file [default: $TRSTCTL_BACKUP_DIR/trstctl-events-TIME.jsonl, TIME in UTC]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the output if it exists, once the new backup is whole
    #[arg(long)]
    pub force: bool,
    /// Show what would be done and how long it takes; write nothing
    #[arg(long)]
    pub plan: bool,
    /// Version of the format: 2 keeps every message exactly, 1 is for the Go implementation
    #[arg(long, value_name = "VERSION", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub format_version: u8,
    /// Take events up to this sequence only
    #[arg(long, value_name = "SEQ")]
    pub through: Option<u64>,
    /// Compress with zstd
    #[arg(long)]
    pub compress: bool,
    /// Encrypt to this age recipient (age1… or an SSH public key); may be repeated
    #[arg(long, value_name = "AGE")]
    pub recipient: Vec<String>,
    /// Accept a log that holds no event
    #[arg(long)]
    pub allow_empty: bool,
    /// Prove that the log extends this earlier backup or tree head [default: the head in the output's folder that reaches furthest]
    #[arg(long, value_name = "FILE")]
    pub after: Option<PathBuf>,
    /// Accept that the log does not extend the earlier backup, and record why
    #[arg(long, value_name = "REASON")]
    pub new_history: Option<String>,
    /// What to believe of the earlier backup; the new one is authenticated with the configured key.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// What this host may believe of a backup file.
#[derive(Debug, Default, Args)]
pub struct TrustArgs {
    /// Check authentication with this key file instead of the configured one
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Accept a keyed backup without its key, on its checksum alone
    #[arg(long)]
    pub allow_unverified_mac: bool,
    /// Accept a backup that carries no authentication
    #[arg(long)]
    pub allow_unkeyed: bool,
    /// Open an encrypted backup with this age identity or SSH private key; may be repeated
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

/// A report for people, besides what is printed.
#[derive(Debug, Default, Args)]
pub struct ReportArgs {
    /// Write a report to this file too, as one HTML page; also of a failure
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Replace the report if it exists
    #[arg(long, requires = "report")]
    pub force: bool,
}

impl ReportArgs {
    /// A report counts by tenant and type.
    pub fn counts(&self) -> Counts {
        if self.report.is_some() { Counts::Yes } else { Counts::No }
    }
}

/// `trstctl-dr verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Backup files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What to believe.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// A report.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `trstctl-dr inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// The backup file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// List every tenant and type, not only those with the most events
    #[arg(long, conflicts_with = "events")]
    pub all: bool,
    /// List so many tenants and types
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "events")]
    pub top: u32,
    /// Stream the events as JSON lines instead, each as it stands in the backup
    #[arg(long)]
    pub events: bool,
    /// Only of this tenant ("": foreign messages); may be repeated
    #[arg(long, value_name = "ID")]
    pub tenant: Vec<String>,
    /// Only of this type and those below it, or of a glob such as '*.created'; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Vec<String>,
    /// Only what was stored at this instant (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    pub since: Option<jiff::Timestamp>,
    /// Only what was stored at this instant or earlier
    #[arg(long, value_name = "TIME")]
    pub until: Option<jiff::Timestamp>,
    /// Only from this sequence on (version 1: number of the record)
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// Only up to this sequence
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// What to believe.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `trstctl-dr prove`
#[derive(Debug, Args)]
pub struct Prove {
    /// The earlier backup, or its tree head
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The later backup
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// What to believe of both.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `trstctl-dr restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also migrate PostgreSQL and rebuild the read model
    #[arg(long)]
    pub rebuild: bool,
    /// Verify, then show what would be done and how long it takes; write nothing
    #[arg(long)]
    pub plan: bool,
    /// With --rebuild: drop with the old read model what others have hung on it (views, grants, indexes …)
    #[arg(long, requires = "rebuild")]
    pub drop_additions: bool,
    /// How the log enters the server
    #[arg(long, value_enum, default_value = "archive")]
    pub method: Method,
    /// With --method publish: accept that events get new sequences where the backup has gaps
    #[arg(long)]
    pub accept_new_sequences: bool,
    /// Restore events up to this sequence only (version 1: this many)
    #[arg(long, value_name = "SEQ", conflicts_with = "until")]
    pub through: Option<u64>,
    /// Restore what was stored up to this instant only (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub until: Option<jiff::Timestamp>,
    /// Accept a backup of this other deployment
    #[arg(long, value_name = "ID")]
    pub from_deployment: Option<String>,
    /// What to believe.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// How much memory.
    #[command(flatten)]
    pub memory: Memory,
    /// A report.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// How much memory a rebuild may use.
#[derive(Debug, Args)]
pub struct Memory {
    /// Memory that a rebuild may use for rows, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub memory_mib: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self { memory_mib: 512 }
    }
}

impl Memory {
    /// In bytes.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.memory_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
    }
}

/// How a log enters the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// As one archive: same sequences, gaps and store times
    Archive,
    /// Message by message: cannot keep store times, nor sequences behind gaps
    Publish,
}

/// `trstctl-dr rebuild`
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Show what would be done and how long it takes; write nothing
    #[arg(long)]
    pub plan: bool,
    /// Drop with the old read model what others have hung on it (views, grants, indexes …)
    #[arg(long)]
    pub drop_additions: bool,
    /// How much memory.
    #[command(flatten)]
    pub memory: Memory,
}

/// `trstctl-dr diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// Make the rows that differ what the log makes of them, readers undisturbed, and list them
    #[arg(long)]
    pub repair: bool,
    /// How much memory.
    #[command(flatten)]
    pub memory: Memory,
    /// List at most so many differing keys of a table
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `trstctl-dr doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// How old the newest backup in $TRSTCTL_BACKUP_DIR may be, as 25h or 90m
    #[arg(long, value_name = "DURATION", default_value = "25h")]
    pub max_age: String,
}

/// `trstctl-dr manifest`
#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Compare the recovery classes with the migrations and a live database, both ways
    Audit(Audit),
}

/// `trstctl-dr manifest audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// Folder with the migrations [default: those built into this program]
    #[arg(long, value_name = "DIR")]
    pub migrations: Option<PathBuf>,
    /// The manifest [default: manifest.toml in the folder, else the one built in]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Compare with the catalog of this database too; the password comes from PGPASSWORD or PGPASSFILE
    #[arg(long, value_name = "DSN")]
    pub database: Option<String>,
    /// How to print the findings
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// The object that --json prints
    Json,
    /// JUnit XML, a test case a finding
    Junit,
    /// GitHub workflow annotations
    Github,
}

/// `trstctl-dr demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Events of the history
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub events: u64,
    /// Seed of the history: the same seed makes the same events
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// A report.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `trstctl-dr completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
