//! Secrets of ours in the memory for keys.
#![allow(unsafe_code, reason = "it lends slices of the region")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::slice;

use crate::{Arena, NoRoom};

/// Bytes in the memory for keys, zeros at first; overwritten on drop, never printed.
pub struct SecretBytes {
    arena: &'static Arena,
    at: usize,
    bytes: usize,
}

impl SecretBytes {
    /// So many zeros.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn zeroed(bytes: usize) -> Result<Self, NoRoom> {
        let arena = Arena::of_process().map_err(|_| NoRoom)?;
        let block = arena.take(bytes).ok_or(NoRoom)?;
        Ok(Self { arena, at: block.start, bytes })
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block has at least so many bytes, all of them written (zeros at first), and is this value's alone until it is
        // dropped; whoever borrows them borrows this.
        unsafe { slice::from_raw_parts(self.arena.region.pointer(self.at).as_ptr(), self.bytes) }
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed by one alone.
        unsafe { slice::from_raw_parts_mut(self.arena.region.pointer(self.at).as_ptr(), self.bytes) }
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for SecretBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.arena.give_back(self.at);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.bytes)
    }
}
