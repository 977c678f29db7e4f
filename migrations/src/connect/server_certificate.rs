//! Whether the certificate that a server shows is accepted, and what to do where it is not.

use std::error::Error as _;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::error::chain;

/// Whether the certificate must name the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Checked,
    Ignored,
}

/// Checks as much as the mode demands; the handshake's own signature always.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None` where the server's certificate is not checked.
    pub(super) inner: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates that `inner` trusts.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    pub(super) name: Name,
    pub(super) provider: Arc<CryptoProvider>,
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
        let mut verdict =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verdict.as_ref().is_err_and(is_authority_itself) && self.trusted.contains(end_entity) {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verdict = verify_server_name(&certificate, server_name).map(|()| ServerCertVerified::assertion());
        }
        match verdict {
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

/// Whether a server's certificate is refused for being one of an authority: `openssl req -x509` makes such, and servers show them
/// themselves. Its dates are looked at before that, its purposes are not: it is trusted as it is.
fn is_authority_itself(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// What a refused certificate means, and what to do; `None` when that is not why the connection failed.
pub(super) fn refusal(error: &postgres::Error) -> Option<(String, &'static str)> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some((format!("its certificate is not accepted: {why}"), hint_for(why)));
        }
        // What an `io::Error` was made of is no source of it.
        let inside = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause = inside.map_or_else(|| error.source(), |inside| Some(inside));
    }
    let offers_none = chain(error).contains(NO_TLS);
    offers_none.then(|| {
        (NO_TLS.to_owned(), "Turn ssl on at the server; or use another sslmode, if clear text is acceptable.")
    })
}

/// What the client library says of a server without TLS.
const NO_TLS: &str = "server does not support TLS";

/// Whether a certificate is refused for its dates.
pub(super) fn is_out_of_date(why: &CertificateError) -> bool {
    matches!(
        why,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn hint_for(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "Name the file with the certificate of the server's authority: sslrootcert in the DSN, PGSSLROOTCERT, or ~/.postgresql/root.crt. If it is the right one, somebody else answers: find out who."
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "Name the host in the DSN as the certificate does, in its subjectAltName (a common name alone does not count); or use sslmode=verify-ca with an sslrootcert that signs for this server alone."
        }
        _ if is_out_of_date(why) => "Renew the server's certificate, or set this host's clock.",
        _ => "Give the server a certificate that this sslmode accepts.",
    }
}
