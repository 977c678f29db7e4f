//! A certification authority without the server, as in a recovery: keys, CA certificates and CRLs, asked of the signer on its socket.
//!
//! What is to be signed is built here, and what comes back is believed only when it is exactly that, with a signature that verifies.
//! `signer` asks, `key` is what it holds; `certificate` and `crl` build and check, of the parts in `subject`, `serial` and `document`.

mod certificate;
mod crl;
mod document;
#[cfg(test)]
mod fixture;
mod key;
mod serial;
mod signer;
mod subject;

pub use certificate::{CaCertificate, CaOptions, sign_intermediate, sign_root};
pub use crl::{Crl, CrlOptions, Reason, Revocation, sign_crl};
pub use key::{Algorithm, Key, Purpose};
pub use serial::{BadSerial, Serial};
pub use signer::{Health, Signer};
pub use subject::Subject;
