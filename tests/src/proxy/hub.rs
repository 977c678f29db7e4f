//! What all connections of a proxy share: its faults, what they have counted, and whether anything may pass.

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::{Action, Fault, Pick, Way};
use super::frame::{Frame, Speech};

/// How long a test waits for its fault.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Hub {
    speech: Speech,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    target: SocketAddr,
    passage: Passage,
    armed: Vec<Armed>,
    /// Reply subjects of questions, with the question's subject.
    questions: HashSet<(String, &'static str)>,
    /// How many messages of a consumer were hidden.
    hidden: HashMap<String, u64>,
    sockets: Vec<TcpStream>,
    done: u64,
    /// Grows with every healing: who stalls before it ends after it.
    era: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Passage {
    Open,
    Frozen,
    /// Connections end at once.
    Refusing,
    Closed,
}

struct Armed {
    fault: Fault,
    seen: u64,
    spent: bool,
}

/// What becomes of a frame.
pub(super) enum Verdict {
    Pass,
    Drop,
    Double,
    Hold,
    Flip(Option<usize>),
    Say(&'static str),
    /// Only so many bytes arrive.
    Cut(usize),
    Stall,
}

impl Hub {
    pub(super) fn new(target: SocketAddr, speech: Speech) -> Self {
        let state = State {
            target,
            passage: Passage::Open,
            armed: Vec::new(),
            questions: HashSet::new(),
            hidden: HashMap::new(),
            sockets: Vec::new(),
            done: 0,
            era: 0,
        };
        Self { speech, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn speech(&self) -> Speech {
        self.speech
    }

    pub(super) fn lead_to(&self, target: SocketAddr) {
        self.state().target = target;
    }

    pub(super) fn arm(&self, fault: Fault) {
        self.state().armed.push(Armed { fault, seen: 0, spent: false });
    }

    pub(super) fn done(&self) -> u64 {
        self.state().done
    }

    pub(super) fn wait_until_done(&self) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| state.done == 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.done > 0
    }

    pub(super) fn thaw(&self) {
        self.state().passage = Passage::Open;
        self.changed.notify_all();
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.passage = Passage::Open;
        state.armed.clear();
        state.done = 0;
        self.end_connections(state);
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.passage = Passage::Closed;
        self.end_connections(state);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().passage == Passage::Closed
    }

    /// Where connections lead; `None` when they end at once.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let state = self.state();
        matches!(state.passage, Passage::Open | Passage::Frozen).then_some(state.target)
    }

    pub(super) fn keep(&self, sockets: [TcpStream; 2]) {
        self.state().sockets.extend(sockets);
    }

    /// Messages of this delivery's consumer that were hidden.
    pub(super) fn hidden(&self, frame: &Frame) -> u64 {
        let consumer = frame.consumer().unwrap_or_default();
        self.state().hidden.get(consumer).copied().unwrap_or(0)
    }

    /// Blocks until the proxy is healed or closed.
    pub(super) fn wait_for_the_end(&self) {
        let state = self.state();
        let era = state.era;
        drop(self.changed.wait_while(state, |state| state.era == era));
    }

    /// Decides about a frame, after whatever must pass before it may.
    pub(super) fn judge(&self, way: Way, frame: &Frame) -> Verdict {
        let state = self.state();
        let mut state = self
            .changed
            .wait_while(state, |state| state.passage == Passage::Frozen)
            .unwrap_or_else(PoisonError::into_inner);
        state.remember_question(way, frame);
        let Some((action, place)) = state.fault_for(way, frame) else { return Verdict::Pass };
        println!("    {action:?} {way:?}: {:?} {} bytes", frame.subject, frame.bytes.len());
        state.done += 1;
        self.changed.notify_all();
        self.act(state, &action, place, frame)
    }

    fn act(
        &self,
        mut state: MutexGuard<'_, State>,
        action: &Action,
        place: Option<usize>,
        frame: &Frame,
    ) -> Verdict {
        let middle = place.unwrap_or(frame.bytes.len() / 2);
        match action {
            Action::Cut => Verdict::Cut(middle),
            Action::CutForGood => {
                state.passage = Passage::Refusing;
                self.end_connections(state);
                Verdict::Cut(middle)
            }
            Action::Delay(span) => {
                self.rest(state, *span);
                Verdict::Pass
            }
            Action::Stall => Verdict::Stall,
            Action::Freeze => {
                state.passage = Passage::Frozen;
                drop(self.changed.wait_while(state, |state| state.passage == Passage::Frozen));
                Verdict::Pass
            }
            Action::Drop => Verdict::Drop,
            Action::Hide => {
                let consumer = frame.consumer().unwrap_or_default().to_owned();
                *state.hidden.entry(consumer).or_default() += 1;
                Verdict::Drop
            }
            Action::Double => Verdict::Double,
            Action::Swap => Verdict::Hold,
            Action::Flip => Verdict::Flip(place),
            Action::Say(payload) => Verdict::Say(payload),
        }
    }

    /// Holds the frame back for so long; others pass meanwhile.
    fn rest(&self, state: MutexGuard<'_, State>, span: Duration) {
        let (until, era) = (Instant::now() + span, state.era);
        drop(
            self.changed.wait_timeout_while(state, span, |state| state.era == era && Instant::now() < until),
        );
    }

    fn end_connections(&self, mut state: MutexGuard<'_, State>) {
        state.era += 1;
        state.questions.clear();
        for socket in state.sockets.drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember_question(&mut self, way: Way, frame: &Frame) {
        if way != Way::ToServer || frame.reply.is_empty() {
            return;
        }
        for armed in &self.armed {
            if let Pick::AnswerTo(what, _) | Pick::EveryAnswerTo(what) = armed.fault.pick
                && frame.subject.contains(what)
            {
                self.questions.insert((frame.reply.clone(), what));
            }
        }
    }

    /// The first armed fault that this frame is picked for, and the place in it where that is one byte.
    fn fault_for(&mut self, way: Way, frame: &Frame) -> Option<(Action, Option<usize>)> {
        let questions = &self.questions;
        let picked = |armed: &mut Armed| {
            if armed.spent || armed.fault.way != way {
                return None;
            }
            let hit = armed.picks(frame, questions)?;
            Some((armed.fault.action.clone(), hit))
        };
        self.armed.iter_mut().find_map(picked)
    }
}

impl Armed {
    /// Counts the frame; answers whether it is the one, and the byte in it if that was asked for.
    fn picks(&mut self, frame: &Frame, questions: &HashSet<(String, &'static str)>) -> Option<Option<usize>> {
        let is_answer = |what| questions.contains(&(frame.subject.clone(), what));
        match self.fault.pick {
            Pick::Byte(number) => {
                let before = self.seen;
                self.seen += frame.bytes.len() as u64;
                self.spent = number <= self.seen;
                self.spent.then(|| Some((number - before - 1) as usize))
            }
            Pick::Message(beginning, number) => self.counts(frame.subject.starts_with(beginning), number),
            Pick::AnswerTo(what, number) => self.counts(is_answer(what), number),
            Pick::Sequence(sequence) => (frame.sequence() == Some(sequence)).then_some(None),
            Pick::EveryAnswerTo(what) => is_answer(what).then_some(None),
        }
    }

    fn counts(&mut self, fits: bool, number: u64) -> Option<Option<usize>> {
        self.seen += u64::from(fits);
        self.spent = fits && self.seen == number;
        self.spent.then_some(None)
    }
}
