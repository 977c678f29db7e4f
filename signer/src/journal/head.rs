//! How far the journal goes, in a file of its own: so that a journal that was cut off, at whatever place, is noticed.
//!
//! It is written behind each entry that it names, before the entry is answered for. So after a crash it may lie behind the
//! journal's last entry, and never before it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use trstctl_formats::Digest;

use super::file::{Access, sync};

/// Name of the file in the key store's folder.
pub(super) const NAME: &str = "journal.head";

/// The same while it is made: under its name it was never anything but a whole line.
const UNFINISHED: &str = "journal.head.new";

/// Digits of the number: all that a `u64` has.
const DIGITS: usize = 20;

/// Its one line: number, space, digest in hexadecimal, newline. Overwritten in place, within one sector of a disk.
const LINE_BYTES: usize = DIGITS + 1 + 64 + 1;

/// The open file.
pub(super) struct HeadFile(File);

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Entries that were answered for; there may be more.
    pub(super) entries: u64,
    /// SHA-256 of the last of them.
    pub(super) digest: Digest,
}

impl HeadFile {
    /// Makes it for a journal without entries, durably; one that is there is left as it is. The caller has locked the folder.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(NAME);
        if !path.try_exists()? {
            let unfinished = folder.join(UNFINISHED);
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            Self(file).write(&Head::NONE)?;
            fs::rename(unfinished, path)?;
        }
        // Also that of a run which was interrupted before this: no journal gets its name without a head that lasts.
        sync(folder)?;
        Self::open(folder, Access::Write)
    }

    pub(super) fn open(folder: &Path, access: Access) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(access == Access::Write).open(folder.join(NAME))?))
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// What it says; `None` when that is no head.
    pub(super) fn read(&self) -> io::Result<Option<Head>> {
        let mut line = [0; LINE_BYTES + 1];
        let len = self.0.read_at(&mut line, 0)?;
        Ok(Head::of(&line[..len]))
    }

    /// Says something else, durably.
    pub(super) fn write(&self, head: &Head) -> io::Result<()> {
        self.0.write_all_at(head.line().as_bytes(), 0)?;
        self.0.sync_data()
    }
}

impl Head {
    /// Of a journal without entries.
    pub(super) const NONE: Self = Self { entries: 0, digest: Digest([0; 32]) };

    fn line(&self) -> String {
        format!("{:0DIGITS$} {}\n", self.entries, self.digest)
    }

    fn of(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let (entries, digest) = text.strip_suffix('\n')?.split_once(' ')?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).ok()?;
        let head = Self { entries: entries.parse().ok()?, digest: Digest(bytes) };
        // One head, one spelling.
        (head.line() == text).then_some(head)
    }
}
