//! The signer's protocol: what the checked-in `signer.proto` defines, a client over its Unix socket, and what `--probe` prints.

mod client;
pub mod probe;

pub use client::{Client, ConnectError, CrlClient, MAX_CRL_MESSAGE_BYTES, connect, connect_for_crls};

/// What `signer.proto` defines, as Rust types; its comments are theirs.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::too_many_lines)]
pub mod v1 {
    tonic::include_proto!("trstctl.signer.v1");
}

/// The metadata entry that names why a call was refused; its words stand in `signer.proto`.
pub const REFUSAL: &str = "trstctl-refusal";

/// What a key signs to show that the signer holds it: no certificate, CRL or tree head begins like this.
pub fn probe_text(nonce: &[u8]) -> Vec<u8> {
    [&[0x20; 64][..], b"trstctl/signer/probe/v1\0", nonce].concat()
}
