//! A client over the signer's Unix socket.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

use crate::v1::crl_signer_client::CrlSignerClient;
use crate::v1::signer_client::SignerClient;

/// A connected client; its calls are those of `signer.proto`.
pub type Client = SignerClient<Channel>;

/// A client of the calls about CRLs.
pub type CrlClient = CrlSignerClient<Channel>;

/// The longest request or answer about a CRL, in bytes: 100,000 entries take 5.3 MB.
pub const MAX_CRL_MESSAGE_BYTES: usize = 8 << 20;

/// A signer that is busy may have more who want to connect than it has accepted: they try again for so long, and so often.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The signer does not answer on its socket.
#[derive(Debug, thiserror::Error)]
#[error("no signer answers on {}: is trstctl-signer running, and may this user use its socket?", socket.display())]
pub struct ConnectError {
    /// Where it was expected.
    pub socket: PathBuf,
    source: tonic::transport::Error,
}

impl ConnectError {
    /// What the operating system said; `None` when the signer hung up while it was greeted.
    pub fn io_cause(&self) -> Option<&io::Error> {
        std::iter::successors(self.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// Connects to the signer that listens on this socket.
///
/// # Errors
/// [`ConnectError`] when nobody answers, or this user may not connect; after some seconds, when too many others wait to be accepted.
pub async fn connect(socket: &Path) -> Result<Client, ConnectError> {
    Ok(SignerClient::new(channel(socket).await?))
}

/// The same for CRLs.
///
/// # Errors
/// Those of [`connect`].
pub async fn connect_for_crls(socket: &Path) -> Result<CrlClient, ConnectError> {
    Ok(CrlSignerClient::new(channel(socket).await?).max_decoding_message_size(MAX_CRL_MESSAGE_BYTES))
}

async fn channel(socket: &Path) -> Result<Channel, ConnectError> {
    let failed = |source| ConnectError { socket: socket.to_owned(), source };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(failed)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match endpoint.connect().await.map_err(failed) {
            Err(error) if is_queue_full(&error) && Instant::now() < end => sleep(PAUSE).await,
            connected => return connected,
        }
    }
}

fn is_queue_full(error: &ConnectError) -> bool {
    error.io_cause().is_some_and(|cause| cause.kind() == io::ErrorKind::WouldBlock)
}
