//! A client over the signer's Unix socket.

use std::path::{Path, PathBuf};

use tonic::transport::{Channel, Endpoint};

use crate::v1::crl_signer_client::CrlSignerClient;
use crate::v1::signer_client::SignerClient;

/// A connected client; its calls are those of `signer.proto`.
pub type Client = SignerClient<Channel>;

/// A client of the calls about CRLs.
pub type CrlClient = CrlSignerClient<Channel>;

/// The longest request or answer about a CRL, in bytes: 100,000 entries take 5.3 MB.
pub const MAX_CRL_MESSAGE_BYTES: usize = 8 << 20;

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
    endpoint.connect().await.map_err(failed)
}
