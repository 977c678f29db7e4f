//! The system calls that a serving signer makes; any other ends the process (spec/signer.md, "Hardening").
//!
//! An allow-list, put over every thread at once when all of them run: it knows neither programs nor new threads, sockets, or ways to look
//! into other processes, so nothing may `spawn_blocking` behind it. Landlock says which files may be opened; this says that only files are.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// Memory, threads that run already, time, chance.
const PROCESS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    // Where a panic happened is said from there.
    libc::SYS_getcwd,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// Files of the key store.
const FILES: &[i64] = &[
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The bound socket and its connections.
const CONNECTIONS: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
];

/// Calls that newer architectures know by their newer forms only.
#[cfg(target_arch = "x86_64")]
const OLDER_FORMS: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_link,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_FORMS: &[i64] = &[];

/// Forbids every other system call to all threads of this process, which must be started already: a forbidden call ends the process by
/// `SIGSYS`. Answers what the kernel lacks, a sentence each.
pub fn forbid_other_calls() -> Vec<String> {
    match filter().and_then(|filter| apply_filter_all_threads(&filter).map_err(io::Error::other)) {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!(
            "this kernel does not restrict the signer's system calls (seccomp): a fault in it could start programs and connections: {error}"
        )],
    }
}

fn filter() -> io::Result<BpfProgram> {
    let whole =
        [PROCESS, FILES, CONNECTIONS, OLDER_FORMS].concat().into_iter().map(|call| (call, Vec::new()));
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = whole.collect();
    let no_code = |argument| only_where(argument, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    allowed.insert(libc::SYS_mmap, no_code(2)?);
    allowed.insert(libc::SYS_mprotect, no_code(2)?);
    // A thread that has just been started says its name.
    allowed.insert(libc::SYS_prctl, only_where(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)?);
    // An abort of this process, no signal to another.
    allowed.insert(libc::SYS_tgkill, only_where(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?);
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(allowed, SeccompAction::KillProcess, SeccompAction::Allow, arch);
    filter.and_then(BpfProgram::try_from).map_err(io::Error::other)
}

/// The call is allowed where this argument, counted from 0, compares so.
fn only_where(argument: u8, compares: SeccompCmpOp, value: u64) -> io::Result<Vec<SeccompRule>> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compares, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    Ok(vec![rule.map_err(io::Error::other)?])
}
