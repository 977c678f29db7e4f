//! A processor without SHA instructions that this crate knows.

use zeroize::Zeroize;

use crate::rounds::{BLOCK, State};

/// Never made.
#[derive(Clone, Copy)]
pub(crate) enum ShaInstructions {}

impl ShaInstructions {
    /// Nothing.
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    /// Never called.
    pub(crate) fn compress<'a, const N: usize>(
        self,
        _: &mut [Halves; N],
        _: usize,
        _: impl Fn(usize, usize) -> &'a [u8; BLOCK],
    ) {
        match self {}
    }

    /// Never called.
    pub(crate) fn compress_same<const N: usize>(self, _: &mut [Halves; N], _: &[[u8; BLOCK]]) {
        match self {}
    }
}

/// A state.
#[derive(Clone, Copy)]
pub(crate) struct Halves(State);

impl Zeroize for Halves {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Halves {
    /// It.
    pub(crate) const fn of(state: State) -> Self {
        Self(state)
    }

    /// It.
    pub(crate) fn state(&self) -> State {
        self.0
    }
}
