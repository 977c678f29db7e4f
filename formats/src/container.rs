//! Plain, zstd, age, or age around one zstd layer: found out from the first bytes (spec "Backup stream: the bytes").

/// How the plain JSONL is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Not at all.
    Plain,
    /// One zstd frame.
    Zstd,
    /// age, plain inside.
    Age,
    /// age around one zstd frame.
    AgeZstd,
}

impl Container {
    /// Ending of a file name: `.jsonl`, `.jsonl.zst`, `.jsonl.age`, `.jsonl.zst.age`.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Plain => ".jsonl",
            Container::Zstd => ".jsonl.zst",
            Container::Age => ".jsonl.age",
            Container::AgeZstd => ".jsonl.zst.age",
        }
    }
}
