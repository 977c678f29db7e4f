//! `trstctl-dr keys`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use trstctl_recovery::authority::{Algorithm, Purpose, Revocation};
use uuid::Uuid;

/// `trstctl-dr keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys that the signer holds, and tell how it is
    List(List),
    /// Have the signer make a key
    Generate(Generate),
    /// Have the signer sign the certificate of a CA
    Certificate(Certificate),
    /// Have the signer sign the next CRL of a CA
    Crl(Crl),
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
            Keys::Certificate(_) => "keys certificate",
            Keys::Crl(_) => "keys crl",
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

/// `trstctl-dr keys certificate`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("kind").required(true).args(["root", "intermediate"])))]
pub struct Certificate {
    /// Of a root: signed by its own key
    #[arg(long)]
    pub root: bool,
    /// Of an intermediate: signed by another CA
    #[arg(long, requires_all = ["issuer", "key"])]
    pub intermediate: bool,
    /// The key that signs: the root's own, or the issuer's
    #[arg(long, value_name = "ID")]
    pub ca: Uuid,
    /// The issuer's certificate, PEM or DER
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    pub issuer: Option<PathBuf>,
    /// The intermediate's own key
    #[arg(long, value_name = "ID", conflicts_with = "root")]
    pub key: Option<Uuid>,
    /// The CA's name as RFC 4514 writes it, such as "CN=Example Root,O=Example,C=NL"
    #[arg(long, value_name = "NAME")]
    pub subject: String,
    /// Valid for so many days [default: 3653 for a root; 1826 for an intermediate, but not longer than its issuer]
    #[arg(long, value_name = "N", value_parser = days())]
    pub days: Option<u32>,
    /// How many CAs may follow it [default: any number for a root, 0 for an intermediate]
    #[arg(long, value_name = "N")]
    pub path_len: Option<u8>,
    /// Write the certificate to this new file, as PEM
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// How it is asked for.
    #[command(flatten)]
    pub signing: SigningArgs,
}

/// `trstctl-dr keys crl`
#[derive(Debug, Args)]
pub struct Crl {
    /// The key of the CA
    #[arg(long, value_name = "ID")]
    pub ca: Uuid,
    /// The certificate of the CA, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub issuer: PathBuf,
    /// Go on from this CRL, PEM or DER: take over every entry, and the number after its
    #[arg(long, value_name = "FILE")]
    pub previous: Option<PathBuf>,
    /// Revoke the certificate of this serial (hexadecimal), for a reason such as keyCompromise; may be repeated
    #[arg(long, value_name = "SERIAL[:REASON]")]
    pub revoke: Vec<Revocation>,
    /// Give it this number [default: one more than the previous, 1 without one]
    #[arg(long, value_name = "N")]
    pub number: Option<u64>,
    /// The next CRL is due in so many days
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = days())]
    pub days: u32,
    /// Write the CRL to this new file: as DER when it ends in .crl or .der, as PEM when it ends in .pem
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// How it is asked for.
    #[command(flatten)]
    pub signing: SigningArgs,
}

/// What commands that have something signed share.
#[derive(Debug, Args)]
pub struct SigningArgs {
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Fencing number of the request [default: the newest that the signer knows]
    #[arg(long, value_name = "N")]
    pub epoch: Option<u64>,
    /// Where the signer is.
    #[command(flatten)]
    pub signer: SignerArgs,
}

/// A hundred years are enough.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_525)
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
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true).args(["output", "print"])))]
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
    pub output: Option<PathBuf>,
    /// Show the shares on this terminal, one after the other, each once; nothing but a terminal gets them
    #[arg(long)]
    pub print: bool,
    /// Put every set of as many shares as are needed together, from what was written, and demand the key of each; write it nowhere
    #[arg(long)]
    pub rehearse: bool,
    /// Of a KEK: all sealed keys in this folder must name it
    #[arg(long, value_name = "DIR", requires = "rehearse")]
    pub keystore: Option<PathBuf>,
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
