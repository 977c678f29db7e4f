//! A certification authority without the server, as in a recovery: keys, CA certificates and CRLs, asked of the signer on its socket.
//!
//! What is to be signed is built here, and what comes back is believed only when it is exactly that, with a signature that verifies.
//! `signer` asks, `key` is what it holds.

mod key;
mod signer;

pub use key::{Algorithm, Key, Purpose};
pub use signer::{Health, Signer};
