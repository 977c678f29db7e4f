//! The journal: an append-only, chained file of what this key store's signers did.
//!
//! A line an entry, JSON, each with its number and the SHA-256 of the line before it. What an entry allows may leave the signer
//! only when the entry is durable: [`Journal::lock`] locks the file and reads what other signers of the same store have added, the
//! caller decides on the facts so far, and [`Locked::append`] appends and syncs before it returns.
//!
//! A second file, the head, says how far the journal goes, so that a journal that lost its end is noticed. What lies behind the
//! head's entry without a newline was never answered for: a crash left it, and the next entry takes its place. Any other fault
//! stops the signer. A missing journal beside an existing key store is an error, never a fresh start.

mod entry;
mod facts;
mod file;
mod head;

pub use entry::Act;
pub use facts::{Backwards, Facts, KeyFacts, TreeHead};
pub use file::{Access, Journal, JournalFault};
