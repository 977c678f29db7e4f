//! The bytes and types of trstctl: event envelope, backup stream and its tree head, stream archive, sealed key, shares of a key.
//!
//! Everything here is synchronous and works on `Read`, `Write` and `Seek`: no network, no clock, no file system.
//! What was checked is another type than what was not: only [`backup::verify`] makes a [`backup::Verified`].
#![deny(missing_docs)]

pub mod archive;
pub mod backup;
mod base64;
pub mod container;
mod digest;
mod envelope;
pub mod event;
mod failure;
pub mod head;
pub mod history;
mod json;
pub mod key_share;
pub mod merkle;
mod message;
mod rfc3339;
pub mod sealed_key;
mod stored_form;

pub use digest::Digest;
pub use failure::{Class, Failure, Place};
pub use message::{StoreTime, StoredMessage};
