//! One file a command. Each answers an [`Outcome`]; none prints.

mod backup;
mod completions;
mod demo;
mod diff;
mod doctor;
mod inspect;
mod keys;
mod manifest;
mod prove;
mod rebuild;
mod restore;
mod verify;

pub use self::verify::Counts;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use trstctl_formats::backup::{Allow, BackupKey};
use trstctl_formats::history::Difference;
use trstctl_formats::{Class, Failure, container};
use trstctl_recovery::progress::Progress;
use trstctl_recovery::secret;
use trstctl_recovery::source::Trust;

use crate::args::{Cli, Command, Manifest, TrustArgs};
use crate::outcome::{self, Outcome};
use crate::settings::Settings;
use crate::terminal::{INTERRUPTED, Terminal};

/// Most threads for what waits for servers; what computes has threads of its own. Each reserves a stack.
const MOST_THREADS: usize = 4;

/// How long the threads of a stopped flow may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(cli: Cli) -> Result<Outcome, Failure> {
    let context = Context::new(&cli)?;
    let outcome = crate::own_faults_told(|| dispatch(&context, cli.command));
    // Also after a fault: what blocks on a thread is asked to stop too; one that does not listen is not waited for.
    context.runtime.shutdown_timeout(GRACE);
    outcome
}

fn dispatch(context: &Context, command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Backup(args) => backup::run(context, args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Inspect(args) => inspect::run(context, &args),
        Command::Prove(args) => prove::run(context, &args),
        Command::Restore(args) => restore::run(context, &args),
        Command::Rebuild(args) => rebuild::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Manifest(Manifest::Audit(args)) => manifest::run(context, &args),
        Command::Keys(keys) => keys::run(context, keys),
        Command::Demo(args) => demo::run(context, &args),
        Command::Completions(args) => completions::run(&args, context.json),
    }
}

/// What every command needs.
struct Context {
    settings: Settings,
    progress: Arc<dyn Progress>,
    started: Instant,
    json: bool,
    quiet: bool,
    runtime: tokio::runtime::Runtime,
    stop: Arc<Notify>,
}

impl Context {
    fn new(cli: &Cli) -> Result<Self, Failure> {
        let settings = Settings::load(cli.global.config.as_deref())?;
        let threads = available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| {
            Failure::new(
                Class::Internal,
                format!("cannot start threads: {error}"),
                "Check the limits of this user.",
            )
        })?;
        let stop = Arc::new(Notify::new());
        // Here and not in the task: a signal that arrives before the task runs must not end the process its own way.
        let signals = runtime.block_on(async { Signals::register() });
        runtime.spawn(signals.watch(Arc::clone(&stop)));
        Ok(Self {
            settings,
            progress: Arc::new(Terminal::new(cli.global.quiet)),
            started: Instant::now(),
            json: cli.global.json,
            quiet: cli.global.quiet,
            runtime,
            stop,
        })
    }

    /// Runs a flow until it ends or the operator stops it: then it is dropped, and cleans up after itself.
    fn run<T>(&self, flow: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                result = flow => result,
                () = self.stop.notified() => Err(interrupted()),
            }
        })
    }

    /// Words before the result, on standard error, unless quiet.
    fn tell(&self, words: &str) {
        if !self.quiet {
            outcome::tell(words);
        }
    }

    /// The configured audit signing key, or the one named on the command line. A configured key that cannot be read is an
    /// error, never "no key".
    fn key(&self, flag: Option<&std::path::Path>) -> Result<Option<BackupKey>, Failure> {
        let configured = self.settings.path("TRSTCTL_AUDIT_SIGNING_KEY_FILE");
        let Some(path) = flag.map(ToOwned::to_owned).or(configured) else { return Ok(None) };
        let bytes = secret::read(&path, "audit signing key")?;
        Ok(BackupKey::from_key_file(&bytes))
    }

    /// What this host may believe of a backup.
    fn trust(&self, args: &TrustArgs) -> Result<Trust, Failure> {
        let configured = self.settings.path("TRSTCTL_BACKUP_IDENTITY_FILE");
        let files =
            if args.identity.is_empty() { configured.into_iter().collect() } else { args.identity.clone() };
        let mut identities = Vec::new();
        for path in files {
            let bytes = secret::read(&path, "backup identity")?;
            identities.extend(
                container::parse_identities(&bytes)
                    .map_err(|error| secret::bad_keys(&error, &path.display().to_string()))?,
            );
        }
        Ok(Trust {
            key: self.key(args.key_file.as_deref())?,
            unverified_mac: allow(args.allow_unverified_mac),
            unkeyed: allow(args.allow_unkeyed),
            identities,
        })
    }
}

/// Where two histories part.
fn difference_json(difference: &Difference) -> Value {
    serde_json::json!({
        "kind": difference.kind.name(),
        "from": difference.from,
        "to": difference.to,
        "common_through": difference.common_through,
    })
}

fn allow(given: bool) -> Allow {
    if given { Allow::Yes } else { Allow::No }
}

/// The signals by which an operator stops a command.
struct Signals([std::io::Result<Signal>; 2]);

impl Signals {
    fn register() -> Self {
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(signal))
    }

    /// The first signal asks the flow to stop; a second one ends the process at once.
    async fn watch(self, stop: Arc<Notify>) {
        let [Ok(mut interrupt), Ok(mut terminate)] = self.0 else { return };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(Class::Interrupted.exit_code()));
            }
            stop.notify_one();
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(
        Class::Interrupted,
        "stopped by a signal",
        "Nothing is half-written. Run the same command again to go on.",
    )
}
