//! The key of one encrypted file, heard while an identity opens it, so that the same file can be opened again.
//!
//! A verified backup is read twice, and must not keep the identities that open every other backup too.

use std::cell::RefCell;

use age::secrecy::ExposeSecret;
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use super::Identity;

/// The key that was heard last.
#[derive(Default)]
pub struct Heard(RefCell<Option<OneFile>>);

/// Opens the one file that has this key.
struct OneFile(Zeroizing<[u8; 16]>);

/// An identity that is listened to.
pub struct Listening<'a> {
    identity: &'a dyn age::Identity,
    heard: &'a Heard,
}

impl Heard {
    /// The same identity; what it opens will be heard.
    pub fn listen<'a>(&'a self, identity: &'a dyn age::Identity) -> Listening<'a> {
        Listening { identity, heard: self }
    }

    /// What opens the file again; nothing was heard when no file was opened.
    pub fn into_identity(self) -> Option<Identity> {
        self.0.into_inner().map(|key| Box::new(key) as Identity)
    }
}

impl age::Identity for Listening<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let key = self.identity.unwrap_stanza(stanza)?;
        if let Ok(key) = &key {
            *self.heard.0.borrow_mut() = Some(OneFile(Zeroizing::new(*key.expose_secret())));
        }
        Some(key)
    }
}

impl age::Identity for OneFile {
    /// Any recipient's part will do: the header's MAC tells whether it is this file.
    fn unwrap_stanza(&self, _stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        Some(Ok(FileKey::init_with_mut(|key| *key = *self.0)))
    }
}
