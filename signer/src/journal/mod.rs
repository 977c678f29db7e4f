//! The journal: an append-only, chained file of what this key store's signers did.
//!
//! A line an entry, JSON, each with its number and the SHA-256 of the line before it. What an entry allows may leave the signer
//! only when the entry is durable: [`Journal::lock`] locks the file and reads what other signers of the same store have added, the
//! caller decides on the facts so far and stages acts ([`Locked::stage`]), and [`Locked::commit`] appends them all and syncs once before it
//! returns.
//!
//! A second file, the head, says how far the journal goes, so that a journal that lost its end is noticed. What lies behind the
//! head's entry was never answered for: a crash left it, and from the first line that does not hold, the next entry takes its place. Any
//! other fault stops the signer. A missing journal beside an existing key store is an error, never a fresh start: a person begins another
//! by `floor`, with what is known of each CA from elsewhere.

mod authority;
mod entry;
mod facts;
mod file;
mod head;
mod remark;

pub use authority::{Authority, Contradiction, CrlClaim};
pub use entry::{Act, Entry, MAX_REVOKED, MAX_USED, UsedSerial};
pub use facts::{Backwards, Facts, KeyFacts, Sealing, TreeHead};
pub use file::{Access, Journal, JournalFault, Locked};
pub use remark::Remark;
