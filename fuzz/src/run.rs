//! Runs a target over its corpus and over mutations of it, until the budget is spent or an input fails.
//!
//! What a target answers is a shape: two inputs with the same shape went about the same way. An input with a new shape
//! joins those that mutations are made of, so that a run gets deeper with time, as far as that goes without
//! instrumentation. Everything but the clock is decided by the seed.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::mutation::{Mutator, Numbers};
use crate::{Corpus, Finding, Outcome, Target, corpus, dictionary};

/// After this long, a single input is a finding.
const SLOWEST: Duration = Duration::from_secs(60);
/// Shapes that are told apart.
const MAX_SHAPES: usize = 4_000;
/// Longer inputs are not kept: they are slow, and nothing new.
const MAX_KEPT_BYTES: usize = 16 << 10;

/// How long a run goes on.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// So many mutations: the same inputs each time.
    Rounds(u64),
    /// So long.
    Time(Duration),
}

/// A run of a target.
pub struct Run<'a> {
    /// The target.
    pub target: &'a Target,
    /// What decides the mutations.
    pub seed: u64,
    /// When to stop.
    pub budget: Budget,
    /// Where each input is written before it is tried: it tells what a process did that did not survive it.
    pub trace: Option<PathBuf>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Inputs that were tried.
    pub inputs: u64,
    /// Shapes that were seen.
    pub shapes: usize,
}

impl Run<'_> {
    /// Tries the corpus, then mutations.
    ///
    /// # Errors
    /// The first input that the target fails on, or takes more than a minute for.
    ///
    /// # Panics
    /// When corpus or dictionary cannot be read, or the trace not written.
    pub fn go(&self) -> Result<Stats, Box<Finding>> {
        let corpus = Corpus::read(self.target).expect("the corpus can be read");
        let mut pool = Pool::default();
        let watch = Watch::begin(self.target);
        for (_, input) in corpus.inputs {
            let shape = self.tried(&watch, &input)?;
            pool.shapes.insert(shape);
            pool.inputs.push(input);
        }
        let corpus_len = pool.inputs.len() as u64;
        let mut mutator = Mutator::new(Numbers::new(self.seed), words(self.target));
        let (begun, mut rounds) = (Instant::now(), 0);
        while self.goes_on(begun, rounds) {
            rounds += 1;
            let input = mutator.mutate(&pool.inputs);
            let shape = self.tried(&watch, &input)?;
            pool.keep(shape, input);
        }
        Ok(Stats { inputs: corpus_len + rounds, shapes: pool.shapes.len() })
    }

    fn tried(&self, watch: &Watch, input: &[u8]) -> Result<Outcome, Box<Finding>> {
        if let Some(trace) = &self.trace {
            fs::write(trace, input).expect("the trace can be written");
        }
        watch.look_at(input);
        replay(self.target, input)
    }

    fn goes_on(&self, begun: Instant, rounds: u64) -> bool {
        match self.budget {
            Budget::Rounds(limit) => rounds < limit,
            Budget::Time(limit) => begun.elapsed() < limit,
        }
    }
}

/// Gives the target one input, and answers its shape.
///
/// # Errors
/// When the target fails on it.
pub fn replay(target: &Target, input: &[u8]) -> Result<Outcome, Box<Finding>> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        Box::new(Finding::new(target, input, text))
    })
}

fn words(target: &Target) -> Vec<Vec<u8>> {
    let path = corpus::folder().join("dictionaries").join(target.dictionary).with_extension("dict");
    let text = fs::read_to_string(&path).expect("the dictionary can be read");
    dictionary::parse(&text).expect("the dictionary is one")
}

/// What mutations are made of.
#[derive(Default)]
struct Pool {
    inputs: Vec<Vec<u8>>,
    shapes: HashSet<Outcome>,
}

impl Pool {
    fn keep(&mut self, shape: Outcome, input: Vec<u8>) {
        if self.shapes.len() < MAX_SHAPES && self.shapes.insert(shape) && input.len() <= MAX_KEPT_BYTES {
            self.inputs.push(input);
        }
    }
}

/// Ends the process with a finding when one input takes too long: nothing else can stop it.
struct Watch {
    current: Arc<Mutex<(Instant, Vec<u8>)>>,
    /// Its end tells the thread to end.
    _running: SyncSender<()>,
}

impl Watch {
    fn begin(target: &Target) -> Self {
        let (running, ended) = sync_channel::<()>(0);
        let current = Arc::new(Mutex::new((Instant::now(), Vec::new())));
        let (target, watched) = (*target, Arc::clone(&current));
        thread::spawn(move || {
            while ended.recv_timeout(SLOWEST / 4) == Err(RecvTimeoutError::Timeout) {
                let (since, input) = &*watched.lock().unwrap_or_else(PoisonError::into_inner);
                if since.elapsed() > SLOWEST {
                    eprintln!("{}", Finding::new(&target, input, "it takes more than a minute").report());
                    std::process::exit(1);
                }
            }
        });
        Self { current, _running: running }
    }

    fn look_at(&self, input: &[u8]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 = Instant::now();
        current.1.clear();
        current.1.extend_from_slice(input);
    }
}
