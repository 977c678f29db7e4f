//! A block on its way through the threads of a pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backup::blocks::Block;

/// What there is to do with a block.
pub(crate) struct Job {
    /// Blocks of lines before it.
    pub(crate) number: u64,
    pub(crate) block: Arc<Block>,
    /// Whether somebody sees to the leaves of its lines, or nobody has to.
    leaves_taken: AtomicBool,
}

impl Job {
    /// A block of whole lines, whose leaves are for whoever comes first.
    pub(crate) fn with_leaves(number: u64, block: Arc<Block>) -> Self {
        Self { number, block, leaves_taken: AtomicBool::new(false) }
    }

    /// A block that has no leaves, or whose leaves somebody sees to.
    pub(crate) fn without_leaves(number: u64, block: Arc<Block>) -> Self {
        Self { number, block, leaves_taken: AtomicBool::new(true) }
    }

    /// Whether it is for the caller to see to the leaves: for the first one who asks.
    pub(crate) fn take_leaves(&self) -> bool {
        !self.leaves_taken.swap(true, Ordering::Relaxed)
    }
}
