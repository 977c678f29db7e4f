//! The Merkle tree of RFC 6962: one digest for a whole log, with proofs that something is in it and that it only grew.
//!
//! A leaf is `SHA-256(0x00 ‖ bytes)`, an inner node `SHA-256(0x01 ‖ left ‖ right)`, the tree of nothing `SHA-256("")`.
//! A tree of n leaves splits at the largest power of two below n. Hence only the roots of the perfect subtrees on
//! its right edge are ever needed: one for each bit of n that is set.
//! Proofs are those of RFC 9162, sections 2.1.3 and 2.1.4.

mod blocks;
mod growth;

use sha2::{Digest as _, Sha256};
use trstctl_sha256::Checksum;

use crate::Digest;

pub(crate) use growth::Growth;

/// Prefixes that keep leaves and nodes apart.
const LEAF: u8 = 0x00;
const NODE: u8 = 0x01;

pub use blocks::{Block, BlockTree, Blocks, MAX_BLOCKS};

/// Hash of a leaf: in a version 2 backup, of a record line without its newline.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest(trstctl_sha256::hash_one(LEAF, bytes))
}

/// Puts the [`leaf_hash`] of each into `leaves`, in their order, in place of what it held: several at once.
pub(crate) fn leaf_hashes<'a>(lines: impl ExactSizeIterator<Item = &'a [u8]>, leaves: &mut Vec<Digest>) {
    hash_each(LEAF, lines, leaves);
}

/// The same, while `checksum` takes `bytes`: the lines, which lie in them, cost little more.
pub(crate) fn leaf_hashes_beside<'a>(
    checksum: &mut Checksum,
    bytes: &[u8],
    lines: impl ExactSizeIterator<Item = &'a [u8]>,
    leaves: &mut Vec<Digest>,
) {
    leaves.clear();
    leaves.resize(lines.len(), Digest([0; 32]));
    checksum.update_beside(bytes, LEAF, lines, |number, leaf| leaves[number] = Digest(leaf));
}

/// Puts the hash of each into `digests`, in their order, in place of what it held: several at once.
fn hash_each<'a>(prefix: u8, messages: impl ExactSizeIterator<Item = &'a [u8]>, digests: &mut Vec<Digest>) {
    digests.clear();
    digests.resize(messages.len(), Digest([0; 32]));
    trstctl_sha256::hash_each(prefix, messages, |number, digest| digests[number] = Digest(digest));
}

/// Size and root of a tree: what two parties need to agree on a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves.
    pub len: u64,
    /// Root; SHA-256 of nothing when there is no leaf.
    pub root: Digest,
}

/// A tree that grows leaf by leaf and keeps O(log n) digests.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Roots of the perfect subtrees: that of 2^i leaves stands at i, and counts where that bit of `len` is set.
    peaks: Vec<Digest>,
    len: u64,
}

impl Tree {
    /// The tree of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf, given as its [`leaf_hash`].
    pub fn push(&mut self, leaf: Digest) {
        let (mut level, mut node) = (0, leaf);
        while let Some(left) = self.meet(level, node) {
            node = node_hash(&left, &node);
            level += 1;
        }
    }

    /// Brings the root of a perfect subtree of 2^level leaves to the right edge. One of its size that waits there is taken
    /// away and answered: the two become one of the next level, which is to be brought then.
    fn meet(&mut self, level: usize, node: Digest) -> Option<Digest> {
        let bit = 1 << level;
        self.len ^= bit;
        if self.len & bit == 0 {
            return Some(self.peaks[level]);
        }
        // A level is reached only through the one below.
        if level == self.peaks.len() {
            self.peaks.push(node);
        }
        self.peaks[level] = node;
        None
    }

    /// Root of the leaves so far; more may follow.
    pub fn root(&self) -> Digest {
        let is_there = |(level, peak)| (self.len >> level & 1 == 1).then_some(peak);
        let mut peaks = self.peaks.iter().enumerate().filter_map(is_there);
        match peaks.next() {
            None => Digest(Sha256::digest([]).into()),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size and root of the leaves so far.
    pub fn head(&self) -> TreeHead {
        TreeHead { len: self.len, root: self.root() }
    }
}

impl AsMut<Tree> for Tree {
    fn as_mut(&mut self) -> &mut Tree {
        self
    }
}

/// Computes a proof while the leaves of a tree pass by once, in O(log n) memory: for a log that is read from a file.
///
/// Push exactly the leaves of the tree that the proof is about, then [`Prover::finish`].
#[derive(Clone, Debug)]
pub struct Prover {
    /// The subtrees whose roots make the proof, in the order of their leaves.
    subtrees: Vec<Subtree>,
    /// Index in `subtrees` of the first one that is not complete.
    current: usize,
    /// That one's leaves so far.
    tree: Tree,
    /// Leaves pushed.
    len: u64,
    /// Leaves expected.
    expected: u64,
}

/// One node of a proof: the root of the leaves `start..end`.
#[derive(Clone, Debug)]
struct Subtree {
    start: u64,
    end: u64,
    /// Position of the node in the proof.
    position: usize,
    root: Digest,
}

impl Prover {
    /// Proof that the leaf `index` is in the tree of the first `len` leaves.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when there is no such leaf.
    pub fn inclusion(index: u64, len: u64) -> Result<Self, ProofError> {
        if index >= len {
            return Err(ProofError::OutOfRange);
        }
        Ok(Self::new(inclusion_ranges(index, len), len))
    }

    /// Proof that the tree of the first `old` leaves is a prefix of that of the first `new` ones.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when `old` is larger than `new`.
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        if old > new {
            return Err(ProofError::OutOfRange);
        }
        let ranges = if old == 0 { Vec::new() } else { consistency_ranges(old, new) };
        Ok(Self::new(ranges, new))
    }

    fn new(ranges: Vec<(u64, u64)>, expected: u64) -> Self {
        let nowhere = Digest([0; 32]);
        let number = |(position, (start, end))| Subtree { start, end, position, root: nowhere };
        let mut subtrees: Vec<_> = ranges.into_iter().enumerate().map(number).collect();
        subtrees.sort_by_key(|subtree| subtree.start);
        Self { subtrees, current: 0, tree: Tree::new(), len: 0, expected }
    }

    /// The next leaf, given as its [`leaf_hash`].
    pub fn push(&mut self, leaf: Digest) {
        let index = self.len;
        self.len += 1;
        let Some(subtree) = self.subtrees.get_mut(self.current).filter(|subtree| subtree.start <= index)
        else {
            return;
        };
        self.tree.push(leaf);
        if subtree.end == self.len {
            subtree.root = self.tree.root();
            self.tree = Tree::new();
            self.current += 1;
        }
    }

    /// The proof.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when another number of leaves was pushed than the proof is about.
    pub fn finish(mut self) -> Result<Vec<Digest>, ProofError> {
        if self.len != self.expected {
            return Err(ProofError::OutOfRange);
        }
        self.subtrees.sort_by_key(|subtree| subtree.position);
        Ok(self.subtrees.into_iter().map(|subtree| subtree.root).collect())
    }
}

/// Why a proof does not hold, or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Leaf or size beyond the tree.
    #[error("the proof speaks of leaves that the tree does not have")]
    OutOfRange,
    /// Too few or too many nodes for these sizes.
    #[error("the proof has the wrong number of nodes for these sizes")]
    WrongLength,
    /// The nodes lead to another root: the leaf is not in the tree, or the older tree is no prefix of the newer one.
    #[error("the proof leads to another root")]
    RootDiffers,
}

/// Checks that the leaf with this hash is leaf `index` of the tree (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    head: &TreeHead,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if index >= head.len {
        return Err(ProofError::OutOfRange);
    }
    let mut path = Path { node: index, last: head.len - 1 };
    let mut root = leaf;
    for sibling in proof {
        root = match path.climb()? {
            Side::Left => node_hash(sibling, &root),
            Side::Right => node_hash(&root, sibling),
        };
    }
    path.ended()?;
    equal(root, head.root)
}

/// Checks that the older tree is a prefix of the newer one (RFC 9162, 2.1.4.2).
///
/// The empty tree is a prefix of every tree, and every tree of itself: both with an empty proof.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, proof: &[Digest]) -> Result<(), ProofError> {
    if old.len > new.len {
        return Err(ProofError::OutOfRange);
    }
    if old.len == 0 || old.len == new.len {
        let root = if old.len == 0 { Tree::new().root() } else { new.root };
        return if proof.is_empty() { equal(old.root, root) } else { Err(ProofError::WrongLength) };
    }
    let (seed, rest) = split_seed(old, proof)?;
    let mut path = Path { node: old.len - 1, last: new.len - 1 };
    path.skip(path.node.trailing_ones());
    let (mut old_root, mut new_root) = (seed, seed);
    for sibling in rest {
        match path.climb()? {
            Side::Left => {
                old_root = node_hash(sibling, &old_root);
                new_root = node_hash(sibling, &new_root);
            }
            Side::Right => new_root = node_hash(&new_root, sibling),
        }
    }
    path.ended()?;
    equal(old_root, old.root)?;
    equal(new_root, new.root)
}

/// The node from which both roots are computed: an older tree that is perfect is that node itself, and left out of the proof.
fn split_seed<'a>(old: &TreeHead, proof: &'a [Digest]) -> Result<(Digest, &'a [Digest]), ProofError> {
    if old.len.is_power_of_two() {
        return Ok((old.root, proof));
    }
    let (seed, rest) = proof.split_first().ok_or(ProofError::WrongLength)?;
    Ok((*seed, rest))
}

/// A way from a node to the root: its index, and that of the last node, on the present level.
struct Path {
    node: u64,
    last: u64,
}

/// On which side of the path a sibling stands.
enum Side {
    Left,
    Right,
}

impl Path {
    /// Goes up to the next level where there is a sibling, and one further.
    fn climb(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::WrongLength);
        }
        if self.node & 1 == 0 && self.node != self.last {
            self.skip(1);
            return Ok(Side::Right);
        }
        // On the right edge a node without a sibling is its own parent. The node is not 0 here, since `last` is not.
        self.skip(self.node.trailing_zeros() + 1);
        Ok(Side::Left)
    }

    fn skip(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    fn ended(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::WrongLength) }
    }
}

/// The subtrees beside the path from leaf `index` to the root, from the leaf upwards (`PATH` of RFC 9162, 2.1.3.1).
fn inclusion_ranges(index: u64, len: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, len);
    let mut ranges = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The subtrees of a consistency proof, in its order (`PROOF` of RFC 9162, 2.1.4.1).
fn consistency_ranges(old: u64, new: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, new);
    let mut ranges = Vec::new();
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // The verifier knows the older root; only when that is no node of the newer tree, it needs a node to begin with.
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(trstctl_sha256::hash_one(NODE, &joined(left, right)))
}

fn joined(left: &Digest, right: &Digest) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&left.0);
    bytes[32..].copy_from_slice(&right.0);
    bytes
}

fn equal(found: Digest, expected: Digest) -> Result<(), ProofError> {
    if found == expected { Ok(()) } else { Err(ProofError::RootDiffers) }
}

#[cfg(test)]
mod tests;
