//! Why a sealed key is not opened, for the person on call.

use super::{KekId, MAX_PLAINTEXT_BYTES, VERSION};
use crate::{Class, Failure};

/// Why a key is not sealed or opened. Displayed as what happened and what to do; holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {}", self.message(), self.hint())]
pub enum SealedKeyFault {
    /// The file is not what was written. It says nothing about KEKs.
    Damaged {
        /// Where, in bytes from 0: the field that does not hold, or the end of a file that is too short.
        offset: usize,
        /// What does not hold.
        what: Damage,
    },
    /// The file is whole, and sealed under another KEK.
    WrongKek {
        /// The KEK that the file names.
        file: KekId,
        /// The KEK that it was to be opened with.
        given: KekId,
    },
    /// The file is whole and names this KEK, and was not sealed with it: commitment or tag do not hold.
    Forged,
    /// The key is longer than [`MAX_PLAINTEXT_BYTES`]; nothing was sealed.
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// What does not hold in a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its first eight bytes.
    #[error("it does not begin as a sealed key does (`trstkey`)")]
    Magic,
    /// Its length, compared with the one that its length field makes, or with the least that there can be.
    #[error("it has {bytes} bytes where {expected} are expected")]
    Length {
        /// Bytes that the file has.
        bytes: usize,
        /// Bytes that it should have.
        expected: usize,
    },
    /// Its length field: no key is so long.
    #[error("it states a key of {0} bytes, and none has more than {MAX_PLAINTEXT_BYTES}")]
    TooLong(u32),
    /// Its SHA-256.
    #[error("its content does not have the checksum at its end")]
    Checksum,
    /// Its version, though the checksum holds.
    #[error("it has version {0}, and this program reads version {VERSION}")]
    Version(u16),
}

impl Damage {
    pub(super) fn at(self, offset: usize) -> SealedKeyFault {
        SealedKeyFault::Damaged { offset, what: self }
    }
}

impl SealedKeyFault {
    fn message(&self) -> String {
        match self {
            Self::Damaged { what: what @ Damage::Version(_), .. } => {
                format!("The sealed key file cannot be read: {what}.")
            }
            Self::Damaged { offset, what } => {
                format!("The sealed key file is damaged at byte {offset}: {what}.")
            }
            Self::WrongKek { file, given } => {
                format!("The key is sealed under the KEK {file}, and the KEK given is {given}.")
            }
            Self::Forged => String::from(
                "The sealed key file was changed by somebody: its checksum holds and it names this KEK, and it was not sealed \
                 with it as it is.",
            ),
            Self::TooLong { bytes } => {
                format!("A private key of {bytes} bytes cannot be sealed: at most {MAX_PLAINTEXT_BYTES} can.")
            }
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Damaged { what: Damage::Version(_), .. } => {
                "Use the release that wrote it, or a newer one; the file is whole."
            }
            Self::Damaged { .. } => {
                "Keep the file, and put the copy of it from the last backup in its place; the KEK has no part in this."
            }
            Self::WrongKek { .. } => {
                "Give the KEK with the id that the file names; the file is whole, and no other KEK opens it."
            }
            Self::Forged => {
                "Do not use the key. Keep the file for the investigation, find out who can write to the key store, and put the copy \
                 from the last backup in its place."
            }
            Self::TooLong { .. } => {
                "No key of a supported algorithm is so long: find out what was given as one. Nothing was sealed."
            }
        }
    }
}

impl From<SealedKeyFault> for Failure {
    fn from(fault: SealedKeyFault) -> Self {
        let (class, offset) = match fault {
            SealedKeyFault::Damaged { what: Damage::Version(_), offset } => {
                (Class::NewerVersion, Some(offset))
            }
            SealedKeyFault::Damaged { offset, .. } => (Class::Damaged, Some(offset)),
            SealedKeyFault::WrongKek { .. } => (Class::WrongKey, None),
            SealedKeyFault::Forged => (Class::Tampered, None),
            SealedKeyFault::TooLong { .. } => (Class::Usage, None),
        };
        let failure = Self::new(class, fault.message(), fault.hint());
        match offset {
            Some(offset) => failure.at_offset(offset as u64),
            None => failure,
        }
    }
}
