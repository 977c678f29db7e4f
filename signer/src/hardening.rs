//! What the process gives up, so that a fault in it can do less (spec/signer.md, "Hardening").
//!
//! The order matters: memory is made private before the first secret is read, and the process is confined when everything is
//! open and bound, before the first thread is started, since what threads already run is not confined.

use std::error::Error;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use trstctl_signer_arena::Protection;

/// The newest set of rules that is asked for; a kernel that knows fewer takes those that it knows.
const WANTED: ABI = ABI::V6;

/// Keys in memory of their own, no core file, no debugger or reader of the memory but root, no new privileges by a program that is run. Answers what the
/// kernel refused, a sentence each. Must come before anything of the cryptographic library is called.
///
/// # Errors
/// When there is no memory for keys.
pub fn keep_memory_private() -> io::Result<Vec<String>> {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let steps = [
        ("core files may be written", setrlimit(Resource::Core, no_core)),
        (
            "other processes of this user may read the memory",
            set_dumpable_behavior(DumpableBehavior::NotDumpable),
        ),
        ("a program that is run may gain privileges", rustix::thread::set_no_new_privs(true)),
    ];
    let refused = steps.into_iter().filter_map(|(what, done)| Some((what, done.err()?)));
    let refused = refused.map(|(what, error)| format!("{what}: {error}"));
    Ok(refused.chain(memory_for_keys()?).collect())
}

/// Gives the library its memory; says what that lacks.
fn memory_for_keys() -> io::Result<Option<String>> {
    let limit = getrlimit(Resource::Memlock);
    // Where the system is asked for less at first than it gives; where it refuses, what it gives by itself will do.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, ..limit });
    Ok(match trstctl_signer_arena::install()? {
        Protection::Secret => None,
        Protection::Locked(error) => Some(format!(
            "this kernel has no memory for keys that root cannot read (memfd_secret: {error}): theirs is locked, and root reads it"
        )),
        Protection::Ordinary(error) => Some(format!(
            "the kernel locks no memory for keys ({error}), so theirs may be swapped out: allow the signer 8 MiB or more (RLIMIT_MEMLOCK)"
        )),
    })
}

/// Confines this process, and the threads that it will start: files but for those in `keystore` (and removing the socket in
/// `socket_folder`), running programs, TCP, abstract sockets and signals to others are refused by the kernel. Answers what it
/// lacks, a sentence each.
pub fn confine(keystore: &Path, socket_folder: &Path) -> Vec<String> {
    let in_store = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::Refer
        | AccessFs::RemoveFile;
    lacking(restrict(&[(keystore, in_store), (socket_folder, AccessFs::RemoveFile.into())]))
}

/// The same for a process that only reads in `keystore`.
pub fn confine_to_reading(keystore: &Path) -> Vec<String> {
    lacking(restrict(&[(keystore, AccessFs::ReadFile | AccessFs::ReadDir)]))
}

fn lacking(status: Result<RulesetStatus, Box<dyn Error>>) -> Vec<String> {
    match status {
        Ok(RulesetStatus::FullyEnforced) => Vec::new(),
        Ok(RulesetStatus::PartiallyEnforced) => {
            vec![String::from(
                "this kernel's Landlock confines the signer in part only: Linux 6.12 does in all",
            )]
        }
        Ok(RulesetStatus::NotEnforced) => {
            vec![String::from("this kernel has no Landlock: a fault in the signer could reach other files")]
        }
        Err(error) => vec![format!("the signer is not confined: {error}")],
    }
}

/// Allows these acts in these folders, and no others anywhere.
fn restrict(folders: &[(&Path, BitFlags<AccessFs>)]) -> Result<RulesetStatus, Box<dyn Error>> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?;
    for (folder, acts) in folders {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(folder)?, *acts))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
