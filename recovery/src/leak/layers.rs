//! What is archived or compressed, opened layer by layer, each searched as it comes by.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::sought::Sought;
use super::stream::Stream;
use super::tape::{self, Tape};
use super::zip::{Kept, Zip};
use super::{Place, Trace, Unsearched, Why, tell, tell_trace};

/// How far layers are opened.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Layers within layers.
    pub depth: usize,
    /// What the layers of a file may expand to, all of them together: so many bytes a byte of the file, …
    pub ratio: u64,
    /// … and so many bytes more.
    pub free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 8, ratio: 200, free_bytes: 64 << 20 }
    }
}

/// Read at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// No zstd frame with a larger window is opened: what a decoder then holds.
const MAX_WINDOW_LOG: u32 = 23;

/// No xz block is opened that needs more, in KiB: `xz -9` makes such as need 65 MiB.
const MAX_XZ_KIB: u32 = 66 << 10;

/// The search of one file.
pub(super) struct Opener<'s> {
    sought: &'s [Sought],
    limits: &'s Limits,
    /// What layers may still expand to, in bytes.
    left: Rc<Cell<u64>>,
    pub(super) encrypted: u64,
    pub(super) traces: Vec<Trace>,
    pub(super) unsearched: Vec<Unsearched>,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Tar,
    Zip,
    Encrypted,
    Unknown(&'static str),
}

impl Kind {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A block, or the end of an empty stream, behind which there may be another one.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => Self::Bzip2,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [b'P', b'K', 7, 8, ..] | [b'P', b'K', b'0', b'0', b'P', b'K', ..] => Self::Unknown("split zip"),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Unknown("7z"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Unknown("lz4"),
            [0xff, 6, 0, 0, b'S', b'2', ..] => Self::Unknown("s2"),
            [0xff, 6, 0, 0, b's', b'N', ..] => Self::Unknown("snappy"),
            [0x1f, 0x9d, ..] => Self::Unknown("compress"),
            [b'L', b'Z', b'I', b'P', 0 | 1, ..] => Self::Unknown("lzip"),
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Self::Unknown("rar"),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Self::Unknown("ar"),
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2' | b'7', ..] => Self::Unknown("cpio"),
            [b'h', b's', b'q', b's', ..] => Self::Unknown("squashfs"),
            [b'Q', b'F', b'I', 0xfb, ..] => Self::Unknown("qcow2"),
            _ if first.starts_with(b"age-encryption.org/") || first.starts_with(b"-----BEGIN AGE ENC") => {
                Self::Encrypted
            }
            _ if tape::is_header(first) => Self::Tar,
            _ => Self::Plain,
        }
    }
}

impl<'s> Opener<'s> {
    pub(super) fn new(sought: &'s [Sought], limits: &'s Limits, len_bytes: u64) -> Self {
        let left = limits.ratio.saturating_mul(len_bytes).saturating_add(limits.free_bytes);
        Self {
            sought,
            limits,
            left: Rc::new(Cell::new(left)),
            encrypted: 0,
            traces: Vec::new(),
            unsearched: Vec::new(),
        }
    }

    /// Searches one layer and what is in it, from `depth` 0 for a file. All of it comes by, whatever becomes of what is in it.
    pub(super) fn search(&mut self, source: &mut dyn Read, place: &Place, depth: usize) {
        let mut searching = Searching::new(source, self.sought);
        let opened = searching
            .beginning()
            .map(Kind::of)
            .and_then(|kind| self.open(kind, &mut searching, place, depth));
        let rest = io::copy(&mut searching, &mut io::sink());
        if let Err(error) = opened.and(rest) {
            let why = match error.kind() {
                _ if self.left.get() == 0 => Why::Expands,
                io::ErrorKind::OutOfMemory => Why::UnknownKind("xz that needs much memory"),
                _ => Why::Broken(error.to_string()),
            };
            self.not_to_its_end(place, why);
        }
        for (sought, form) in searching.stream.found() {
            self.trace(Trace { sought, place: place.clone(), form });
        }
    }

    /// What is in a layer of this kind.
    fn open(&mut self, kind: Kind, source: &mut dyn Read, place: &Place, depth: usize) -> io::Result<()> {
        match kind {
            Kind::Plain => {}
            Kind::Encrypted => self.encrypted += 1,
            Kind::Unknown(kind) => self.not_searched(place, Why::UnknownKind(kind)),
            _ if depth == self.limits.depth => {
                self.not_searched(place, Why::TooDeep);
            }
            Kind::Gzip => self.expanded(MultiGzDecoder::new(source), place, depth),
            Kind::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(source)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                self.expanded(decoder, place, depth);
            }
            Kind::Xz => self.expanded(XzReader::new_mem_limit(source, true, MAX_XZ_KIB), place, depth),
            Kind::Bzip2 => self.expanded(MultiBzDecoder::new(source), place, depth),
            Kind::Tar => {
                let mut tape = Tape::new(source);
                while let Some(name) = tape.next()? {
                    self.search(&mut tape, &place.member(name), depth + 1);
                }
            }
            Kind::Zip => {
                let mut zip = Zip::new(source);
                while let Some((name, kept)) = zip.next()? {
                    self.member_of_zip(&mut zip, kept, &place.member(name), depth);
                }
            }
        }
        Ok(())
    }

    fn member_of_zip(&mut self, zip: &mut Zip<impl Read>, kept: Kept, place: &Place, depth: usize) {
        match kept {
            Kept::AsItIs => self.search(zip, place, depth + 1),
            Kept::Deflated => self.expanded(zip.inflated(), place, depth),
            Kept::Encrypted => self.encrypted += 1,
            Kept::Unknown => self.not_searched(place, Why::UnknownKind("rare zip method")),
            Kept::Endless => self.not_searched(place, Why::UnknownKind("zip without lengths")),
        }
    }

    fn expanded(&mut self, decoder: impl Read, place: &Place, depth: usize) {
        let mut expanding = Expanding { decoder, left: Rc::clone(&self.left) };
        self.search(&mut expanding, place, depth + 1);
    }

    /// What was found in an archive as a whole was, as a rule, found in one of its members already.
    fn trace(&mut self, trace: Trace) {
        let is_known = |known: &Trace| known.sought == trace.sought && known.place.is_in(&trace.place);
        if !self.traces.iter().any(is_known) {
            tell_trace(&mut self.traces, trace);
        }
    }

    /// What breaks a member breaks what it is in.
    fn not_to_its_end(&mut self, place: &Place, why: Why) {
        let is_known = |known: &Unsearched| {
            matches!(known.why, Why::Expands | Why::Broken(_)) && known.place.is_in(place)
        };
        if !self.unsearched.iter().any(is_known) {
            self.not_searched(place, why);
        }
    }

    fn not_searched(&mut self, place: &Place, why: Why) {
        tell(&mut self.unsearched, Unsearched { place: place.clone(), why });
    }
}

/// A layer that is read by whatever opens it, and searched as it is read.
struct Searching<'a, 's> {
    source: &'a mut dyn Read,
    stream: Stream<'s>,
    piece: Vec<u8>,
    /// What of the piece was handed out, and how much of it there is.
    given: usize,
    len: usize,
}

impl<'a, 's> Searching<'a, 's> {
    fn new(source: &'a mut dyn Read, sought: &'s [Sought]) -> Self {
        Self { source, stream: Stream::new(sought), piece: vec![0; PIECE_BYTES], given: 0, len: 0 }
    }

    /// The first bytes, as many as tell what it is; they will be handed out all the same.
    fn beginning(&mut self) -> io::Result<&[u8]> {
        while self.len < tape::BLOCK_BYTES {
            let read = read_some(self.source, &mut self.piece[self.len..])?;
            self.stream.feed(&self.piece[self.len..self.len + read]);
            self.len += read;
            if read == 0 {
                break;
            }
        }
        Ok(&self.piece[..self.len])
    }
}

impl Read for Searching<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.given == self.len {
            self.len = read_some(self.source, &mut self.piece)?;
            self.given = 0;
            self.stream.feed(&self.piece[..self.len]);
        }
        let read = (&self.piece[self.given..self.len]).read(bytes)?;
        self.given += read;
        Ok(read)
    }
}

/// One read that no signal cuts short.
fn read_some(source: &mut dyn Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// What comes out of a decoder, as long as the file may expand.
struct Expanding<R> {
    decoder: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Expanding<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = if self.left.get() == 0 { 1 } else { self.decoder.read(bytes)? as u64 };
        let left = self.left.get().saturating_sub(read);
        self.left.set(left);
        if left == 0 && read > 0 {
            Err(io::Error::other("it expands beyond the limit"))
        } else {
            Ok(read as usize)
        }
    }
}
