//! A lock of a file that is waited for, and not for ever: who holds it may be frozen.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// It is waited so long.
const WAIT: Duration = Duration::from_secs(5);

/// And looked so often. A signer holds the journal's lock for the time of two syncs.
const LOOK: Duration = Duration::from_micros(500);

/// Who may hold it at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Others that read.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Takes the lock of this open file.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when another process did not let go of it; what the operating system refuses.
pub fn take(file: &File, lock: Lock) -> io::Result<()> {
    let how = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    let end = Instant::now() + WAIT;
    loop {
        match rustix::fs::flock(file, how) {
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::park_timeout(LOOK),
            Err(Errno::WOULDBLOCK) => return Err(held()),
            taken => return Ok(taken?),
        }
    }
}

fn held() -> io::Error {
    let what = format!(
        "another process has held its lock for {} seconds: `fuser -v` with this path names it. A signer that is stopped goes on with SIGCONT; \
         otherwise end it, and its lock is free",
        WAIT.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, what)
}
