//! What the process gives up, so that a fault in it can do less (spec/signer.md, "Hardening").
//!
//! The order matters: memory is made private before the first secret is read, and the process is confined when everything is
//! open and bound, before the first thread is started, since what threads already run is not confined.

use std::error::Error;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The newest set of rules that is asked for; a kernel that knows fewer takes those that it knows.
const WANTED: ABI = ABI::V6;

/// No core file, no debugger or reader of the memory but root, no new privileges by a program that is run. Answers what the
/// kernel refused, a sentence each.
pub fn keep_memory_private() -> Vec<String> {
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
    refused.map(|(what, error)| format!("{what}: {error}")).collect()
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
