//! The wish from outside that a restore end: it then drops what it is doing and leaves what the next run takes up.

use std::future::Future;
use std::pin::Pin;

use trstctl_formats::{Class, Failure};

/// The wish; polled no more once it has come.
pub(super) struct Stop<'a>(Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>);

impl<'a> Stop<'a> {
    pub(super) fn new(wish: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>) -> Self {
        Self(wish)
    }

    /// What `work` gives; it is dropped when the wish comes first.
    pub(super) async fn interrupts<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.0.as_mut() => Err(interrupted()),
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(
        Class::Interrupted,
        "the restore was stopped while it wrote the log",
        "No server uses what is there. Run the same command again: it goes on, or begins again.",
    )
}
