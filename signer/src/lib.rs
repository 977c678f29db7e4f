//! The signer: sealed CA keys in a process of its own, which says what it signed in a journal, durably, before the signature
//! leaves.
//!
//! One thread writes (`writer`, over `keyring`), the others serve (`service`) on a Unix socket (`socket`). Nothing of the key
//! material leaves this process, and no other crate uses this one, but the fuzz targets: it is spoken to by its protocol.

mod algorithm;
mod allow;
pub mod args;
mod arrival;
mod export;
mod floor;
#[doc(hidden)]
pub mod fuzzing;
pub mod hardening;
mod journal;
mod kek_file;
mod key_id;
mod key_store;
mod keyring;
mod lock;
mod note;
mod private_key;
mod probe;
mod rewrap;
pub mod seccomp;
mod serial;
mod serve;
mod service;
mod signing;
mod socket;
mod tree_head;
mod turns;
mod user;
mod verify;
mod writer;
mod x509;

use std::io;
use std::process::ExitCode;

use args::{Cli, Command, JournalArgs, JournalCommand, Serve};
use journal::{Journal, JournalFault};
use rustix::fs::Access;
use user::User;

/// Why a command ended; said once, to whoever started the process.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The KEK.
    #[error(transparent)]
    Kek(#[from] kek_file::KekFault),
    /// Keys and journal.
    #[error(transparent)]
    Keyring(#[from] keyring::KeyringFault),
    /// The journal alone.
    #[error(transparent)]
    Journal(#[from] JournalFault),
    /// Sealing again.
    #[error(transparent)]
    Rewrap(#[from] rewrap::RewrapFault),
    /// A floor.
    #[error(transparent)]
    Floor(#[from] floor::FloorFault),
    /// Leave.
    #[error(transparent)]
    NotAllowed(#[from] allow::NotAllowed),
    /// The user that it should run as.
    #[error(transparent)]
    User(#[from] user::UserFault),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] socket::SocketFault),
    /// The kernel lacks what `--require-hardening` asks for.
    #[error("this kernel cannot protect the signer as --require-hardening asks for: {}", .0.join("; "))]
    Unprotected(Vec<String>),
    /// The thread that writes is gone.
    #[error(
        "a fault of the program, said above, ended the thread that writes the journal: nothing was signed since. Start the signer again; it \
         reads what is durable"
    )]
    WriterEnded,
    /// The connections.
    #[error("the connections cannot be served: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Threads, standard output.
    #[error("the operating system refuses: {0}")]
    Io(#[from] io::Error),
}

/// Runs a command.
///
/// # Errors
/// A [`Fault`], for the person who started it.
pub fn run(cli: Cli) -> Result<ExitCode, Fault> {
    match (cli.command, cli.serve.0) {
        (Some(Command::Journal(JournalCommand::Verify(args))), _) => verify::run(&args),
        (Some(Command::Journal(JournalCommand::Show(args))), _) => show(&args),
        (Some(Command::Journal(JournalCommand::Export(args))), _) => export::run(&args),
        (Some(Command::Rewrap(args)), _) => rewrap::run(&args),
        (Some(Command::Floor(args)), _) => floor::run(&args),
        (Some(Command::Allow(args)), _) => allow::run(args),
        (None, Some(args)) => {
            become_its_user(&args)?;
            if args.probe { probe::run(&args) } else { serve::run(&args) }
        }
        (None, None) => unreachable!("without a command, serving's arguments are required"),
    }
}

/// Gives up root where a user is named, and sees that this user reaches what it needs.
fn become_its_user(args: &Serve) -> Result<(), Fault> {
    let Some(name) = &args.user else { return Ok(()) };
    let user = User::named(name)?;
    let serves = !args.check && !args.probe;
    user.become_it(args.socket.as_deref().filter(|_| serves))?;
    let to_read = Access::READ_OK | Access::EXEC_OK;
    let (act, needs) = if serves { ("write to", to_read | Access::WRITE_OK) } else { ("read", to_read) };
    user.may(act, &args.keystore, needs)?;
    Ok(user.may("read", &args.kek, Access::READ_OK)?)
}

fn show(args: &JournalArgs) -> Result<ExitCode, Fault> {
    Journal::copy::<Fault>(&args.keystore, io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}
