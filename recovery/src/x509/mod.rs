//! Certificates and CRLs out of files, read to be held against keys: whose they are, and whose signature they carry.
//!
//! Nothing here says that a certificate is fit for anything: the signer's rules do, before it signs.

mod certificate;
mod crl;
pub(crate) mod file;
pub(crate) mod signature;

pub use certificate::Certificate;
pub use crl::Crl;
