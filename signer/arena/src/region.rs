//! Pages that belong to keys: reserved once, never given back to the system.
#![allow(unsafe_code, reason = "it maps memory and hands out pointers into it")]

use std::io;
use std::ops::Range;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::ftruncate;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};

use crate::Protection;

/// Readable, writable memory of this process, as long as it lives.
pub struct Region {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is an address and a length, which never change; what is read and written through them, and by whom, the callers of its
// unsafe functions answer for.
unsafe impl Send for Region {}
// SAFETY: the same.
unsafe impl Sync for Region {}

impl Region {
    /// Memory that the kernel itself has no more way to (memfd_secret(2)); it is locked, and in no core file.
    ///
    /// # Errors
    /// `ENOSYS` when the kernel lacks it, `EAGAIN` beyond what may be locked.
    pub fn secret(bytes: usize) -> io::Result<Self> {
        // SAFETY: the call takes flags and answers a descriptor; it touches no memory of this process.
        let answer = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
        let descriptor = i32::try_from(answer).ok().filter(|descriptor| *descriptor >= 0);
        let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just made it for us, and nobody else knows it. The mapping outlives it.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        ftruncate(&file, bytes as u64)?;
        // SAFETY: a new mapping at a place of the kernel's choice touches none that is there; nobody else has the file.
        let start = unsafe { mmap(ptr::null_mut(), bytes, readable(), MapFlags::SHARED, &file, 0) };
        Self::at(start?, bytes)
    }

    /// Ordinary memory that is never swapped out, nor in a core file.
    ///
    /// # Errors
    /// `ENOMEM` or `EPERM` beyond what may be locked.
    pub fn locked(bytes: usize) -> io::Result<Self> {
        let region = Self::ordinary(bytes)?;
        // SAFETY: it locks the pages of a mapping that is ours, and changes nothing in them.
        match unsafe { mlock(region.start.as_ptr().cast(), bytes) } {
            Ok(()) => Ok(region),
            Err(error) => {
                // SAFETY: nobody has been given a pointer into the mapping, and `region` is not used any more.
                let _ = unsafe { munmap(region.start.as_ptr().cast(), bytes) };
                Err(error.into())
            }
        }
    }

    /// Ordinary memory, in no core file.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn ordinary(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice touches none that is there.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, readable(), MapFlags::PRIVATE) }?;
        // SAFETY: this advice changes nothing in the memory.
        unsafe { madvise(start, bytes, Advice::LinuxDontDump) }?;
        Self::at(start, bytes)
    }

    fn at(start: *mut libc::c_void, bytes: usize) -> io::Result<Self> {
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// Its length.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a byte of it.
    pub fn pointer(&self, at: usize) -> NonNull<u8> {
        assert!(at < self.bytes, "a place in the region");
        // SAFETY: the place is inside the mapping, as was just checked.
        unsafe { self.start.add(at) }
    }

    /// Where in it a pointer points; [`None`] when that is somewhere else.
    pub fn place(&self, pointer: *const u8) -> Option<usize> {
        let at = pointer.addr().checked_sub(self.start.addr().get())?;
        (at < self.bytes).then_some(at)
    }

    /// Overwrites a part of it with zeros.
    ///
    /// # Safety
    /// Nobody else reads or writes that part meanwhile.
    pub unsafe fn zero(&self, part: Range<usize>) {
        assert!(part.start <= part.end && part.end <= self.bytes, "a part of the region");
        // SAFETY: the part is inside the mapping, as was just checked, and the caller's alone. No compiler may
        // leave the writes out: others get the same bytes by `pointer`.
        unsafe { self.start.as_ptr().add(part.start).write_bytes(0, part.len()) };
    }

    /// Copies the first bytes of one part to the beginning of another: as many as the shorter has.
    ///
    /// # Safety
    /// Nobody else writes the one, or reads or writes the other meanwhile, and they do not overlap.
    pub unsafe fn copy(&self, from: Range<usize>, to: Range<usize>) {
        assert!(from.end <= self.bytes && to.end <= self.bytes, "parts of the region");
        let bytes = from.len().min(to.len());
        // SAFETY: both are inside the mapping, as was just checked; the rest the caller answers for.
        unsafe {
            let target = self.start.as_ptr().add(to.start);
            ptr::copy_nonoverlapping(self.start.as_ptr().add(from.start), target, bytes);
        }
    }
}

fn readable() -> ProtFlags {
    ProtFlags::READ | ProtFlags::WRITE
}

/// What is asked for, in bytes, until it is given. Only what is used takes memory.
const SIZES: [usize; 5] = [64 << 20, 16 << 20, 8 << 20, 4 << 20, 2 << 20];

/// As much of the best memory as this process may have, and how well it is protected.
///
/// # Errors
/// When there is none at all.
pub fn reserve() -> io::Result<(Region, Protection)> {
    let secret = match largest(Region::secret) {
        Ok(region) => return Ok((region, Protection::Secret)),
        Err(error) => error,
    };
    match largest(Region::locked) {
        Ok(region) => Ok((region, Protection::Locked(secret))),
        Err(error) => Ok((Region::ordinary(SIZES[0])?, Protection::Ordinary(error))),
    }
}

/// The error is that of the smallest size.
fn largest(get: impl Fn(usize) -> io::Result<Region>) -> io::Result<Region> {
    let [larger @ .., smallest] = SIZES;
    larger.into_iter().find_map(|bytes| get(bytes).ok()).map_or_else(|| get(smallest), Ok)
}
