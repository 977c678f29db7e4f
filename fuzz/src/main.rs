//! Runs fuzz targets on stable Rust: over their corpus and mutations of it, or once over given files.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use trstctl_fuzz::{Budget, Finding, Run, TARGETS, Target, replay, target};

/// Fuzz targets, each over its corpus and mutations of it; or one of them over the files that are named.
#[derive(Parser)]
struct Arguments {
    /// The target; all without one.
    #[arg(value_parser = named)]
    target: Option<&'static Target>,
    /// Files to give to that target, and nothing else.
    files: Vec<PathBuf>,
    /// Only names each target and the file with the words of its inputs.
    #[arg(long, conflicts_with_all = ["target", "files"])]
    list: bool,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What decides the mutations; the clock without it.
    #[arg(long, env = "TRSTCTL_SEED")]
    seed: Option<u64>,
    /// A file that each input is written to before it is tried: for one target, whose run ends the whole process.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Targets at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

fn named(name: &str) -> Result<&'static Target, String> {
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    target(name).ok_or_else(|| format!("the targets are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    let findings = match (arguments.target, &arguments.files[..]) {
        (Some(target), files @ [_, ..]) => repeat(target, files),
        (Some(target), []) => run(&[*target], &arguments),
        (None, _) => run(TARGETS, &arguments),
    };
    for finding in &findings {
        println!("\n{}", finding.report());
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn list() {
    for target in TARGETS {
        println!("{} fuzz/dictionaries/{}.dict", target.name, target.dictionary);
    }
}

fn repeat(target: &Target, files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        match std::fs::read(file).map(|input| replay(target, &input)) {
            Ok(Ok(outcome)) => println!("{}: {outcome}", file.display()),
            Ok(Err(finding)) => findings.push(*finding),
            Err(error) => eprintln!("{}: {error}", file.display()),
        }
    }
    findings
}

/// Runs them, so many at once; one that fails ends its own run only.
fn run(targets: &[Target], arguments: &Arguments) -> Vec<Finding> {
    let seed = arguments.seed.unwrap_or_else(clock);
    println!("TRSTCTL_SEED={seed}");
    let waiting = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let findings = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let budget = Budget::Time(Duration::from_secs(arguments.seconds));
                    match (Run { target, seed, budget, trace: arguments.trace.clone() }).go() {
                        Ok(stats) => {
                            println!("{}: {} inputs, {} shapes", target.name, stats.inputs, stats.shapes)
                        }
                        Err(finding) => {
                            findings.lock().unwrap_or_else(PoisonError::into_inner).push(*finding);
                        }
                    }
                }
            });
        }
    });
    findings.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
