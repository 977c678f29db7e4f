//! Wiping the stack below a computation with secrets.
//!
//! Types that wipe themselves do not reach the copies in the frames of the crates that compute: HKDF leaves its blocks there,
//! HMAC its padded key. `formats/tests/sealed_key_memory.rs` looks for them in the whole process.

use zeroize::Zeroize as _;

/// Eight times what was seen to be needed: 4 KiB with optimisation, 1 KiB without.
const WIPED_BYTES: usize = 32 << 10;

/// Runs that, then overwrites the part of the stack that it had. Its result must hold no secret outside the heap.
pub(super) fn wiped_after<T>(compute: impl FnOnce() -> T) -> T {
    let result = apart(compute);
    wipe();
    result
}

/// Not inlined, nor is `wipe`: both begin at the same place of the stack.
#[inline(never)]
fn apart<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

#[inline(never)]
fn wipe() {
    let mut frame = [0_u64; WIPED_BYTES / 8];
    frame.zeroize();
}
