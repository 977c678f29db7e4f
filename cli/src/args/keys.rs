//! `trstctl-dr keys`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use trstctl_recovery::authority::{Algorithm, Purpose};
use uuid::Uuid;

/// `trstctl-dr keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys that the signer holds, and tell how it is
    List(List),
    /// Have the signer make a key
    Generate(Generate),
    /// Split a KEK or an age identity into shares for custodians
    Escrow(Escrow),
    /// Put shares together: to a key file, or only to show that they give the key
    Recover(Recover),
    /// Before a restore: hold keys, certificates, CRLs and backups against each other
    Check(Check),
}

impl Keys {
    /// Its name in the JSON object.
    pub fn name(&self) -> &'static str {
        match self {
            Keys::List(_) => "keys list",
            Keys::Generate(_) => "keys generate",
            Keys::Escrow(_) => "keys escrow",
            Keys::Recover(_) => "keys recover",
            Keys::Check(_) => "keys check",
        }
    }
}

/// Where the signer is.
#[derive(Debug, Default, Args)]
pub struct SignerArgs {
    /// Unix socket of trstctl-signer [default: $TRSTCTL_SIGNER_SOCKET]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// `trstctl-dr keys list`
#[derive(Debug, Args)]
pub struct List {
    /// Where the signer is.
    #[command(flatten)]
    pub signer: SignerArgs,
}

/// `trstctl-dr keys generate`
#[derive(Debug, Args)]
pub struct Generate {
    /// Make a key of this algorithm; tree heads are signed by ed25519 only
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm())]
    pub algorithm: Algorithm,
    /// What the key may sign, for ever: certificates, crls (joined by a comma for a CA), or tree-heads alone
    #[arg(long, value_name = "PURPOSES", required = true, value_delimiter = ',', value_parser = purpose())]
    pub purpose: Vec<Purpose>,
    /// Call the key by this UUID [default: one made at random, and told before the request]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
    /// Where the signer is.
    #[command(flatten)]
    pub signer: SignerArgs,
}

fn algorithm() -> impl TypedValueParser<Value = Algorithm> {
    let named = |name: &str| Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name))
        .try_map(move |name| named(&name).ok_or("no algorithm"))
}

fn purpose() -> impl TypedValueParser<Value = Purpose> {
    let named = |name: &str| Purpose::ALL.into_iter().find(|purpose| purpose.name() == name);
    PossibleValuesParser::new(Purpose::ALL.map(Purpose::name))
        .try_map(move |name| named(&name).ok_or("no purpose"))
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

/// `trstctl-dr keys check`
#[derive(Debug, Args)]
pub struct Check {
    /// Folder of sealed keys and journal, or a copy of it; nothing is written there
    #[arg(long, value_name = "DIR")]
    pub keystore: PathBuf,
    /// The KEK that should open them
    #[arg(long, value_name = "FILE")]
    pub kek: PathBuf,
    /// Certificates of CAs whose keys should be there, PEM or DER; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub ca_certificate: Vec<PathBuf>,
    /// The newest CRL of each CA, PEM or DER; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub crl: Vec<PathBuf>,
    /// Some certificates that the CAs issued, PEM or DER; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub leaf: Vec<PathBuf>,
    /// Backups of the event log: the newest that is authenticated, the newest that is encrypted; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub backup: Vec<PathBuf>,
    /// The audit signing key, which authenticates backups
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Private keys that open encrypted backups: age identities, SSH private keys; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub identity: Vec<PathBuf>,
    /// Files and folders of the backup set: neither KEK nor audit key nor identities may lie in them; may be repeated
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub set: Vec<PathBuf>,
    /// The program trstctl-signer, which opens the keys [default: beside this program, else in PATH]
    #[arg(long, value_name = "PATH")]
    pub signer: Option<PathBuf>,
}
