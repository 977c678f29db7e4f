//! Memory for keys: one region that the kernel shows to no other process, root's neither (memfd_secret(2)), and a small allocator over it.
//!
//! `install` gives it to the library that signs, for everything that the library allocates, before it is first used;
//! [`SecretBytes`] are for secrets of ours. What is given back is overwritten first. When the region is full, an allocation
//! fails, and the library answers an error: nothing of it ever lies in ordinary memory instead.
//!
//! All unsafe code of the signer is in this crate: `region` maps, `library` is called from C, `secret_bytes` lends slices. Which bytes
//! are whose is decided in `blocks`, by numbers alone.

mod blocks;
mod library;
mod region;
mod secret_bytes;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use blocks::{Blocks, PAGE};
pub use library::install;
use region::Region;
pub use secret_bytes::SecretBytes;

/// How well the memory is protected.
#[derive(Debug)]
pub enum Protection {
    /// No other process reads it, nor is it ever swapped out.
    Secret,
    /// It is never swapped out; there is none of the better kind, for this reason.
    Locked(io::Error),
    /// It is in no core file, and nothing else; it cannot be locked, for this reason.
    Ordinary(io::Error),
}

/// The region is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the memory for keys is full: let the signer lock more (RLIMIT_MEMLOCK), or hold fewer keys",
        )
    }
}

impl std::error::Error for NoRoom {}

/// Parts of the region that have a lock of their own, so that threads seldom wait for each other.
const PARTS: usize = 8;

/// The memory of this process for keys.
static ARENA: OnceLock<Arena> = OnceLock::new();

/// Which part a thread looks into first; the threads take turns.
static NEXT_PART: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Without a destructor: the library gives memory back while a thread ends.
    static PART: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A region, and what of it is taken.
struct Arena {
    region: Region,
    protection: Protection,
    parts: [Mutex<Blocks>; PARTS],
}

impl Arena {
    fn new((region, protection): (Region, Protection)) -> Self {
        let pages = region.bytes() / PAGE / PARTS;
        Self { region, protection, parts: std::array::from_fn(|_| Mutex::new(Blocks::new(pages))) }
    }

    /// The arena of this process, reserved when it is first asked for.
    fn of_process() -> io::Result<&'static Self> {
        if let Some(arena) = ARENA.get() {
            return Ok(arena);
        }
        // Of two threads that come here at once, one has reserved a region that nobody uses.
        let reserved = region::reserve()?;
        Ok(ARENA.get_or_init(|| Self::new(reserved)))
    }

    /// Bytes of a part.
    fn part_bytes(&self) -> usize {
        self.region.bytes() / PARTS
    }

    /// Takes a block, all zeros.
    fn take(&self, bytes: usize) -> Option<Range<usize>> {
        let first = part_of_this_thread();
        (0..PARTS).map(|turn| (first + turn) % PARTS).find_map(|part| {
            let block = lock(&self.parts[part]).take(bytes)?;
            Some(part * self.part_bytes() + block.start..part * self.part_bytes() + block.end)
        })
    }

    /// The taken block that begins there.
    fn block(&self, at: usize) -> Option<Range<usize>> {
        let part = at / self.part_bytes();
        let block = lock(self.parts.get(part)?).block(at % self.part_bytes())?;
        Some(part * self.part_bytes() + block.start..part * self.part_bytes() + block.end)
    }

    /// Overwrites a block, and gives it back.
    ///
    /// # Panics
    /// When no taken block begins there.
    #[allow(unsafe_code, reason = "it overwrites what the caller gives up")]
    fn give_back(&self, at: usize) {
        let block = self.block(at).expect("a block that is given back is taken");
        // SAFETY: the block is the caller's, who gives it up, until the next statement makes it anybody's.
        unsafe { self.region.zero(block) };
        lock(&self.parts[at / self.part_bytes()]).give_back(at % self.part_bytes());
    }

    fn free_bytes(&self) -> usize {
        self.parts.iter().map(|part| lock(part).free_bytes()).sum()
    }
}

/// Bytes of free pages of this process's memory for keys.
///
/// # Errors
/// When no such memory can be reserved.
pub fn free_bytes() -> io::Result<usize> {
    Ok(Arena::of_process()?.free_bytes())
}

fn part_of_this_thread() -> usize {
    PART.get().unwrap_or_else(|| {
        let part = NEXT_PART.fetch_add(1, Ordering::Relaxed) % PARTS;
        PART.set(Some(part));
        part
    })
}

/// Nothing panics while it holds a lock but for a block that is given back twice, and then the process ends.
fn lock(part: &Mutex<Blocks>) -> MutexGuard<'_, Blocks> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
