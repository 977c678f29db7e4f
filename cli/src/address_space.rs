//! A limit of the address space (`ulimit -v`), which counts what is only reserved.
//!
//! glibc reserves 64 MiB for every thread that allocates: under such a limit a verify that touches 30 MiB is refused
//! memory. One reserve for all threads is enough for it, and can only be asked for before the program starts.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

/// What glibc reads, once, before `main`.
const RESERVES: &str = "MALLOC_ARENA_MAX";

/// Where the address space is limited, starts this program anew with one reserve: the same process, and all that it has open.
pub fn start_with_one_reserve(arguments: &[OsString]) {
    let is_limited = getrlimit(Resource::As).current.is_some();
    let (true, None, Some((name, rest))) = (is_limited, env::var_os(RESERVES), arguments.split_first())
    else {
        return;
    };
    // Where it cannot, it goes on as it is: most files need less than the limit also so.
    let _ = Command::new("/proc/self/exe").arg0(name).args(rest).env(RESERVES, "1").exec();
}
