//! Messages arrive in time, and not too many at once.
//!
//! What has arrived of a message is held until the rest is here: a client that sends a part of it and no more would hold that for as long
//! as its connection lives.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::server::NamedService;

use crate::service::unavailable;

/// A message has so long to arrive, from its call on.
const TIME: Duration = Duration::from_secs(10);

/// A service whose messages arrive in time.
#[derive(Clone)]
pub struct Arrivals<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S> Arrivals<S> {
    /// The service, for so many messages that have not arrived at once.
    pub fn new(inner: S, at_once: usize) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(at_once)) }
    }
}

impl<S: NamedService> NamedService for Arrivals<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Arrivals<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let refused = unavailable("too many messages have begun and not arrived: try again".to_owned());
            return Box::pin(async { Ok(refused.into_http()) });
        };
        let arriving = |body| Arriving { body, until: Box::pin(sleep(TIME)), _place: place };
        Box::pin(self.inner.call(request.map(|body| Body::new(arriving(body)))))
    }
}

/// A message that must be here in time; it keeps its place until it is.
struct Arriving {
    body: Body,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // First: one that never ends is always ready.
        if self.until.as_mut().poll(cx).is_ready() {
            let late = unavailable(format!("the message did not arrive in {} seconds", TIME.as_secs()));
            return Poll::Ready(Some(Err(late)));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
