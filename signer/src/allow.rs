//! A refusal that a person lifts: one thing, named exactly, over when it is used or when another of its kind is signed, and in the journal
//! with who and why. Running signers take it up at their next request.
//!
//! A serial that was used is never for another certificate: nothing allows that.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use crate::Fault;
use crate::args::allow::{Allow, CrlNumber, DroppedSerial, Epoch, Head};
use crate::journal::{Access, Act, Journal};

/// Nothing is allowed.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written: {0}. Is it the right key store, CA, log, number?")]
pub struct NotAllowed(&'static str);

/// Allows it.
pub(crate) fn run(args: Allow) -> Result<ExitCode, Fault> {
    match args {
        Allow::CrlNumber(args) => {
            let CrlNumber { ca: key_id, number } = args.what;
            let told = format!(
                "The next CRL of CA {key_id} may have the number {number}, and those behind it go on from there. If it has another, this is over."
            );
            allow(
                &args.keystore,
                Act::CrlNumberAllowed { key_id, number, by: args.by, reason: args.reason },
                &told,
            )
        }
        Allow::DroppedSerial(args) => {
            let DroppedSerial { ca: key_id, serial } = args.what;
            let told = format!(
                "CRLs of CA {key_id} may leave out the serial {serial}: its certificate, if it has not expired, is then valid again. A CRL that has it \
                 revokes it once more."
            );
            allow(
                &args.keystore,
                Act::DroppedSerialAllowed { key_id, serial, by: args.by, reason: args.reason },
                &told,
            )
        }
        Allow::TreeHead(args) => {
            let Head { log, tree_size, root } = args.what;
            let told = format!(
                "The next head of log {log} may be this one, of {tree_size} records, and those behind it go on from there. If it is another, this is over."
            );
            let root = hex::encode(root.0);
            allow(
                &args.keystore,
                Act::TreeHeadAllowed { log, tree_size, root, by: args.by, reason: args.reason },
                &told,
            )
        }
        Allow::Epoch(args) => {
            let Epoch { epoch } = args.what;
            let told = format!(
                "The next that asks may have the epoch {epoch}, and it is the newest from then on. If it has another that is not refused, this is over."
            );
            allow(&args.keystore, Act::EpochAllowed { epoch, by: args.by, reason: args.reason }, &told)
        }
    }
}

fn allow(keystore: &Path, act: Act, told: &str) -> Result<ExitCode, Fault> {
    let mut journal = Journal::open(keystore, Access::Write)?;
    let mut locked = journal.lock()?;
    locked.facts().check(&act).map_err(NotAllowed)?;
    locked.append(Timestamp::now(), act)?;
    writeln!(io::stdout(), "{told}")?;
    Ok(ExitCode::SUCCESS)
}
