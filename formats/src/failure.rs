//! What a failure of any command says: its class (which fixes the exit code), what happened, where, and what to do.

use std::fmt;

/// The class of a failure, as in `error.class` of `--json` (`docs/format/backup.md`, "Verdicts", for those of a file).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Done, and something needs a person: drift, faults, an unclassified table.
    Findings,
    /// Arguments, configuration, a bad range, a file that is not there, an output that exists.
    Usage,
    /// Not a backup of ours.
    NotABackup,
    /// A backup that only a newer program reads.
    NewerVersion,
    /// The file ends too early.
    Truncated,
    /// The checksum does not hold, or header or trailer are against the grammar.
    Damaged,
    /// The checksum holds, and a line is against the grammar.
    MalformedRecord,
    /// The checksum holds, and counts, order, gaps, roots or cut do not.
    Inconsistent,
    /// The target was written and is not what was verified.
    ReadbackDiffers,
    /// The authentication does not hold.
    Tampered,
    /// The backup is keyed, and this host has no key.
    KeyMissing,
    /// The backup is keyed with another key.
    WrongKey,
    /// The backup is not keyed, and this host expects one that is.
    Unkeyed,
    /// The target holds something; nothing was changed by this run.
    TargetNotEmpty,
    /// The target holds something else than the backup; nothing was changed by this run.
    TargetDiffers,
    /// The log does not extend the history of an earlier backup.
    HistoryDiffers,
    /// NATS, PostgreSQL or the signer does not answer.
    Unreachable,
    /// NATS, PostgreSQL or the signer answers, and refuses.
    Refused,
    /// There is no such stream.
    NoStream,
    /// The stream holds no message.
    EmptyLog,
    /// The output could not be written.
    OutputFailed,
    /// Stopped by a signal; the same command resumes.
    Interrupted,
    /// Our fault.
    Internal,
}

impl Class {
    /// The documented exit code of the class.
    pub fn exit_code(self) -> u8 {
        use Class::*;
        match self {
            Findings => 1,
            Usage => 2,
            NotABackup | NewerVersion => 3,
            Truncated | Damaged | MalformedRecord | Inconsistent | ReadbackDiffers => 4,
            Tampered => 5,
            KeyMissing | WrongKey | Unkeyed => 6,
            TargetNotEmpty | TargetDiffers | HistoryDiffers => 7,
            Unreachable | Refused | NoStream | EmptyLog | OutputFailed => 8,
            Interrupted => 9,
            Internal => 10,
        }
    }

    /// The name in `error.class`.
    pub fn name(self) -> &'static str {
        use Class::*;
        match self {
            Findings => "findings",
            Usage => "usage",
            NotABackup => "not_a_backup",
            NewerVersion => "newer_version",
            Truncated => "truncated",
            Damaged => "damaged",
            MalformedRecord => "malformed_record",
            Inconsistent => "inconsistent",
            ReadbackDiffers => "readback_differs",
            Tampered => "tampered",
            KeyMissing => "key_missing",
            WrongKey => "wrong_key",
            Unkeyed => "unkeyed",
            TargetNotEmpty => "target_not_empty",
            TargetDiffers => "target_differs",
            HistoryDiffers => "history_differs",
            Unreachable => "unreachable",
            Refused => "refused",
            NoStream => "no_stream",
            EmptyLog => "empty_log",
            OutputFailed => "output_failed",
            Interrupted => "interrupted",
            Internal => "internal",
        }
    }
}

/// A failure as the person on call reads it. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class, which fixes the exit code.
    pub class: Class,
    /// What happened, what was expected and what was found: one or two sentences.
    pub message: String,
    /// What to do next; empty only where nothing can be done.
    pub hint: String,
    /// Where.
    pub place: Box<Place>,
}

/// Where a failure was seen; what does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: Option<String>,
    /// Line number, from 1.
    pub line: Option<u64>,
    /// Byte offset in the plain stream, from 0.
    pub offset: Option<u64>,
    /// Sequence in the log.
    pub sequence: Option<u64>,
}

impl Failure {
    /// A failure without a place.
    pub fn new(class: Class, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: hint.into(), place: Box::default() }
    }

    /// The same, seen in the file of this name.
    #[must_use]
    pub fn in_file(mut self, name: impl Into<String>) -> Self {
        self.place.file = Some(name.into());
        self
    }

    /// The same, seen at this line and byte offset.
    #[must_use]
    pub fn at(mut self, line: u64, offset: u64) -> Self {
        self.place.line = Some(line);
        self.place.offset = Some(offset);
        self
    }

    /// The same, seen at this byte offset of a line that was not counted.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.place.offset = Some(offset);
        self
    }

    /// The same, seen at this sequence.
    #[must_use]
    pub fn at_sequence(mut self, sequence: u64) -> Self {
        self.place.sequence = Some(sequence);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
