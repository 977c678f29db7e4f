//! What the whole-process tests of `trstctl-dr` share: a site of real engines, a seeded log, and runs of the program.

mod program;
mod site;

pub use program::{Run, binary, program};
pub use site::{Site, flip_byte};
