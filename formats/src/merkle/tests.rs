//! The tree against published roots, against an independent implementation, and against every forgery of a proof.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;

use super::*;

type Independent = MemoryBackedTree<Sha256, Vec<u8>>;

/// The leaves of the published test vectors of Certificate Transparency.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Their roots for 1 to 8 leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaf(number: u64) -> Vec<u8> {
    number.to_be_bytes()[(number % 8) as usize..].to_vec()
}

fn heads(count: u64) -> Vec<TreeHead> {
    let mut tree = Tree::new();
    let mut heads = vec![tree.head()];
    for number in 0..count {
        tree.push(leaf_hash(&leaf(number)));
        heads.push(tree.head());
    }
    heads
}

fn prove(prover: Result<Prover, ProofError>, len: u64) -> Vec<Digest> {
    let mut prover = prover.unwrap();
    (0..len).for_each(|number| prover.push(leaf_hash(&leaf(number))));
    prover.finish().unwrap()
}

fn joined(proof: &[Digest]) -> Vec<u8> {
    proof.iter().flat_map(|digest| digest.0).collect()
}

#[test]
fn roots_are_the_published_ones() {
    let mut tree = Tree::new();
    assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (text, root) in LEAVES.iter().zip(ROOTS) {
        tree.push(leaf_hash(&hex::decode(text).unwrap()));
        assert_eq!(tree.root().to_string(), root);
    }
    assert_eq!(tree.len(), 8);
}

#[test]
fn the_root_of_the_worked_backup_example_is_reached() {
    let lines = [
        r#"{"seq":1,"subject":"events.tenant.registered","stored_at":"2026-01-02T03:00:00.25Z","id":"Vh5Zk2QmX0aBcDeFgHiJkL","type":"tenant.registered","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:00Z","data":{"name":"Acme <R&D>"}}"#,
        r#"{"seq":2,"subject":"events.owner.created","stored_at":"2026-01-02T03:00:01.500000001Z","id":"Vh5Zk2QmX0aBcDeFgHiJkM","type":"owner.created","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:01.5Z","data":{"id":"11111111-1111-4111-8111-111111111111","kind":"team","name":"payments","email":"pay@example.com"},"actor":{"subject":"alice","roles":["admin"]}}"#,
        r#"{"seq":4,"subject":"events.x","stored_at":"2026-01-02T03:00:02Z","raw_b64":"aGVsbG8="}"#,
    ];
    let mut tree = Tree::new();
    lines.iter().for_each(|line| tree.push(leaf_hash(line.as_bytes())));
    assert_eq!(tree.root().to_string(), "76cb6c5d6808744f44669153957c7943c9c4727bcff7dc84922779dfe232f785");
}

#[test]
fn roots_and_proofs_equal_those_of_an_independent_implementation() {
    const SIZE: u64 = 70;
    let heads = heads(SIZE);
    let mut other = Independent::new();
    for len in 1..=SIZE {
        other.push(leaf(len - 1));
        assert_eq!(heads[len as usize].root.0, *other.root().as_bytes().as_slice(), "root of {len}");
        for index in 0..len {
            let ours = prove(Prover::inclusion(index, len), len);
            assert_eq!(joined(&ours), other.prove_inclusion(index as usize).as_bytes(), "{index} in {len}");
            let hash = leaf_hash(&leaf(index));
            assert_eq!(verify_inclusion(hash, index, &heads[len as usize], &ours), Ok(()));
        }
        for old in 1..=len {
            let ours = prove(Prover::consistency(old, len), len);
            let additions = (len - old) as usize;
            assert_eq!(joined(&ours), other.prove_consistency(additions).as_bytes(), "{old} to {len}");
            assert_eq!(verify_consistency(&heads[old as usize], &heads[len as usize], &ours), Ok(()));
        }
    }
}

#[test]
fn an_empty_tree_is_a_prefix_of_every_tree_and_a_longer_tree_of_none() {
    let heads = heads(5);
    assert_eq!(verify_consistency(&heads[0], &heads[5], &[]), Ok(()));
    assert_eq!(verify_consistency(&heads[0], &heads[0], &[]), Ok(()));
    assert_eq!(verify_consistency(&heads[5], &heads[4], &[]), Err(ProofError::OutOfRange));
    let forged = TreeHead { len: 0, root: heads[1].root };
    assert_eq!(verify_consistency(&forged, &heads[5], &[]), Err(ProofError::RootDiffers));
    assert_eq!(verify_consistency(&heads[0], &heads[5], &[heads[1].root]), Err(ProofError::WrongLength));
}

#[test]
fn equal_sizes_with_unequal_roots_are_no_prefix() {
    let heads = heads(4);
    let other = TreeHead { len: 4, root: heads[3].root };
    assert_eq!(verify_consistency(&other, &heads[4], &[]), Err(ProofError::RootDiffers));
}

#[test]
fn a_prover_wants_exactly_its_leaves() {
    assert_eq!(Prover::inclusion(3, 3).unwrap_err(), ProofError::OutOfRange);
    assert_eq!(Prover::consistency(4, 3).unwrap_err(), ProofError::OutOfRange);
    for pushed in [4, 6] {
        let mut prover = Prover::consistency(3, 5).unwrap();
        (0..pushed).for_each(|number| prover.push(leaf_hash(&leaf(number))));
        assert_eq!(prover.finish(), Err(ProofError::OutOfRange));
    }
}

proptest! {
    #[test]
    fn a_consistency_proof_holds_for_nothing_but_its_two_trees(
        old in 1u64..200, more in 1u64..200, position in any::<prop::sample::Index>(), bit in 0usize..256,
    ) {
        let new = old + more;
        let heads = heads(new + 1);
        let (older, newer) = (heads[old as usize], heads[new as usize]);
        let proof = prove(Prover::consistency(old, new), new);
        prop_assert_eq!(verify_consistency(&older, &newer, &proof), Ok(()));

        let mut flipped = proof.clone();
        flipped[position.index(proof.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify_consistency(&older, &newer, &flipped), Err(ProofError::RootDiffers));
        prop_assert!(verify_consistency(&older, &newer, &proof[1..]).is_err());
        let longer = [&proof[..], &[older.root]].concat();
        prop_assert_eq!(verify_consistency(&older, &newer, &longer), Err(ProofError::WrongLength));
        prop_assert!(verify_consistency(&heads[old as usize - 1], &newer, &proof).is_err());
        prop_assert!(verify_consistency(&older, &heads[new as usize + 1], &proof).is_err());
        let forged = TreeHead { root: newer.root, ..older };
        prop_assert_eq!(verify_consistency(&forged, &newer, &proof), Err(ProofError::RootDiffers));
    }

    #[test]
    fn an_inclusion_proof_holds_for_nothing_but_its_leaf(
        len in 2u64..300, index in any::<prop::sample::Index>(), position in any::<prop::sample::Index>(),
    ) {
        let index = index.index(len as usize) as u64;
        let head = *heads(len).last().unwrap();
        let hash = leaf_hash(&leaf(index));
        let proof = prove(Prover::inclusion(index, len), len);
        prop_assert_eq!(verify_inclusion(hash, index, &head, &proof), Ok(()));

        let mut flipped = proof.clone();
        flipped[position.index(proof.len())].0[7] ^= 0x10;
        prop_assert_eq!(verify_inclusion(hash, index, &head, &flipped), Err(ProofError::RootDiffers));
        prop_assert!(verify_inclusion(hash, (index + 1) % len, &head, &proof).is_err());
        prop_assert!(verify_inclusion(leaf_hash(b"other"), index, &head, &proof).is_err());
        prop_assert!(verify_inclusion(hash, index, &head, &proof[1..]).is_err());
        let longer = [&proof[..], &[hash]].concat();
        prop_assert_eq!(verify_inclusion(hash, index, &head, &longer), Err(ProofError::WrongLength));
        prop_assert_eq!(verify_inclusion(hash, len, &head, &proof), Err(ProofError::OutOfRange));
    }
}

/// A tree in a list of several.
#[derive(Default)]
struct One(Tree);

impl AsMut<Tree> for One {
    fn as_mut(&mut self) -> &mut Tree {
        &mut self.0
    }
}

#[test]
fn trees_that_grow_by_many_leaves_at_once_are_those_that_grow_leaf_by_leaf() {
    let mut together: Vec<One> = (0..3).map(|_| One::default()).collect();
    let mut singly = together.iter().map(|_| Tree::new()).collect::<Vec<_>>();
    let mut growth = Growth::default();
    for number in 0..5000_u64 {
        let tree = [0, 1, 0, 2, 0, 0, 1][(number % 7) as usize];
        let leaf = leaf_hash(&number.to_be_bytes());
        growth.push(tree, leaf);
        singly[tree as usize].push(leaf);
        // Batches of 1, 2, 3 … leaves, so that every tree is met in every state.
        if number % 97 == number / 97 {
            growth.settle(&mut together);
        }
    }
    growth.settle(&mut together);
    let heads: Vec<TreeHead> = together.iter().map(|one| one.0.head()).collect();
    assert_eq!(heads, singly.iter().map(Tree::head).collect::<Vec<_>>());
}
