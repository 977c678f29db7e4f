//! A narrow limit of the address space (`ulimit -v`), which counts what is only reserved.
//!
//! glibc reserves 64 MiB for each of several threads that allocate: under such a limit a verify that touches 30 MiB is
//! refused memory. One reserve for all threads is enough for it. glibc takes that from a variable, when a program starts; to tell it
//! later would be unsafe code.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

/// What glibc reads.
const RESERVES: &str = "MALLOC_ARENA_MAX";
/// Says that this was done: glibc takes its variable away from programs with privileges.
const DONE: &str = "TRSTCTL_STARTED_WITH_ONE_RESERVE";
/// A limit that leaves room for all reserves.
const WIDE_BYTES: u64 = 2 << 30;

/// Where the address space is narrow, starts this program anew with one reserve: the same process, and all that it has open.
pub fn start_with_one_reserve(arguments: &[OsString]) {
    let is_narrow = getrlimit(Resource::As).current.is_some_and(|bytes| bytes < WIDE_BYTES);
    let is_decided = [RESERVES, DONE].iter().any(|name| env::var_os(name).is_some());
    let (true, false, Some((name, rest))) = (is_narrow, is_decided, arguments.split_first()) else { return };
    // Where it cannot, it goes on as it is: most files need less than the limit also so.
    if let Ok(program) = env::current_exe() {
        let _ = Command::new(program).arg0(name).args(rest).env(RESERVES, "1").env(DONE, "1").exec();
    }
}
