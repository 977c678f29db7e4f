//! What the library calls in place of malloc, realloc and free.
//!
//! It may call from any thread, also while one ends, and holding locks of its own: nothing here calls the library, or allocates.
#![allow(unsafe_code, reason = "it is called from C, with pointers")]

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;

use aws_lc_sys::CRYPTO_set_mem_functions;

use crate::{ARENA, Arena, Protection};

/// Lets the library allocate in this process's memory for keys, and nowhere else; says how well it is protected. Must come before any
/// use of the library: what it allocated elsewhere, it could not give back.
///
/// # Errors
/// When there is no such memory, or the library takes none.
pub fn install() -> io::Result<&'static Protection> {
    static IS_INSTALLED: OnceLock<bool> = OnceLock::new();
    let arena = Arena::of_process()?;
    let is_installed = *IS_INSTALLED.get_or_init(|| {
        // SAFETY: the three functions keep the contract of malloc, realloc and free among each other; that the library has allocated
        // nothing yet, the caller answers for, and `release` ends the process otherwise.
        unsafe { CRYPTO_set_mem_functions(Some(allocate), Some(resize), Some(release)) == 1 }
    });
    if is_installed {
        Ok(&arena.protection)
    } else {
        Err(io::Error::other("the cryptographic library takes no memory for keys"))
    }
}

/// malloc: null when there is no room.
extern "C" fn allocate(bytes: usize, _: *const c_char, _: c_int) -> *mut c_void {
    let Some(arena) = ARENA.get() else { return ptr::null_mut() };
    match arena.take(bytes) {
        Some(block) => arena.region.pointer(block.start).as_ptr().cast(),
        None => ptr::null_mut(),
    }
}

/// realloc, of what [`allocate`] gave and is not null: null, and nothing is changed, when there is no room.
extern "C" fn resize(old: *mut c_void, bytes: usize, file: *const c_char, line: c_int) -> *mut c_void {
    let (arena, at) = place(old);
    let block = arena.block(at).expect("memory that changes its size is taken");
    if bytes <= block.len() {
        return old;
    }
    let Some(new) = arena.take(bytes) else { return ptr::null_mut() };
    let pointer = arena.region.pointer(new.start).as_ptr().cast();
    // SAFETY: the old block is the caller's, who waits; the new one nobody knows yet. They are two taken blocks, so they lie apart.
    unsafe { arena.region.copy(block, new) };
    release(old, file, line);
    pointer
}

/// free, of what [`allocate`] gave; null is nothing.
extern "C" fn release(pointer: *mut c_void, _: *const c_char, _: c_int) {
    if !pointer.is_null() {
        let (arena, at) = place(pointer);
        arena.give_back(at);
    }
}

/// Where the library's pointer points. A panic ends the process here, since no caller in C can go on: memory would have two owners.
fn place(pointer: *mut c_void) -> (&'static Arena, usize) {
    let arena = ARENA.get().expect("the library was given an arena");
    let at = arena.region.place(pointer.cast()).expect("what the library gives back is memory for keys");
    (arena, at)
}
