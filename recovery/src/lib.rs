//! The flows backup, inspect, prove, restore and rebuild, and the calm-day check: what `trstctl-dr` and the server both run.
//!
//! A backup, a restore and a rebuild can be shown as a [`plan::Plan`] before they run; each flow tells how far it is through
//! [`progress::Progress`], and ends in a report. Nothing here prints, reads the environment, or decides a path: the caller does.

pub mod authority;
pub mod backup;
pub mod doctor;
pub mod escrow;
pub mod history;
pub mod inspect;
pub mod leak;
pub mod match_matrix;
pub mod output;
pub mod plan;
pub mod progress;
pub mod prove;
pub mod rebuild;
pub mod restore;
pub mod secret;
pub mod source;
pub mod words;
pub mod x509;

use trstctl_formats::{Class, Failure};
use trstctl_ledger::read_model::Watch;
use trstctl_migrations::connect::Target;

/// Runs work that blocks in a database session of its own, on a thread of its own; a database that falls silent ends the wait.
///
/// # Errors
/// The work's own; `unreachable` or `refused` where there is no session, or no answer for a minute.
pub async fn in_session<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce(&mut postgres::Client) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let own = target.clone();
    Watch::of(target).over(blocking(move || work(&mut own.open()?))).await
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| internal("a thread of this program has stopped"))?
}

fn internal(what: &str) -> Failure {
    Failure::new(Class::Internal, what, "Please report this with the command and its output.")
}
