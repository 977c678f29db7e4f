//! What the whole-process tests of `trstctl-dr` share: a site of real engines, a seeded log, and runs of the program.

mod backup;
mod program;
mod proxy;
mod running;
mod scale;
mod signer;
mod site;
mod small_disk;
mod small_world;
mod wide;

pub use backup::{header, records, records_without_times, trailer};
pub use program::{Run, binary, program, signer_binary};
pub use proxy::{Action, Fault, Pick, Proxy, Speech, Way};
pub use running::{Running, pause};
pub use scale::{Chance, cases, instants, is_whole};
pub use signer::Signer;
pub use site::{Site, flip_byte, seed_at};
pub use small_disk::SmallDisk;
pub use small_world::small_world;
pub use wide::write_wide;
