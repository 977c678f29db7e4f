//! What `floor` takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args};

use crate::journal::{Remark, TreeHead};
use crate::key_id::KeyId;
use crate::tree_head::LogName;

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("of").required(true).args(["ca", "log"])))]
pub struct Floor {
    /// Folder of the sealed keys and the journal
    #[arg(long, value_name = "DIR", env = "TRSTCTL_SIGNER_KEYSTORE")]
    pub keystore: PathBuf,
    /// File with the KEK that the keys are sealed under
    #[arg(long, value_name = "FILE", env = "TRSTCTL_SIGNER_KEK")]
    pub kek: PathBuf,
    /// The CA, by the id of its key
    #[arg(long, value_name = "ID", requires = "crl_number")]
    pub ca: Option<KeyId>,
    /// Greatest number of a CRL that the CA has signed, 0 when none: the next is above it
    #[arg(long, value_name = "N", requires = "ca")]
    pub crl_number: Option<u64>,
    /// File with serials that the CA has used, one a line: SERIAL NOT-AFTER revoked, the last two where they are so
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub serials: Option<PathBuf>,
    /// The log whose heads a key of this store signs
    #[arg(long, value_name = "NAME", requires_all = ["tree_size", "root"])]
    pub log: Option<LogName>,
    /// Records of the log's last signed head, 0 when none was signed
    #[arg(long, value_name = "N", requires = "log")]
    pub tree_size: Option<u64>,
    /// Root of that head, hexadecimal
    #[arg(long, value_name = "HEX", requires = "log")]
    pub root: Option<Root>,
    /// Newest epoch that anything was signed with: leaders with an older one are refused
    #[arg(long, value_name = "N")]
    pub epoch: Option<u64>,
    /// Who states this; kept in the journal
    #[arg(long, value_name = "NAME")]
    pub by: Remark,
    /// From which evidence, and why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub reason: Remark,
}

/// A root of 32 bytes, as an argument.
#[derive(Clone, Copy, Debug)]
pub struct Root(pub [u8; 32]);

impl FromStr for Root {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut root = [0; 32];
        hex::decode_to_slice(text, &mut root).map(|()| Self(root))
    }
}

/// Whose floor.
#[derive(Clone, Debug)]
pub enum FloorOf {
    /// A CA's.
    Ca {
        /// Its key.
        key_id: KeyId,
        /// The greatest number of its CRLs.
        crl_number: u64,
    },
    /// A log's: its last head.
    Log(LogName, TreeHead),
}

impl Floor {
    /// Whose floor is set, and where.
    pub fn of(&self) -> FloorOf {
        match (self.ca, self.crl_number, &self.log, self.tree_size, self.root) {
            (Some(key_id), Some(crl_number), None, ..) => FloorOf::Ca { key_id, crl_number },
            (None, _, Some(log), Some(tree_size), Some(Root(root))) => {
                FloorOf::Log(log.clone(), TreeHead { tree_size, root })
            }
            _ => unreachable!("a CA with a number, or a log with a head, is required"),
        }
    }
}
