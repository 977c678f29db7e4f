//! A client over the signer's Unix socket.

use std::path::{Path, PathBuf};

use tonic::transport::{Channel, Endpoint};

use crate::v1::signer_client::SignerClient;

/// A connected client; its calls are those of `signer.proto`.
pub type Client = SignerClient<Channel>;

/// The signer does not answer on its socket.
#[derive(Debug, thiserror::Error)]
#[error("no signer answers on {}: is trstctl-signer running, and may this user use its socket?", socket.display())]
pub struct ConnectError {
    /// Where it was expected.
    pub socket: PathBuf,
    source: tonic::transport::Error,
}

/// Connects to the signer that listens on this socket.
///
/// # Errors
/// [`ConnectError`] when nobody answers, or this user may not connect.
pub async fn connect(socket: &Path) -> Result<Client, ConnectError> {
    let failed = |source| ConnectError { socket: socket.to_owned(), source };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(failed)?;
    Ok(SignerClient::new(endpoint.connect().await.map_err(failed)?))
}
