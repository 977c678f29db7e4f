//! The one thread that writes: requests that change something, or look into the store again, wait for it in a bounded queue.
//!
//! It is started before the process gives up the right to start threads, and keeps file work away from the threads that serve.

use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::algorithm::{Algorithm, Purposes};
use crate::journal::TreeHead;
use crate::key_id::KeyId;
use crate::key_store::OpenKey;
use crate::keyring::{Keyring, KeyringFault};
use crate::tree_head::LogName;

/// Requests that may wait; more are told to come again.
const QUEUED: usize = 256;

/// What it is asked to do.
enum Job {
    Generate(KeyId, Algorithm, Purposes, oneshot::Sender<Result<Arc<OpenKey>, KeyringFault>>),
    NoteTreeHead(KeyId, LogName, TreeHead, u64, oneshot::Sender<Result<(), KeyringFault>>),
    LookAgain(oneshot::Sender<Result<(), KeyringFault>>),
}

/// Where jobs are left. When the last clone is dropped, the thread ends what waits, and itself.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// The writer cannot take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many wait.
    #[error("{QUEUED} requests wait already: try again")]
    Full,
    /// The signer stops.
    #[error("the signer is stopping")]
    Stopping,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system starts none.
    pub fn start(keyring: Keyring) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel(QUEUED);
        let thread =
            std::thread::Builder::new().name("writer".into()).spawn(move || work(keyring, waiting))?;
        Ok((Self { jobs }, thread))
    }

    /// Makes a key: [`Keyring::generate`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn generate(
        &self,
        id: KeyId,
        algorithm: Algorithm,
        purposes: Purposes,
    ) -> Result<Result<Arc<OpenKey>, KeyringFault>, Busy> {
        self.ask(|answer| Job::Generate(id, algorithm, purposes, answer)).await
    }

    /// Notes that a tree head is about to be signed: [`Keyring::note_tree_head`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn note_tree_head(
        &self,
        key: KeyId,
        log: LogName,
        head: TreeHead,
        epoch: u64,
    ) -> Result<Result<(), KeyringFault>, Busy> {
        self.ask(|answer| Job::NoteTreeHead(key, log, head, epoch, answer)).await
    }

    /// Opens what other signers of the store have made: [`Keyring::look_again`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn look_again(&self) -> Result<Result<(), KeyringFault>, Busy> {
        self.ask(Job::LookAgain).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(job(answer)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Busy::Full,
            mpsc::error::TrySendError::Closed(_) => Busy::Stopping,
        })?;
        answered.await.map_err(|_| Busy::Stopping)
    }
}

fn work(mut keyring: Keyring, mut waiting: mpsc::Receiver<Job>) {
    while let Some(job) = waiting.blocking_recv() {
        // A job that nobody waits for any more is not begun; one that is under way is finished, and found when asked for again.
        match job {
            Job::Generate(_, _, _, answer) if answer.is_closed() => {}
            Job::NoteTreeHead(.., answer) if answer.is_closed() => {}
            Job::Generate(id, algorithm, purposes, answer) => {
                drop(answer.send(keyring.generate(id, algorithm, purposes, Timestamp::now())));
            }
            Job::NoteTreeHead(key, log, head, epoch, answer) => {
                drop(answer.send(keyring.note_tree_head(key, log, head, epoch, Timestamp::now())));
            }
            Job::LookAgain(answer) => drop(answer.send(keyring.look_again())),
        }
    }
}
