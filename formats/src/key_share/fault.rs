//! Why shares are not made, not read, or give nothing, for the person at the table.

use super::{KeyTag, MAX_SHARES, SetId, TEXT_CHARACTERS, VERSION};
use crate::{Class, Failure};

/// What is wrong with a share, or with several together. Displayed as what happened; holds no secret, and nothing that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// A number of shares, or of those needed, that is not offered.
    #[error(
        "{shares} shares of which {threshold} are needed cannot be made: at least 2 are needed, and at most {MAX_SHARES} made"
    )]
    Quorum {
        /// How many there should be.
        shares: u8,
        /// How many should be needed.
        threshold: u8,
    },
    /// A file that is to be split as an identity.
    #[error("the file does not hold exactly one age identity (AGE-SECRET-KEY-1…)")]
    NotOneIdentity,
    /// It does not begin as shares do.
    #[error("this is not a share of a key: one begins with TK1 (a KEK) or TI1 (an age identity)")]
    NotAShare,
    /// Characters are missing, or too many.
    #[error("the share has {characters} characters without its spaces, and {TEXT_CHARACTERS} are expected")]
    Length {
        /// How many there are.
        characters: usize,
    },
    /// Its checksum does not hold.
    #[error("the share is not typed as it was printed: its checksum does not hold{}", place(*character))]
    Typing {
        /// The wrong character, from 1 and without spaces, where it is one alone.
        character: Option<usize>,
    },
    /// A newer version.
    #[error("the share has version {0}, and this program reads version {VERSION}")]
    Version(u8),
    /// Nothing was given.
    #[error("no share was given")]
    None,
    /// Fewer than are needed.
    #[error(
        "{given} of the {needed} shares that are needed were given; a share that is given twice counts once"
    )]
    TooFew {
        /// Different shares.
        given: usize,
        /// The threshold.
        needed: usize,
    },
    /// Shares of two keys.
    #[error("share {index} is one of the key {other}, and the first share given one of the key {first}")]
    OtherKey {
        /// Its number.
        index: u8,
        /// The first share's key.
        first: KeyTag,
        /// Its own.
        other: KeyTag,
    },
    /// Shares of one key from two splittings.
    #[error(
        "share {index} belongs to the set {other}, and the first share given to the set {first}: the same key, split twice"
    )]
    OtherSet {
        /// Its number.
        index: u8,
        /// The first share's set.
        first: SetId,
        /// Its own.
        other: SetId,
    },
    /// As many as are needed, and not the key.
    #[error(
        "the shares do not give the key that they name: at least one of them is not what was made, though its checksum holds"
    )]
    WrongSecret,
    /// Others give the key, and this one does not.
    #[error(
        "share {index} is not what was made, though its checksum holds: other shares give the key without it, not with it"
    )]
    WrongShare {
        /// Its number.
        index: u8,
    },
}

fn place(character: Option<usize>) -> String {
    match character {
        Some(character) => format!(
            ". If one character alone is wrong, it is number {character}, in group {} of five",
            character.div_ceil(5)
        ),
        None => String::from(", and more than one character is wrong"),
    }
}

impl ShareFault {
    fn class(self) -> Class {
        match self {
            Self::Quorum { .. } | Self::NotOneIdentity => Class::Usage,
            Self::Version(_) => Class::NewerVersion,
            Self::NotAShare | Self::Length { .. } | Self::Typing { .. } => Class::Damaged,
            Self::OtherSet { .. } => Class::Inconsistent,
            Self::None | Self::TooFew { .. } => Class::KeyMissing,
            Self::OtherKey { .. } => Class::WrongKey,
            Self::WrongSecret | Self::WrongShare { .. } => Class::Tampered,
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Quorum { .. } => {
                "Take 5 and 3: two shares may be lost, and no two custodians have the key."
            }
            Self::NotOneIdentity => {
                "Name a file written by age-keygen that holds one identity; an SSH key cannot be split."
            }
            Self::Version(_) => "Use the release that made it, or a newer one; the share is whole.",
            Self::NotAShare | Self::Length { .. } => {
                "Give one share a line, whole; spaces and the case of letters do not matter."
            }
            Self::Typing { .. } => "Compare it with the sheet, group by group, or scan its code.",
            Self::OtherSet { .. } => {
                "Ask for shares that carry the same set on their sheets; those of a set that was replaced are to be destroyed."
            }
            Self::None | Self::TooFew { .. } => {
                "Ask more custodians: their sheets name the key, the set and how many are needed."
            }
            Self::OtherKey { .. } => "Ask for shares that name the same key on their sheets.",
            Self::WrongSecret => {
                "Try other shares of the set: with one more than needed, each of them is checked."
            }
            Self::WrongShare { .. } => {
                "Recover with the other shares, keep this one for the investigation, and split the key anew."
            }
        }
    }
}

impl From<ShareFault> for Failure {
    fn from(fault: ShareFault) -> Self {
        Self::new(fault.class(), fault.to_string(), fault.hint())
    }
}
