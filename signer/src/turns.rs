//! Calls about CRLs take turns, and wait for one before their message is read: one has up to eight megabytes, which are held a few
//! times over while it is read, checked and signed.
//!
//! Who waits holds no more than what its stream's window lets in. A call that comes when enough wait, or waits too long, is told
//! to come again. From its turn on a call's message has the time that any has to arrive ([`crate::arrival`]), which is less than others
//! wait; what arrived is checked and signed, however long a slow processor takes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::server::NamedService;

use crate::service::unavailable;

/// Calls that are read and signed at once; each takes a thread that serves, for as long as it computes.
pub const AT_ONCE: usize = 2;

/// Calls that have a turn, wait for one, or whose answer is not taken yet.
pub const PLACES: usize = 18;

/// A call waits so long for its turn.
const WAIT: Duration = Duration::from_secs(20);

/// A service whose calls take turns.
#[derive(Clone)]
pub struct Turns<S> {
    inner: S,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl<S> Turns<S> {
    /// The service, with its calls in turns.
    pub fn new(inner: S) -> Self {
        let [places, turns] = [PLACES, AT_ONCE].map(|count| Arc::new(Semaphore::new(count)));
        Self { inner, places, turns }
    }
}

impl<S: NamedService> NamedService for Turns<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Turns<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let (places, turns) = (Arc::clone(&self.places), Arc::clone(&self.turns));
        Box::pin(async move {
            let answered = in_turn(inner, request, places, turns).await;
            Ok(answered.unwrap_or_else(|refused| refused.into_http()))
        })
    }
}

async fn in_turn<S>(
    mut inner: S,
    request: http::Request<Body>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
) -> Result<http::Response<Body>, Status>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let place = places.try_acquire_owned();
    let place =
        place.map_err(|_| unavailable(format!("{PLACES} calls about CRLs wait already: try again")))?;
    let waited = timeout(WAIT, turns.acquire()).await;
    let Ok(Ok(_turn)) = waited else {
        return Err(unavailable(format!("no turn came in {} seconds: try again", WAIT.as_secs())));
    };
    match inner.call(request).await {
        Ok(response) => Ok(response.map(|body| Body::new(InPlace { body, _place: place }))),
        Err(never) => match never {},
    }
}

/// An answer that keeps its place until it is taken.
struct InPlace {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for InPlace {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
