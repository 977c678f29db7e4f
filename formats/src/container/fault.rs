//! How a container says that it is cut off or damaged: an error inside the `io::Error` of its reader.

use std::io;

use crate::{Class, Failure};

/// What is wrong with a container, found while its content was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ContainerFault {
    /// The kind of fault, which decides the class of the failure.
    pub kind: FaultKind,
    /// What was found, for a person: a sentence without its full stop.
    pub reason: String,
}

/// Kinds of faults of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file ends before its container does.
    Truncated,
    /// A checksum, an authentication tag or the structure does not hold.
    Damaged,
    /// The container is complete, and something follows it.
    Trailing,
}

impl FaultKind {
    /// The class of a failure of this kind.
    pub fn class(self) -> Class {
        match self {
            FaultKind::Truncated => Class::Truncated,
            FaultKind::Damaged => Class::Damaged,
            FaultKind::Trailing => Class::Inconsistent,
        }
    }
}

impl ContainerFault {
    pub(super) fn new(kind: FaultKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// The fault that a reader of a container put into its error; `None` when the source itself could not be read.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The failure for the person on call, without a place.
    pub fn to_failure(&self) -> Failure {
        let hint = match self.kind {
            FaultKind::Truncated => {
                "Fetch the file again, compare its size with the original, or take another backup."
            }
            FaultKind::Damaged => "Fetch the file again, or take another backup.",
            FaultKind::Trailing => {
                "A backup is one frame: find out what was appended to the file, and take the original one."
            }
        };
        Failure::new(self.kind.class(), format!("{}.", self.reason), hint)
    }
}

impl From<ContainerFault> for io::Error {
    fn from(fault: ContainerFault) -> Self {
        let kind = match fault.kind {
            FaultKind::Truncated => io::ErrorKind::UnexpectedEof,
            FaultKind::Damaged | FaultKind::Trailing => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, fault)
    }
}

impl From<ContainerFault> for Failure {
    fn from(fault: ContainerFault) -> Self {
        fault.to_failure()
    }
}
