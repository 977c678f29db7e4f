//! One pass over all lines, on several threads, in bounded memory.
//!
//! The calling thread reads. One thread hashes the blocks (for keyed version 1 together with the MAC, or a second one does
//! where the processor does not help; for version 2 with the leaves of their lines, unless a parser has nothing else to do), some
//! parse them, one folds the facts in file order. All share the blocks; the pool makes the reader wait.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

use trstctl_sha256::{Checksum, WithMac};

use super::Watch;
use super::facts::{self, BlockFacts};
use super::findings::Findings;
use super::hashing;
use super::job::Job;
use crate::backup::blocks::Block;
use crate::backup::key::Mac;
use crate::backup::lines::{LastLine, LineReader, Piece};
use crate::backup::{BackupKey, FormatVersion, Header};
use crate::{Digest, Failure};

/// Blocks that may wait for one thread: more than the pool has.
const QUEUED_BLOCKS: usize = 64;

/// More threads than this that parse find nothing to do.
const MAX_PARSERS: usize = 6;

/// What the pass found.
pub(crate) struct Outcome {
    pub(crate) sha256: Digest,
    /// Version 1 with a key: the MAC over the same bytes.
    pub(crate) mac: Option<Mac>,
    pub(crate) findings: Findings,
    pub(crate) last: LastLine,
}

/// Reads everything after the header line.
pub(crate) fn run<R: Read>(
    reader: &mut LineReader<R>,
    header: &Header,
    header_line: Block,
    key: Option<&BackupKey>,
    findings: Findings,
    watch: &Watch<'_>,
) -> Result<Outcome, Failure> {
    let version = header.version;
    let key = key.filter(|_| version == FormatVersion::V1);
    thread::scope(|scope| {
        let (threads, feed) = Threads::start(scope, version, key, findings);
        let last = feed.all(reader, header_line, watch);
        let (sha256, mac, findings) = threads.join();
        let last = last.map_err(|stop| stop.into_failure(reader, findings.lines))?;
        Ok(Outcome { sha256, mac, findings, last })
    })
}

/// Why the reading ended before the last line.
enum Stop {
    Unreadable(io::Error),
    Interrupted(Failure),
}

impl Stop {
    /// The failure, with the place that the reader had reached after so many lines.
    fn into_failure<R: Read>(self, reader: &LineReader<R>, lines: u64) -> Failure {
        match self {
            Stop::Unreadable(error) => super::unreadable_at(&error, reader, lines),
            Stop::Interrupted(failure) => failure,
        }
    }
}

/// The threads of a pass. All are joined: a scope alone does not wait for what a thread gives back at its very end.
struct Threads<'scope> {
    hashers: Hashers<'scope>,
    parsers: Vec<ScopedJoinHandle<'scope, ()>>,
    findings: ScopedJoinHandle<'scope, Findings>,
}

/// What hashes the blocks: checksum, and for keyed version 1 the MAC.
enum Hashers<'scope> {
    Apart(ScopedJoinHandle<'scope, Digest>, Option<ScopedJoinHandle<'scope, Mac>>),
    Together(ScopedJoinHandle<'scope, (Digest, Mac)>),
}

impl<'scope> Hashers<'scope> {
    /// The threads, and where each takes its blocks.
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        version: FormatVersion,
        key: Option<&BackupKey>,
        found: &SyncSender<(u64, Found)>,
    ) -> (Self, Vec<SyncSender<Arc<Job>>>) {
        let (sender, jobs) = sync_channel(QUEUED_BLOCKS);
        if version == FormatVersion::V2 {
            let found = LeavesFound(found.clone());
            let sha256 = scope.spawn(move || {
                hashing::with_leaves(jobs, |number, leaves| found.send(number, Found::Leaves(leaves)))
            });
            return (Hashers::Apart(sha256, None), vec![sender]);
        }
        if let Some(both) = key.and_then(|key| WithMac::begin(key.v1())) {
            let both = scope.spawn(move || hashing::both(version, both, blocks(jobs)));
            return (Hashers::Together(both), vec![sender]);
        }
        let sha256 = scope.spawn(move || hashing::sha256(version, blocks(jobs)));
        let mut senders = vec![sender];
        let mac = key.map(|key| key.mac(version)).map(|mac| {
            let (sender, jobs) = sync_channel(QUEUED_BLOCKS);
            senders.push(sender);
            scope.spawn(move || hashing::mac(version, mac, blocks(jobs)))
        });
        (Hashers::Apart(sha256, mac), senders)
    }

    fn join(self) -> (Digest, Option<Mac>) {
        match self {
            Hashers::Apart(sha256, mac) => (joined(sha256), mac.map(joined)),
            Hashers::Together(both) => {
                let (sha256, mac) = joined(both);
                (sha256, Some(mac))
            }
        }
    }
}

fn blocks(jobs: Receiver<Arc<Job>>) -> impl Iterator<Item = Arc<Block>> {
    jobs.into_iter().map(|job| Arc::clone(&job.block))
}

/// What was found out about a block of lines.
enum Found {
    Whole(BlockFacts),
    /// The leaves of its lines come apart.
    Facts(BlockFacts),
    Leaves(Vec<Digest>),
    NoMoreLeaves,
}

/// Who hashes the leaves of lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeafWork {
    /// Version 1 has none.
    Nobody,
    /// Whoever parses a line.
    Parsers,
    /// The thread of the checksum, which takes them along for less than they cost alone, and parsers that have nothing else to do.
    Shared,
}

impl LeafWork {
    fn of(version: FormatVersion) -> Self {
        match version {
            FormatVersion::V1 => Self::Nobody,
            FormatVersion::V2 if Checksum::takes_along() => Self::Shared,
            FormatVersion::V2 => Self::Parsers,
        }
    }
}

/// Where the thread of the checksum sends leaves. Its end is told, since a panic there must not keep blocks waiting.
struct LeavesFound(SyncSender<(u64, Found)>);

impl LeavesFound {
    /// This fails only when the thread that folds has panicked, which its join tells.
    fn send(&self, number: u64, found: Found) {
        let _ = self.0.send((number, found));
    }
}

impl Drop for LeavesFound {
    fn drop(&mut self) {
        self.send(u64::MAX, Found::NoMoreLeaves);
    }
}

/// Blocks that wait to be parsed.
struct Unparsed {
    jobs: Mutex<Receiver<Arc<Job>>>,
    /// How many: a channel does not tell.
    count: Arc<AtomicUsize>,
}

/// Where the reader sends what it read. Dropping it ends the threads.
struct Feed {
    leaf_work: LeafWork,
    hashers: Vec<SyncSender<Arc<Job>>>,
    parsers: SyncSender<Arc<Job>>,
    unparsed: Arc<AtomicUsize>,
    found: SyncSender<(u64, Found)>,
    sent: u64,
}

impl<'scope> Threads<'scope> {
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        version: FormatVersion,
        key: Option<&BackupKey>,
        findings: Findings,
    ) -> (Self, Feed) {
        let leaf_work = LeafWork::of(version);
        let (found, all_found) = sync_channel(QUEUED_BLOCKS);
        let (hashers, to_hashers) = Hashers::start(scope, version, key, &found);
        let (to_parsers, jobs) = sync_channel(QUEUED_BLOCKS);
        let count = Arc::<AtomicUsize>::default();
        // Of the parsers alone: when the last one ends, what waits for them is dropped.
        let unparsed = Arc::new(Unparsed { jobs: Mutex::new(jobs), count: Arc::clone(&count) });
        let parser = |_| {
            let (unparsed, found) = (Arc::clone(&unparsed), found.clone());
            scope.spawn(move || parse(version, leaf_work, &unparsed, &found))
        };
        let parsers = (0..parsers()).map(parser).collect();
        let findings = scope.spawn(move || fold(findings, &all_found));
        let feed =
            Feed { leaf_work, hashers: to_hashers, parsers: to_parsers, unparsed: count, found, sent: 0 };
        (Self { hashers, parsers, findings }, feed)
    }

    fn join(self) -> (Digest, Option<Mac>, Findings) {
        let (sha256, mac) = self.hashers.join();
        self.parsers.into_iter().for_each(joined);
        (sha256, mac, joined(self.findings))
    }
}

fn parsers() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_PARSERS))
}

/// The result of a thread; a panic in it goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn parse(version: FormatVersion, leaf_work: LeafWork, unparsed: &Unparsed, found: &SyncSender<(u64, Found)>) {
    while let Some(job) = unparsed.next() {
        let mut facts = facts::of_block(version, Arc::clone(&job.block));
        let is_mine = match leaf_work {
            LeafWork::Nobody => false,
            LeafWork::Parsers => true,
            LeafWork::Shared => unparsed.is_empty() && job.take_leaves(),
        };
        if is_mine {
            facts.set_leaves(&facts::leaves_of(&job.block));
        }
        let facts =
            if is_mine || leaf_work == LeafWork::Nobody { Found::Whole(facts) } else { Found::Facts(facts) };
        if found.send((job.number, facts)).is_err() {
            return;
        }
    }
}

impl Unparsed {
    fn next(&self) -> Option<Arc<Job>> {
        let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        next.ok().inspect(|_| {
            self.count.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }
}

/// Adds facts in the order in which the reader sent the blocks.
fn fold(mut findings: Findings, found: &Receiver<(u64, Found)>) -> Findings {
    let (mut halves, mut early) = (Halves::default(), BTreeMap::new());
    let mut next = 0;
    for (number, found) in found {
        early.extend(halves.join(number, found).map(|facts| (number, facts)));
        while let Some(facts) = early.remove(&next) {
            findings.add(facts);
            next += 1;
        }
    }
    findings
}

/// Facts that wait for their leaves, and leaves that wait for their facts.
#[derive(Default)]
struct Halves {
    waiting: HashMap<u64, Found>,
    no_more_leaves: bool,
}

impl Halves {
    /// The facts of a block, once all of it has come.
    fn join(&mut self, number: u64, found: Found) -> Option<BlockFacts> {
        match (found, self.waiting.remove(&number)) {
            (Found::Whole(facts), _) => return Some(facts),
            (Found::Facts(mut facts), Some(Found::Leaves(leaves)))
            | (Found::Leaves(leaves), Some(Found::Facts(mut facts))) => {
                facts.set_leaves(&leaves);
                return Some(facts);
            }
            (Found::NoMoreLeaves, _) => {
                self.no_more_leaves = true;
                self.waiting.retain(|_, half| matches!(half, Found::Leaves(_)));
            }
            // The checksum's thread has panicked: held on to, these would leave the reader no room in the pool.
            (Found::Facts(_), None) if self.no_more_leaves => {}
            (half, _) => drop(self.waiting.insert(number, half)),
        }
        None
    }
}

impl Feed {
    /// Reads and sends all, up to the last line. A send fails only when its thread panicked, which the join tells.
    fn all<R: Read>(
        mut self,
        reader: &mut LineReader<R>,
        header_line: Block,
        watch: &Watch<'_>,
    ) -> Result<LastLine, Stop> {
        self.hash_only(header_line);
        loop {
            watch.look().map_err(Stop::Interrupted)?;
            match reader.next_piece().map_err(Stop::Unreadable)? {
                Piece::Lines(block) => {
                    let block = Arc::new(block);
                    let job = Arc::new(match self.leaf_work {
                        LeafWork::Shared => Job::with_leaves(self.sent, block),
                        LeafWork::Nobody | LeafWork::Parsers => Job::without_leaves(self.sent, block),
                    });
                    self.hash(&job);
                    self.unparsed.fetch_add(1, Ordering::Relaxed);
                    let _ = self.parsers.send(job);
                    self.sent += 1;
                }
                Piece::Fragment(block) => self.hash_only(block),
                Piece::EndOfOverlong(block, line) => {
                    self.hash_only(block);
                    let _ = self.found.send((self.sent, Found::Whole(BlockFacts::overlong(line.offset))));
                    self.sent += 1;
                }
                Piece::Last(last) => return Ok(last),
            }
        }
    }

    fn hash_only(&self, block: Block) {
        self.hash(&Arc::new(Job::without_leaves(self.sent, Arc::new(block))));
    }

    fn hash(&self, job: &Arc<Job>) {
        for hasher in &self.hashers {
            let _ = hasher.send(Arc::clone(job));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::findings::Renumber;
    use super::super::options::{Cut, VerifyOptions};
    use super::*;
    use crate::StoreTime;
    use crate::backup::blocks::Buffer;
    use crate::merkle::leaf_hash;

    fn block(text: &str) -> Arc<Block> {
        let mut buffer = Buffer::take(&Arc::default(), text.len(), 0);
        buffer.push(text.as_bytes());
        Arc::new(buffer.into_block(text.len(), 0))
    }

    /// Long enough to have a leaf.
    fn record(sequence: u64) -> String {
        format!(r#"{{"seq":{sequence},"subject":"","stored_at":"2026-01-02T03:00:00Z","raw_b64":""}}"#)
    }

    #[test]
    fn leaves_are_those_of_the_records_whoever_hashes_them_and_whatever_lies_between() {
        let junk = "x".repeat(100);
        let text = format!("{}\n\n{junk}\n{{}}\n{}\n", record(1), record(2));
        let expected = [1, 2].map(|sequence| leaf_hash(record(sequence).as_bytes()));
        let facts = || facts::of_block(FormatVersion::V2, block(&text));
        let mut checksum = Checksum::default();
        let beside = facts::leaves_beside(&mut checksum, &block(&text));
        let apart = facts::leaves_of(&block(&text));
        assert_eq!((beside.len(), &beside), (3, &apart));
        assert_eq!(
            Digest(checksum.finish()),
            Digest(trstctl_sha256::hash_one(text.as_bytes()[0], &text.as_bytes()[1..]))
        );
        let leaves = |facts: BlockFacts| facts.records.iter().map(|record| record.leaf).collect::<Vec<_>>();
        let mut halves = Halves::default();
        assert!(halves.join(0, Found::Facts(facts())).is_none());
        assert!(halves.join(1, Found::Leaves(apart)).is_none());
        assert_eq!(leaves(halves.join(0, Found::Leaves(beside)).unwrap()), expected);
        // The end of all leaves is none of those that have come.
        assert!(halves.join(u64::MAX, Found::NoMoreLeaves).is_none());
        assert_eq!(leaves(halves.join(1, Found::Facts(facts())).unwrap()), expected);
    }

    #[test]
    fn facts_whose_leaves_will_never_come_give_their_blocks_back() {
        let (early, late) = (block("a\n"), block("b\n"));
        let facts = |block: &Arc<Block>| Found::Facts(facts::of_block(FormatVersion::V2, Arc::clone(block)));
        let mut halves = Halves::default();
        assert!(halves.join(0, facts(&early)).is_none());
        assert_eq!(Arc::strong_count(&early), 2);
        assert!(halves.join(u64::MAX, Found::NoMoreLeaves).is_none());
        assert!(halves.join(1, facts(&late)).is_none());
        assert_eq!((Arc::strong_count(&early), Arc::strong_count(&late)), (1, 1));
    }

    #[test]
    fn lines_around_one_over_the_limit_are_read_and_counted() {
        let header = Header {
            version: FormatVersion::V1,
            created_at: StoreTime(0),
            deployment_id: None,
            stream: String::new(),
            first_sequence: 1,
            event_cut_sequence: 2,
        };
        // Longer than a buffer: what fits into one is never cut.
        let (limit, long) = (300_000, "x".repeat(400_000));
        let record = r#"{"id":"a","type":"t","tenant_id":"x"}"#;
        let text = format!("h\n{record}\n{long}\n{record}\n{long}\n{record}\nt\n");
        let mut reader = LineReader::new(text.as_bytes(), limit);
        let first = reader.first_line().unwrap();
        let (options, read_bytes) = (VerifyOptions::default(), Cell::new(0));
        let watch = Watch { options: &options, read_bytes: &read_bytes };
        let findings = Findings::new(&header, Cut::All, Renumber::No);
        let outcome = run(&mut reader, &header, first, None, findings, &watch).unwrap();
        assert_eq!((outcome.findings.lines, outcome.findings.records), (6, 3));
        let malformed = outcome.findings.malformed.map(|fault| (fault.line, fault.offset));
        assert_eq!(malformed, Some((3, (2 + record.len() + 1) as u64)));
        assert!(matches!(outcome.last, LastLine::Whole(last) if &*last == b"t\n"));
    }
}
