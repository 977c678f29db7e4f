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
    trees: Vec<Tree>,
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
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.places.insert(id.into(), self.trees.len());
                self.trees.push(Tree::new());
                self.trees.len() - 1
            }
        };
        self.trees[place].push(leaf);
    }

    /// The heads, sorted by the bytes of the ids.
    pub(crate) fn heads(&self) -> Vec<TenantHead> {
        let mut heads: Vec<TenantHead> = self
            .places
            .iter()
            .map(|(id, place)| {
                let head = self.trees[*place].head();
                TenantHead { id: id.clone(), records: head.len, merkle_root: head.root }
            })
            .collect();
        heads.sort_by(|a, b| json::v2_decoded(&a.id).cmp(&json::v2_decoded(&b.id)));
        heads
    }
}
