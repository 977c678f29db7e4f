//! Shares of a key: a KEK or an age identity split for custodians, as text that is printed and typed (`docs/format/key-share.md`).
//!
//! Too few shares, or shares that do not belong together, give a wrong secret without an error: Shamir's scheme cannot tell. So each
//! share names its key and its set, and [`combine`] answers only a secret that has the name.

mod fault;
mod secret;
mod split;
mod text;

use std::fmt;

use zeroize::Zeroizing;

pub use fault::ShareFault;
pub use secret::{Kind, Secret};
pub use split::{MAX_SHARES, Quorum, combine, split};

/// The version that is written and read.
///
/// 1: the first.
pub const VERSION: u8 = 1;
/// A share's text, without spaces.
pub const TEXT_CHARACTERS: usize = 85;

/// One custodian's share. It is a secret: wiped on drop, never printed but by [`Share::text`].
#[derive(Clone)]
pub struct Share {
    kind: Kind,
    tag: KeyTag,
    set: SetId,
    threshold: u8,
    index: u8,
    value: Zeroizing<[u8; 32]>,
}

impl Share {
    /// What the shares give together.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which key they give.
    pub fn tag(&self) -> KeyTag {
        self.tag
    }

    /// Which splitting of that key it comes from.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// How many shares are needed.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Its number in the set, from 1.
    pub fn index(&self) -> u8 {
        self.index
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {} {}, set {})", self.index, self.kind, self.tag, self.set)
    }
}

/// Names a key in its shares: the beginning of a kek_id, or of the SHA-256 of an age recipient's text. Lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyTag(pub [u8; 8]);

/// Names one splitting of a key, at random: shares of two splittings do not go together. Lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetId(pub [u8; 4]);

impl fmt::Display for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
