//! The Merkle tree of RFC 6962: incremental root, inclusion and consistency proofs.
