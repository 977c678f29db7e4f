//! Two SHA-256 at a time by the processor's SHA instructions.

use crate::instructions::{Halves, ShaInstructions};
use crate::lanes::{self, Lane};
use crate::rounds::{INITIAL, State};

const LANES: usize = 2;

/// The states of all lanes.
pub(crate) struct States {
    sha: ShaInstructions,
    states: [Halves; LANES],
}

impl States {
    /// The states before the first block.
    pub(crate) fn new(sha: ShaInstructions) -> Self {
        Self { sha, states: [Halves::of(INITIAL); LANES] }
    }
}

impl lanes::States<LANES> for States {
    // Both must be busy: what is taken at a time is as much as both have left.
    const FEW: usize = LANES - 1;

    fn advance(&mut self, lanes: &[Lane<'_>; LANES]) -> usize {
        let count = lanes.iter().fold(usize::MAX, |least, lane| least.min(lane.left()));
        self.sha.compress(&mut self.states, count, |lane, at| lanes[lane].block(at));
        count
    }

    fn of(&self, lane: usize) -> State {
        self.states[lane].state()
    }

    fn set(&mut self, lane: usize, state: &State) {
        self.states[lane] = Halves::of(*state);
    }
}
