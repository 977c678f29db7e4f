//! What `allow` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::floor::Root;
use crate::journal::Remark;
use crate::key_id::KeyId;
use crate::serial::Serial;
use crate::tree_head::LogName;

/// What is allowed, though the journal refuses it.
#[derive(Subcommand, Debug)]
pub enum Allow {
    /// The next CRL of a CA may have this number, though it is not above the last
    CrlNumber(Allowed<CrlNumber>),
    /// CRLs of a CA may leave out this revoked serial, whose certificate is then valid again; used it stays
    DroppedSerial(Allowed<DroppedSerial>),
    /// The next head of a log may be this one, though it is smaller than the last, or has another root
    TreeHead(Allowed<Head>),
    /// The next that asks may have this epoch, though it is older than the newest
    Epoch(Allowed<Epoch>),
}

/// Where, what, and who allows it.
#[derive(Args, Debug)]
pub struct Allowed<What: Args> {
    /// Folder of the sealed keys and the journal
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
    #[command(flatten)]
    pub what: What,
    /// Who allows it; kept in the journal
    #[arg(long, value_name = "NAME")]
    pub by: Remark,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub reason: Remark,
}

#[derive(Args, Debug)]
pub struct CrlNumber {
    /// The CA, by the id of its key
    #[arg(long, value_name = "ID")]
    pub ca: KeyId,
    /// The number, no other
    #[arg(long, value_name = "N")]
    pub number: u64,
}

#[derive(Args, Debug)]
pub struct DroppedSerial {
    /// The CA, by the id of its key
    #[arg(long, value_name = "ID")]
    pub ca: KeyId,
    /// The serial, lower-case hexadecimal
    #[arg(long, value_name = "HEX")]
    pub serial: Serial,
}

#[derive(Args, Debug)]
pub struct Head {
    /// The log
    #[arg(long, value_name = "NAME")]
    pub log: LogName,
    /// Records, no other number
    #[arg(long, value_name = "N")]
    pub tree_size: u64,
    /// Root, hexadecimal, no other
    #[arg(long, value_name = "HEX")]
    pub root: Root,
}

#[derive(Args, Debug)]
pub struct Epoch {
    /// The epoch, no other
    #[arg(long, value_name = "N")]
    pub epoch: u64,
}
