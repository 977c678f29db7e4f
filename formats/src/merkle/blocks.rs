//! The roots of equal parts of a tree: a coarse map by which two logs find the part in which they differ.
//!
//! Each part is a perfect subtree of 2^level leaves, the last one may be smaller; there are at most [`MAX_BLOCKS`]. The tree
//! over their roots has the root of the whole, since a tree of n leaves splits at powers of two.

use super::{Growth, Tree, TreeHead, node_hash};
use crate::Digest;

/// Parts at most.
pub const MAX_BLOCKS: usize = 64;

/// The parts of a log, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Every part but the last has 2^level leaves: the lowest level that makes no more than [`MAX_BLOCKS`] parts.
    pub level: u32,
    /// The parts.
    pub list: Vec<Block>,
}

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Sequence of its last leaf.
    pub last_sequence: u64,
    /// Root of its leaves.
    pub root: Digest,
}

impl Blocks {
    /// Leaves of every part but the last.
    pub fn leaves_per_block(&self) -> u64 {
        1 << self.level
    }

    /// Leaves of the part at this place, of a tree of `len` leaves.
    pub fn leaves_of(&self, index: usize, len: u64) -> u64 {
        let before = (index as u64) << self.level;
        len.saturating_sub(before).min(self.leaves_per_block())
    }

    /// Root of the whole.
    pub fn root(&self) -> Digest {
        let mut tree = Tree::new();
        self.list.iter().for_each(|block| tree.push(block.root));
        tree.root()
    }

    /// Whether these can be the parts of a tree with this head: their number, their sizes, their root.
    pub fn are_of(&self, head: &TreeHead) -> bool {
        self.level == level_for(head.len)
            && self.list.len() as u64 == head.len.div_ceil(self.leaves_per_block())
            && self.root() == head.root
    }
}

/// The lowest level at which a tree of `len` leaves has no more than [`MAX_BLOCKS`] parts.
fn level_for(len: u64) -> u32 {
    let blocks = MAX_BLOCKS as u64;
    (0..u64::BITS).find(|level| len.div_ceil(1 << level) <= blocks).unwrap_or(0)
}

/// A tree that is kept as the roots of its parts while it grows.
#[derive(Clone, Debug, Default)]
pub struct BlockTree {
    complete: Blocks,
    /// The part that is not complete.
    part: Tree,
    /// Its leaves that are not in `part` yet.
    growth: Growth,
    /// Leaves of the part.
    part_len: u64,
    len: u64,
    last_sequence: u64,
}

impl BlockTree {
    /// Adds the leaf of this sequence.
    pub fn push(&mut self, sequence: u64, leaf: Digest) {
        if self.complete.list.len() == MAX_BLOCKS {
            self.join_pairs();
        }
        self.growth.push(0, leaf);
        self.part_len += 1;
        self.len += 1;
        self.last_sequence = sequence;
        if self.part_len == self.complete.leaves_per_block() {
            self.growth.settle(std::slice::from_mut(&mut self.part));
            self.complete.list.push(Block { last_sequence: sequence, root: self.part.root() });
            self.part = Tree::new();
            self.part_len = 0;
        } else if self.growth.is_due() {
            self.growth.settle(std::slice::from_mut(&mut self.part));
        }
    }

    fn join_pairs(&mut self) {
        let join = |pair: &[Block]| Block {
            last_sequence: pair[1].last_sequence,
            root: node_hash(&pair[0].root, &pair[1].root),
        };
        self.complete.list = self.complete.list.chunks_exact(2).map(join).collect();
        self.complete.level += 1;
    }

    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts so far.
    pub fn blocks(&self) -> Blocks {
        let mut blocks = self.complete.clone();
        if self.part_len > 0 {
            let (mut part, mut growth) = (self.part.clone(), self.growth.clone());
            growth.settle(std::slice::from_mut(&mut part));
            blocks.list.push(Block { last_sequence: self.last_sequence, root: part.root() });
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaf_hash;
    use super::*;

    #[test]
    fn parts_are_few_and_have_the_root_of_the_whole_at_every_size() {
        let (mut fold, mut tree) = (BlockTree::default(), Tree::new());
        for n in 0..1_000_u64 {
            let blocks = fold.blocks();
            assert!(blocks.are_of(&tree.head()) && fold.len() == n, "{n}: {blocks:?}");
            let sum: u64 = (0..blocks.list.len()).map(|index| blocks.leaves_of(index, n)).sum();
            assert_eq!(sum, n);
            fold.push(n * 3 + 1, leaf_hash(&n.to_be_bytes()));
            tree.push(leaf_hash(&n.to_be_bytes()));
        }
        assert_eq!(fold.blocks().level, 4);
        assert_eq!(fold.blocks().list[0].last_sequence, 15 * 3 + 1);
    }

    #[test]
    fn parts_of_another_tree_are_told() {
        let mut fold = BlockTree::default();
        (1..=100).for_each(|n| fold.push(n, leaf_hash(&n.to_be_bytes())));
        let blocks = fold.blocks();
        let head = TreeHead { len: fold.len(), root: blocks.root() };
        let mut other = blocks.clone();
        other.list[7].root = leaf_hash(b"x");
        assert!(!other.are_of(&head));
        let mut other = blocks.clone();
        other.list.pop();
        assert!(!other.are_of(&head));
        assert!(!Blocks { level: 2, ..blocks.clone() }.are_of(&head));
        assert!(!blocks.are_of(&TreeHead { len: 98, ..head }));
    }
}
