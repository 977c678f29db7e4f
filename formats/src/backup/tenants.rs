//! The trees of the tenants: one a tenant, over the lines of its records in log order.

use std::collections::HashMap;

use crate::Digest;
use crate::json;
use crate::merkle::Tree;

/// Folds lines to one tree a tenant. Memory: some hundred bytes a tenant.
#[derive(Default)]
pub(crate) struct Tenants {
    /// By tenant id, escaped as in the lines.
    places: HashMap<Box<[u8]>, usize>,
    trees: Vec<(Box<[u8]>, Tree)>,
    recent: Recent,
}

/// Places of tenants seen of late, by a cheap sum of their ids: most lines need no hash.
struct Recent([u32; RECENT_PLACES]);

const RECENT_PLACES: usize = 1024;

impl Default for Recent {
    fn default() -> Self {
        Self([u32::MAX; RECENT_PLACES])
    }
}

impl Recent {
    /// Where to look for that id. Ids mostly differ in their last bytes.
    fn slot(&mut self, id: &[u8]) -> &mut u32 {
        let last = id.last_chunk::<8>().map_or(id.len() as u64, |chunk| u64::from_le_bytes(*chunk));
        let mixed = last.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        &mut self.0[mixed as usize % RECENT_PLACES]
    }
}

/// What a trailer says of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantHead {
    /// The tenant id, escaped as in the lines.
    pub(crate) id: Box<[u8]>,
    pub(crate) records: u64,
    pub(crate) merkle_root: Digest,
}

impl Tenants {
    /// Adds a line of the tenant whose id, escaped as in the line, is `id`.
    pub(crate) fn push(&mut self, id: &[u8], leaf: Digest) {
        let slot = self.recent.slot(id);
        if let Some((found, tree)) = self.trees.get_mut(*slot as usize)
            && **found == *id
        {
            return tree.push(leaf);
        }
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.places.insert(id.into(), self.trees.len());
                self.trees.push((id.into(), Tree::new()));
                self.trees.len() - 1
            }
        };
        *slot = u32::try_from(place).unwrap_or(u32::MAX);
        self.trees[place].1.push(leaf);
    }

    /// The heads, sorted by the bytes of the ids.
    pub(crate) fn heads(&self) -> Vec<TenantHead> {
        let head = |(id, tree): &(Box<[u8]>, Tree)| {
            let head = tree.head();
            TenantHead { id: id.clone(), records: head.len, merkle_root: head.root }
        };
        let mut heads: Vec<TenantHead> = self.trees.iter().map(head).collect();
        heads.sort_by(|a, b| json::v2_decoded(&a.id).cmp(&json::v2_decoded(&b.id)));
        heads
    }
}
