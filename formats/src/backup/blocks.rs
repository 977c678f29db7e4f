//! Buffers that several threads look at, and how many of them may exist at once.
//!
//! Whoever fills a block waits until the pool has room; the last thread that lets go of a block gives its buffer back.
//! So memory stays bounded whatever the size of the file, and buffers are not allocated again and again.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Usual size of a buffer.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;

/// Bytes of all buffers together, unless one line alone is longer.
const POOL_BYTES: usize = 12 << 20;

/// Where buffers come from and return to.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    used_bytes: usize,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // The state is a sum and a list: whole at every instant, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room beside `held_bytes`, which the caller holds and will not return before.
    fn wait_for(&self, more_bytes: usize, held_bytes: usize) -> MutexGuard<'_, PoolState> {
        let state = self.lock();
        self.returned
            .wait_while(state, |s| s.used_bytes > held_bytes && s.used_bytes + more_bytes > POOL_BYTES)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is being filled, accounted for in its pool.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// An empty buffer with room for at least `len` bytes; waits for it. The caller holds `held_bytes` meanwhile.
    pub(crate) fn take(pool: &Arc<Pool>, len: usize, held_bytes: usize) -> Self {
        let len = len.max(BLOCK_BYTES);
        let mut state = pool.wait_for(len, held_bytes);
        // The one returned last is the likeliest to be in a cache.
        let spare =
            state.spare.iter().rposition(|spare| spare.len() >= len).map(|at| state.spare.swap_remove(at));
        let spare_bytes = spare.as_ref().map_or(0, Vec::len);
        state.spare_bytes -= spare_bytes;
        state.used_bytes += spare_bytes.max(len);
        drop(state);
        Self { bytes: spare.unwrap_or_else(|| vec![0; len]), filled: 0, pool: Arc::clone(pool) }
    }

    /// Makes room for more, in steps small enough that a long line costs little more than itself.
    pub(crate) fn grow(&mut self, limit: usize) {
        let old = self.bytes.len();
        let more = (old / 8).max(BLOCK_BYTES).min(limit.saturating_sub(old)).max(1);
        let mut state = self.pool.wait_for(more, old);
        state.used_bytes += more;
        drop(state);
        self.bytes.reserve_exact(more);
        self.bytes.resize(old + more, 0);
    }

    /// The part that is not filled yet.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Marks `len` more bytes as filled.
    pub(crate) fn advance(&mut self, len: usize) {
        self.filled += len;
    }

    /// Bytes that it occupies.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes, for which there is room.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Makes the first `len` bytes a block that lies at `offset` of the stream.
    pub(crate) fn into_block(mut self, len: usize, offset: u64) -> Block {
        self.filled = len;
        Block { buffer: self, offset }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.pool.lock();
        state.used_bytes -= bytes.len();
        if state.used_bytes + state.spare_bytes + bytes.len() <= POOL_BYTES {
            state.spare_bytes += bytes.len();
            state.spare.push(bytes);
        }
        drop(state);
        self.pool.returned.notify_all();
    }
}

/// Bytes of the plain stream, not to be changed any more.
pub(crate) struct Block {
    buffer: Buffer,
    /// Where they lie in the stream.
    pub(crate) offset: u64,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_makes_the_filler_wait_for_the_others() {
        let pool = Arc::new(Pool::default());
        let held: Vec<_> = (0..POOL_BYTES / BLOCK_BYTES).map(|_| Buffer::take(&pool, 1, 0)).collect();
        let waiting = {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || Buffer::take(&pool, 1, 0).capacity())
        };
        assert!(pool.lock().used_bytes == POOL_BYTES && !waiting.is_finished());
        drop(held);
        assert_eq!(waiting.join().unwrap(), BLOCK_BYTES);
        assert_eq!(pool.lock().used_bytes, 0);
    }

    #[test]
    fn one_buffer_may_be_larger_than_the_pool_when_it_is_alone() {
        let pool = Arc::new(Pool::default());
        let mut buffer = Buffer::take(&pool, 1, 0);
        while buffer.capacity() < 2 * POOL_BYTES {
            buffer.grow(2 * POOL_BYTES);
        }
        let other = Buffer::take(&pool, 1, buffer.capacity());
        drop(buffer);
        assert_eq!(pool.lock().used_bytes, other.capacity());
    }
}
