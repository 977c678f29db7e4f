//! Every target holds over its corpus and over the mutations of one seed: about two seconds each, and two minutes where
//! `TRSTCTL_TORTURE` is set. Another `TRSTCTL_SEED` gives other mutations.

use std::time::Duration;
use std::{env, fs};

use trstctl_fuzz::{Budget, Run, TARGETS, folder, target};

const SEED: u64 = 1;
const WHOLE: Duration = Duration::from_secs(120);

fn holds(name: &str) {
    let target = target(name).expect("the target is there");
    let seed = env::var("TRSTCTL_SEED").map_or(SEED, |text| text.parse().expect("TRSTCTL_SEED is a number"));
    let is_whole = env::var_os("TRSTCTL_TORTURE").is_some_and(|value| !value.is_empty() && value != "0");
    let budget = if is_whole { Budget::Time(WHOLE) } else { Budget::Rounds(target.rounds) };
    println!("{name}: TRSTCTL_SEED={seed}");
    match (Run { target, seed, budget, trace: None }).go() {
        Ok(stats) => println!("{name}: {stats:?}"),
        Err(finding) => panic!("{}", finding.report()),
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        mod corpus_and_mutations_hold {
            $(#[test] fn $name() { super::holds(stringify!($name)); })*
        }
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets!(
    certificate_request,
    container,
    crl_request,
    header,
    issuer_certificate,
    journal,
    key_share,
    manifest,
    migrations,
    nats_connection,
    projection,
    record_v1,
    record_v2,
    sealed_key,
    small_request,
    stored_message,
    trailer,
    tree_head,
    whole_v1,
    whole_v2,
);

#[test]
fn every_target_has_a_test_a_corpus_and_a_binary_for_libfuzzer() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in names {
        let corpus = fs::read_dir(folder().join("corpus").join(name));
        assert!(corpus.is_ok_and(|mut files| files.next().is_some()), "{name} has no corpus");
        let binary = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("trstctl_fuzz::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}

/// `make fuzz` names no program, and each target is one to cargo.
#[test]
fn the_program_that_runs_the_targets_is_what_cargo_runs() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    assert!(manifest.lines().any(|line| line == "default-run = \"trstctl-fuzz\""));
}

#[test]
fn an_input_that_a_target_fails_on_is_found_and_named() {
    fn fails(input: &[u8]) -> trstctl_fuzz::Outcome {
        assert!(!input.contains(&b'7'), "a seven");
        input.len().to_string().into()
    }
    let target = trstctl_fuzz::Target { run: fails, ..*target("header").unwrap() };
    // Corpus and dictionary hold no lack of digits.
    let finding =
        Run { target: &target, seed: SEED, budget: Budget::Rounds(100_000), trace: None }.go().unwrap_err();
    assert!(finding.input.contains(&b'7') && finding.to_string().contains("a seven"), "{finding}");
}
