//! TLS towards PostgreSQL, with the meaning that `sslmode` has in the usual tools.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::server_certificate::{Name, Verifier, is_out_of_date};
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

/// Which authorities may have signed the server's certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Nothing was said.
    Unsaid,
    /// The system's.
    System,
    /// The certificates of this file.
    File(PathBuf),
}

/// The TLS settings of a DSN.
#[derive(Debug)]
pub(super) struct TlsOptions {
    pub(super) mode: SslMode,
    pub(super) authorities: Authorities,
    /// What psql would look at, and this program does not.
    pub(super) revocations: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl TlsOptions {
    /// What the DSN or the variables say, and the files in `~/.postgresql` for what they leave out.
    pub(super) fn read(
        value: impl Fn(&str, &str) -> Option<String>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let home = env("HOME");
        let usual = |name: &str| {
            let path = Path::new(home.as_ref()?).join(".postgresql").join(name);
            path.exists().then_some(path)
        };
        let file = |key: &str, variable: &str, name: &str| {
            let named = value(key, variable).filter(|path| !path.is_empty());
            named.map(PathBuf::from).or_else(|| usual(name))
        };
        let authorities = match file("sslrootcert", "PGSSLROOTCERT", "root.crt") {
            Some(word) if word == Path::new("system") => Authorities::System,
            Some(path) => Authorities::File(path),
            None => Authorities::Unsaid,
        };
        let revocations = ["PGSSLCRL", "PGSSLCRLDIR"].into_iter().find_map(env).map(PathBuf::from);
        let mode = match value("sslmode", "PGSSLMODE") {
            Some(text) => SslMode::from_text(&text).ok_or_else(|| {
                settings(format!(
                    "sslmode={text} is none of disable, prefer, require, verify-ca, verify-full"
                ))
            })?,
            None if authorities == Authorities::System => SslMode::VerifyFull,
            None => SslMode::Prefer,
        };
        if authorities == Authorities::System && mode != SslMode::VerifyFull {
            return Err(settings(
                "sslrootcert=system needs sslmode=verify-full: the system's authorities sign for anybody"
                    .to_owned(),
            ));
        }
        let cert = file("sslcert", "PGSSLCERT", "postgresql.crt");
        let key = file("sslkey", "PGSSLKEY", "postgresql.key");
        Ok(Self { mode, authorities, revocations: revocations.or_else(|| usual("root.crl")), cert, key })
    }

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
        let Some(cert) = &self.cert else { return Ok(builder.with_no_client_auth()) };
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| settings(format!("the certificate {} has no sslkey beside it", cert.display())))?;
        let chain = certificates("sslcert", cert)?;
        builder
            .with_client_auth_cert(chain, private_key(key)?)
            .map_err(|error| settings(format!("sslcert and sslkey do not fit together: {error}")))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let name = match self.mode {
            SslMode::VerifyFull => Name::Checked,
            _ => Name::Ignored,
        };
        let trusted = self.trusted(provider)?;
        let inner = trusted.as_deref().map(|trusted| trusting(trusted, provider)).transpose()?;
        let trusted = trusted.unwrap_or_default();
        Ok(Arc::new(Verifier { inner, trusted, name, provider: provider.clone() }))
    }

    /// The certificates of the authorities; `None` where the server's is not checked.
    fn trusted(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Vec<CertificateDer<'static>>>, Error> {
        if let (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, Authorities::Unsaid) =
            (self.mode, &self.authorities)
        {
            return Ok(None);
        }
        if let Some(path) = &self.revocations {
            let why = "would have to be looked at, which this program cannot: unset it, or move it away";
            return Err(unusable("revocation list", path, why));
        }
        match (self.mode, &self.authorities) {
            (_, Authorities::File(path)) => {
                let mut found = certificates("sslrootcert", path)?;
                found.retain(|certificate| !is_outdated(certificate, provider));
                if found.is_empty() {
                    return Err(unusable("sslrootcert", path, "holds no certificate that is valid now"));
                }
                Ok(Some(found))
            }
            (SslMode::VerifyCa, _) => Err(settings(
                "sslmode=verify-ca needs sslrootcert: the system's authorities sign for anybody".to_owned(),
            )),
            _ => match rustls_native_certs::load_native_certs().certs {
                none if none.is_empty() => Err(settings(
                    "sslmode=verify-full needs sslrootcert: this system has no authorities".to_owned(),
                )),
                found => Ok(Some(found)),
            },
        }
    }
}

fn trusting(
    trusted: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| settings(format!("sslrootcert cannot be used: {error}")))
}

/// Whether an authority's certificate is not valid now: whoever trusts it is not asked by the library. A certificate's own dates are the
/// first that is looked at when it is verified.
fn is_outdated(certificate: &CertificateDer<'static>, provider: &Arc<CryptoProvider>) -> bool {
    let Ok(verifier) = trusting(std::slice::from_ref(certificate), provider) else { return false };
    let nobody = ServerName::try_from("nobody.invalid").expect("this is a name");
    let verdict = verifier.verify_server_cert(certificate, &[], &nobody, &[], UnixTime::now());
    matches!(verdict, Err(rustls::Error::InvalidCertificate(why)) if is_out_of_date(&why))
}

/// Only Unix sockets lead there.
fn is_local(config: &Config) -> bool {
    config.get_hostaddrs().is_empty()
        && !config.get_hosts().is_empty()
        && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(what, path, format!("cannot be read: {error}")))?;
    if found.is_empty() { Err(unusable(what, path, "holds no certificate in PEM")) } else { Ok(found) }
}

/// A key that others may read is refused, as the usual tools do; root's may be read by its group.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    use std::os::unix::fs::MetadataExt;
    let cannot_be_read =
        |error: &dyn fmt::Display| unusable("sslkey", path, format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(|error| cannot_be_read(&error))?;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.is_file() && metadata.mode() & others != 0 {
        return Err(unusable("sslkey", path, "may be read by others: run chmod 0600 on it"));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            unusable("sslkey", path, "holds no private key in PEM, or an encrypted one, which cannot be used")
        }
        error => cannot_be_read(&error),
    })
}

fn unusable(what: &str, path: &Path, why: impl fmt::Display) -> Error {
    settings(format!("the {what} {} {why}", path.display()))
}

fn settings(what: String) -> Error {
    Error::Settings {
        what,
        hint: "Check sslmode, sslrootcert, sslcert and sslkey of the DSN, their PGSSL variables, and the files in ~/.postgresql."
            .into(),
    }
}
