//! The targets, a file a reader.

mod authority;
mod certificate_request;
mod container;
mod crl_request;
mod header;
mod issuer_certificate;
mod journal;
mod key_share;
mod manifest;
mod migrations;
mod nats_connection;
mod projection;
mod record_v1;
mod record_v2;
mod refusal;
mod sealed_key;
mod small_request;
mod stored_message;
mod trailer;
mod tree_head;
mod whole;

use std::borrow::Cow;

pub use certificate_request::certificate_request;
pub use container::container;
pub use crl_request::crl_request;
pub use header::header;
pub use issuer_certificate::issuer_certificate;
pub use journal::journal;
pub use key_share::key_share;
pub use manifest::manifest;
pub use migrations::migrations;
pub use nats_connection::nats_connection;
pub use projection::projection;
pub use record_v1::record_v1;
pub use record_v2::record_v2;
pub use sealed_key::sealed_key;
pub use small_request::small_request;
pub use stored_message::stored_message;
pub use trailer::trailer;
pub use tree_head::tree_head;
pub use whole::{whole_v1, whole_v2};

/// Demands that bytes are those that they were made of.
fn assert_same(again: &[u8], before: &[u8]) {
    assert!(again == before, "written again:\n{}\nbefore:\n{}", again.escape_ascii(), before.escape_ascii());
}

/// The shape of what came of an input, in words: inputs with the same one went about the same way.
pub type Outcome = Cow<'static, str>;
