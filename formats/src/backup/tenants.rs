//! The trees of the tenants: one a tenant, over the lines of its records in log order.

use std::collections::HashMap;
use std::sync::Arc;

use super::FormatVersion;
use super::limits::MAX_TENANTS;
use crate::Digest;
use crate::json;
use crate::merkle::{Growth, Tree};

/// Folds lines to one tree a tenant, until there are more tenants than a trailer can say. Memory: some hundred bytes a
/// tenant, and the ids, which together are no longer than a line.
pub(crate) struct Tenants(Option<Trees>);

impl Default for Tenants {
    fn default() -> Self {
        Self(Some(Trees::default()))
    }
}

#[derive(Default)]
struct Trees {
    /// By tenant id, escaped as in the lines.
    places: HashMap<Arc<[u8]>, u32>,
    trees: Vec<Tenant>,
    /// Leaves that are not in their trees yet.
    growth: Growth,
    /// Bytes of all ids.
    id_bytes: usize,
    recent: Recent,
}

struct Tenant {
    /// Its id, escaped as in the lines.
    id: Arc<[u8]>,
    tree: Tree,
}

impl AsMut<Tree> for Tenant {
    fn as_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }
}

/// Places of tenants seen of late, by a cheap sum of their ids: most lines need no hash.
struct Recent([u32; RECENT_PLACES]);

const RECENT_PLACES: usize = 4096;

impl Default for Recent {
    fn default() -> Self {
        Self([u32::MAX; RECENT_PLACES])
    }
}

impl Recent {
    /// Where to look for that id. Ids mostly differ in their last bytes.
    fn slot(&mut self, id: &[u8]) -> &mut u32 {
        let last = id.last_chunk::<8>().map_or(id.len() as u64, |chunk| u64::from_le_bytes(*chunk));
        let mixed = last.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        &mut self.0[mixed as usize % RECENT_PLACES]
    }
}

/// What a trailer says of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantHead {
    /// The tenant id, escaped as in the lines.
    pub(crate) id: Arc<[u8]>,
    pub(crate) records: u64,
    pub(crate) merkle_root: Digest,
}

impl Tenants {
    /// Adds a line of the tenant whose id, escaped as in the line, is `id`.
    pub(crate) fn push(&mut self, id: &[u8], leaf: Digest) {
        if let Some(trees) = &mut self.0 {
            trees.push(id, leaf);
            if trees.are_too_many() {
                self.0 = None;
            }
        }
    }

    /// The heads, sorted by the bytes of the ids; `None` when there are more than a trailer can say.
    pub(crate) fn heads(&mut self) -> Option<Vec<TenantHead>> {
        self.0.as_mut().map(Trees::heads)
    }
}

impl Trees {
    fn push(&mut self, id: &[u8], leaf: Digest) {
        let place = self.place(id);
        self.growth.push(place, leaf);
        if self.growth.is_due() {
            self.growth.settle(&mut self.trees);
        }
    }

    /// Where the tree of that tenant stands; made when it is missing.
    fn place(&mut self, id: &[u8]) -> u32 {
        let slot = self.recent.slot(id);
        if self.trees.get(*slot as usize).is_some_and(|tenant| *tenant.id == *id) {
            return *slot;
        }
        let place = self.places.get(id).copied();
        *slot = place.unwrap_or_else(|| {
            let id: Arc<[u8]> = id.into();
            let place = u32::try_from(self.trees.len()).expect("there are at most MAX_TENANTS trees and one");
            self.id_bytes += id.len();
            self.places.insert(Arc::clone(&id), place);
            self.trees.push(Tenant { id, tree: Tree::new() });
            place
        });
        *slot
    }

    /// Whether no trailer can say these, whatever else it says.
    fn are_too_many(&self) -> bool {
        self.trees.len() > MAX_TENANTS || self.id_bytes > FormatVersion::V2.max_line_bytes()
    }

    fn heads(&mut self) -> Vec<TenantHead> {
        self.growth.settle(&mut self.trees);
        let head = |tenant: &Tenant| {
            let head = tenant.tree.head();
            TenantHead { id: Arc::clone(&tenant.id), records: head.len, merkle_root: head.root }
        };
        let mut heads: Vec<TenantHead> = self.trees.iter().map(head).collect();
        heads.sort_by(|a, b| json::v2_decoded(&a.id).cmp(&json::v2_decoded(&b.id)));
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tenants_than_a_trailer_can_say_are_not_kept() {
        let mut tenants = Tenants::default();
        for n in 0..MAX_TENANTS {
            tenants.push(n.to_string().as_bytes(), Digest([0; 32]));
        }
        tenants.push(b"0", Digest([0; 32]));
        assert_eq!(tenants.heads().map(|heads| heads.len()), Some(MAX_TENANTS));
        tenants.push(b"one more", Digest([0; 32]));
        assert!(tenants.0.is_none());
        tenants.push(b"0", Digest([0; 32]));
        assert_eq!(tenants.heads(), None);
    }

    #[test]
    fn ids_that_are_together_longer_than_a_line_are_not_kept() {
        let mut tenants = Tenants::default();
        let mut id = vec![b'x'; FormatVersion::V2.max_line_bytes() / 2];
        tenants.push(&id, Digest([0; 32]));
        id[0] = b'y';
        tenants.push(&id, Digest([0; 32]));
        assert!(tenants.0.is_some());
        tenants.push(b"z", Digest([0; 32]));
        assert!(tenants.0.is_none());
    }
}
