//! Fuzz targets: one plain function for each reader of bytes that come from elsewhere.
//!
//! A target demands more than that nothing panics: what is read is written again as it was, two ways to the same answer
//! agree, and every refusal says where. It panics when that does not hold. [`Run`] gives targets their corpus and
//! mutations of it, on stable Rust; `fuzz_targets/` gives them to libFuzzer.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod corpus;
pub mod der;
mod dictionary;
mod finding;
mod forge;
mod mutation;
mod run;
mod targets;

pub use corpus::{Corpus, folder};
pub use finding::Finding;
pub use run::{Budget, Run, Stats, replay};
pub use targets::{
    Outcome, certificate_request, container, crl_request, header, issuer_certificate, journal, key_share,
    manifest, migrations, nats_connection, projection, record_v1, record_v2, sealed_key, small_request,
    stored_message, trailer, tree_head, whole_v1, whole_v2,
};

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the function, of its corpus, of its binary.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]) -> Outcome,
    /// The file in `dictionaries/` with the words of its inputs.
    pub dictionary: &'static str,
    /// How many mutations an ordinary test run tries: about two seconds of an unoptimised build.
    pub rounds: u64,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "certificate_request", run: certificate_request, dictionary: "der", rounds: 8_000 },
    Target { name: "container", run: container, dictionary: "container", rounds: 60_000 },
    Target { name: "crl_request", run: crl_request, dictionary: "der", rounds: 10_000 },
    Target { name: "header", run: header, dictionary: "backup", rounds: 1_000_000 },
    Target { name: "issuer_certificate", run: issuer_certificate, dictionary: "der", rounds: 8_000 },
    Target { name: "journal", run: journal, dictionary: "journal", rounds: 3_000 },
    Target { name: "key_share", run: key_share, dictionary: "key_share", rounds: 2_000 },
    Target { name: "manifest", run: manifest, dictionary: "migrations", rounds: 3_000 },
    Target { name: "migrations", run: migrations, dictionary: "migrations", rounds: 8_000 },
    Target { name: "nats_connection", run: nats_connection, dictionary: "nats", rounds: 150_000 },
    Target { name: "projection", run: projection, dictionary: "projection", rounds: 8_000 },
    Target { name: "record_v1", run: record_v1, dictionary: "backup", rounds: 250_000 },
    Target { name: "record_v2", run: record_v2, dictionary: "backup", rounds: 250_000 },
    Target { name: "sealed_key", run: sealed_key, dictionary: "sealed_key", rounds: 50_000 },
    Target { name: "small_request", run: small_request, dictionary: "signer", rounds: 600_000 },
    Target { name: "stored_message", run: stored_message, dictionary: "backup", rounds: 120_000 },
    Target { name: "trailer", run: trailer, dictionary: "backup", rounds: 500_000 },
    Target { name: "tree_head", run: tree_head, dictionary: "backup", rounds: 150_000 },
    Target { name: "whole_v1", run: whole_v1, dictionary: "backup", rounds: 2_000 },
    Target { name: "whole_v2", run: whole_v2, dictionary: "backup", rounds: 2_000 },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
