//! What the whole-process tests of `trstctl-dr` share: a site of real engines, a seeded log, and runs of the program.

mod backup;
mod instants;
mod program;
mod running;
mod site;

pub use backup::{records, records_without_times, trailer};
pub use instants::instants;
pub use program::{Run, binary, program};
pub use running::Running;
pub use site::{Site, flip_byte, seed_at};
