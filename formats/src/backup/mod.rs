//! The backup stream, versions 1 and 2 (`docs/format/backup.md`).
//!
//! Writing: [`Writer`]. Reading: [`verify`] reads a whole file and is the only maker of a [`Verified`], which alone
//! hands out the messages, and re-hashes what it reads from the same open file while it does.

mod blocks;
mod content;
mod header;
mod headers;
mod key;
mod limits;
mod lines;
mod messages;
#[doc(hidden)]
pub mod one_line;
mod record_v1;
mod record_v2;
mod records;
mod second_pass;
mod tenants;
mod trailer;
mod verify;
mod writer;

use crate::merkle::Blocks;
use crate::{Digest, StoreTime};

pub(crate) use record_v2::{push_integer, read_string};
pub(crate) use trailer::digest_of_hex;

pub use content::{Content, ContentFold, Leaves, Lines, gap};
pub use header::Header;
pub use key::BackupKey;
pub use limits::{MAX_GAP_RANGES, MAX_INTEGER, MAX_TENANTS};
pub use messages::Messages;
pub use records::{Record, Records};
pub use verify::{Allow, Cut, Glance, Purpose, Verified, VerifyOptions, glance, verify, verify_stream};
pub use writer::{WriteError, Writer};

/// Version of the backup stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormatVersion {
    /// Byte-compatible with the Go implementation in both directions; keeps events only.
    V1,
    /// Keeps every message exactly, gaps, Merkle root, authenticated trailer.
    V2,
}

/// What a whole file says, after verification or writing.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The header.
    pub header: Header,
    /// Checksum of the trailer.
    pub sha256: Digest,
    /// Records in the file.
    pub records: u64,
    /// Sequences, gaps and root as the file states them (`None` in version 1).
    pub content: Option<Content>,
    /// Roots over parts of the records (`None` in version 1).
    pub blocks: Option<Blocks>,
    /// Number of tenants; `None` in version 1, and when there are more than a trailer can say.
    pub tenants: Option<u64>,
    /// The trailer carries a MAC.
    pub keyed: bool,
    /// The MAC was checked with this host's key and holds.
    pub authenticated: bool,
    /// Earliest and latest store time (version 1: event time), `None` without records.
    pub time_range: Option<(StoreTime, StoreTime)>,
    /// Bytes of the plain stream.
    pub len_bytes: u64,
}
