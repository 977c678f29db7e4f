//! Many leaves enter one or several trees at once, level by level, so that the nodes of a level are hashed together.

use super::{NODE, Tree, hash_each, joined};
use crate::Digest;

/// Leaves that wait for more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    /// Which tree, and the leaf.
    waiting: Vec<(u32, Digest)>,
    pairs: Vec<[u8; 64]>,
    nodes: Vec<Digest>,
}

/// Leaves that are worth hashing together.
const ENOUGH: usize = 1024;

impl Growth {
    /// Adds a leaf for the tree at that place.
    pub(crate) fn push(&mut self, tree: u32, leaf: Digest) {
        self.waiting.push((tree, leaf));
    }

    /// Whether so many wait that [`Growth::settle`] pays.
    pub(crate) fn is_due(&self) -> bool {
        self.waiting.len() >= ENOUGH
    }

    /// Puts what waits into the trees, in the order in which it came.
    pub(crate) fn settle(&mut self, trees: &mut [impl AsMut<Tree>]) {
        let mut level = 0;
        while !self.waiting.is_empty() {
            self.pairs.clear();
            // Of what arrives on a level, each second one of a tree meets the one before, and goes up with it.
            self.waiting.retain(|(tree, node)| match trees[*tree as usize].as_mut().meet(level, *node) {
                Some(left) => {
                    self.pairs.push(joined(&left, node));
                    true
                }
                None => false,
            });
            hash_each(NODE, self.pairs.iter().map(|pair| &pair[..]), &mut self.nodes);
            for ((_, node), above) in self.waiting.iter_mut().zip(&self.nodes) {
                *node = *above;
            }
            level += 1;
        }
    }
}
