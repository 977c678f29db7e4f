//! TLS to a NATS server: the system's authorities and those of a file, a client certificate where there is one.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ConnectOptions;
use super::server_url::ServerUrl;
use crate::log::LogError;

/// Why TLS did not come about.
pub(super) enum TlsError {
    Configuration(LogError),
    /// The server's certificate is not accepted.
    Certificate(String),
    Handshake(String),
}

pub(super) async fn handshake(
    options: &ConnectOptions,
    server: &ServerUrl,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let config = client_config(options).map_err(TlsError::Configuration)?;
    let name = ServerName::try_from(server.host.clone()).map_err(|_| {
        TlsError::Handshake(format!("{} is no name that a certificate can have", server.host))
    })?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => TlsError::Certificate(why.to_string()),
            _ => TlsError::Handshake(error.to_string()),
        }
    })
}

fn client_config(options: &ConnectOptions) -> Result<ClientConfig, LogError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(authorities(options.ca_file.as_deref())?);
    let (Some(cert_file), Some(key_file)) = (&options.cert_file, &options.key_file) else {
        return match (&options.cert_file, &options.key_file) {
            (None, None) => Ok(builder.with_no_client_auth()),
            _ => Err(LogError::Configuration {
                what: "client certificate".to_owned(),
                reason: "certificate and key belong together, and only one is given".to_owned(),
            }),
        };
    };
    let chain = certificates("client certificate", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| unusable("client key", key_file, &error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable("client certificate", cert_file, &error.to_string()))
}

/// A host without authorities of its own is served by the file alone.
fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, LogError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        for certificate in certificates("CA file", path)? {
            roots.add(certificate).map_err(|error| unusable("CA file", path, &error.to_string()))?;
        }
    }
    Ok(roots)
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, LogError> {
    let unusable = |error: rustls::pki_types::pem::Error| unusable(what, path, &error.to_string());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unusable)?.collect::<Result<_, _>>().map_err(unusable)?;
    match found.is_empty() {
        true => Err(self::unusable(what, path, "it holds no certificate")),
        false => Ok(found),
    }
}

fn unusable(what: &str, path: &Path, reason: &str) -> LogError {
    LogError::Configuration { what: format!("{what} {}", path.display()), reason: reason.to_owned() }
}
