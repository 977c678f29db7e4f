//! The one thread that writes: requests that change something, or look into the store again, wait for it in a bounded queue.
//!
//! It is started before the process gives up the right to start threads, and keeps file work away from the threads that serve.

use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::algorithm::{Algorithm, Purposes};
use crate::key_id::KeyId;
use crate::key_store::OpenKey;
use crate::keyring::{Keyring, KeyringFault};
use crate::note::Note;

/// Requests that may wait; more are told to come again.
const QUEUED: usize = 256;

/// What it is asked to do.
pub(crate) enum Job {
    Generate(KeyId, Algorithm, Purposes, oneshot::Sender<Result<Arc<OpenKey>, KeyringFault>>),
    Note(Note, Noted),
    LookAgain(oneshot::Sender<Result<(), KeyringFault>>),
}

/// Where a note is answered.
pub(crate) type Noted = oneshot::Sender<Result<(), KeyringFault>>;

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
        Self::on_thread(move |waiting| work(keyring, waiting))
    }

    pub(crate) fn on_thread(
        work: impl FnOnce(mpsc::Receiver<Job>) + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel(QUEUED);
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work(waiting))?;
        Ok((Self { jobs }, thread))
    }

    /// Waits until the thread takes no more jobs: while there are senders, only a fault ends it.
    pub async fn ended(&self) {
        self.jobs.closed().await;
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

    /// Notes what is about to be signed, together with all that wait: [`Keyring::note_all`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn note(&self, note: Note) -> Result<Result<(), KeyringFault>, Busy> {
        self.ask(|answer| Job::Note(note, answer)).await
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
    let mut next = None;
    while let Some(job) = next.take().or_else(|| waiting.blocking_recv()) {
        // A job that nobody waits for any more is not begun; one that is under way is finished, and found when asked for again.
        match job {
            Job::Generate(_, _, _, answer) if answer.is_closed() => {}
            Job::Generate(id, algorithm, purposes, answer) => {
                drop(answer.send(keyring.generate(id, algorithm, purposes, Timestamp::now())));
            }
            Job::Note(note, answer) => {
                let mut batch = vec![(note, answer)];
                next = gather(&mut waiting, &mut batch);
                note_all(&mut keyring, batch);
            }
            Job::LookAgain(answer) => drop(answer.send(keyring.look_again())),
        }
    }
}

/// Takes the notes that wait already; answers the job behind them that is none. They are no more than the queue holds.
fn gather(waiting: &mut mpsc::Receiver<Job>, batch: &mut Vec<(Note, Noted)>) -> Option<Job> {
    while batch.len() < QUEUED {
        match waiting.try_recv().ok()? {
            Job::Note(note, answer) => batch.push((note, answer)),
            other => return Some(other),
        }
    }
    None
}

fn note_all(keyring: &mut Keyring, mut batch: Vec<(Note, Noted)>) {
    batch.retain(|(_, answer)| !answer.is_closed());
    let (notes, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let noted = keyring.note_all(&notes, Timestamp::now());
    for (answer, noted) in answers.into_iter().zip(noted) {
        drop(answer.send(noted));
    }
}
