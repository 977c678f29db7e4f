//! TLS towards PostgreSQL, with the meaning that `sslmode` has in the usual tools.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// How much TLS to demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// None.
    Disable,
    /// Where the server offers it, unchecked.
    Prefer,
    /// Encrypted; checked only when a root certificate is given.
    Require,
    /// The certificate comes from a known authority.
    VerifyCa,
    /// The same, and it names this host.
    VerifyFull,
}

impl SslMode {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }
}

/// The TLS settings of a DSN.
#[derive(Debug)]
pub(super) struct TlsOptions {
    pub(super) mode: SslMode,
    pub(super) root_cert: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl TlsOptions {
    /// The connector, `None` without TLS; also tells the client whether to insist. A Unix socket has no TLS, whatever the
    /// settings say, as in the usual tools.
    pub(super) fn connector(&self, config: &mut Config) -> Result<Option<MakeRustlsConnect>, Error> {
        use tokio_postgres::config::SslMode as Insist;
        let mode = if is_local(config) { SslMode::Disable } else { self.mode };
        config.ssl_mode(match mode {
            SslMode::Disable => Insist::Disable,
            SslMode::Prefer => Insist::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Insist::Require,
        });
        if mode == SslMode::Disable {
            return Ok(None);
        }
        Ok(Some(MakeRustlsConnect::new(self.client_config()?)))
    }

    fn client_config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| settings(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("sslkey", key, &error))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| settings(format!("sslcert and sslkey do not fit together: {error}")))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let name = match self.mode {
            SslMode::VerifyFull => Name::Checked,
            _ => Name::Ignored,
        };
        let unchecked = match self.mode {
            SslMode::Disable | SslMode::Prefer => true,
            SslMode::Require => self.root_cert.is_none(),
            SslMode::VerifyCa | SslMode::VerifyFull => false,
        };
        let inner = if unchecked {
            None
        } else {
            let roots = Arc::new(self.roots()?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(built.map_err(|error| settings(format!("sslrootcert cannot be used: {error}")))?)
        };
        Ok(Arc::new(Verifier { inner, name, provider: provider.clone() }))
    }

    /// The authorities of `sslrootcert`, or the system's.
    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.root_cert {
            Some(path) if path != Path::new("system") => {
                roots.add_parsable_certificates(certificates(path)?);
            }
            _ => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }
}

/// Only Unix sockets lead there.
fn is_local(config: &Config) -> bool {
    config.get_hostaddrs().is_empty()
        && !config.get_hosts().is_empty()
        && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable("certificate file", path, &error))
}

fn unreadable(what: &str, path: &Path, error: &dyn fmt::Display) -> Error {
    settings(format!("the {what} {} cannot be read: {error}", path.display()))
}

fn settings(what: String) -> Error {
    Error::Settings { what, hint: "Check sslmode, sslrootcert, sslcert and sslkey of the DSN.".into() }
}

/// Whether the certificate must name the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Checked,
    Ignored,
}

/// Checks as much as the mode demands; the handshake's own signature always.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    name: Name,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.name == Name::Ignored => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
