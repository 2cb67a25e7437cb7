//! Certificates: who the server is, and whom it lets in.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use crate::error::NbdError;

/// Whether the connections of a listener are encrypted.
#[derive(Clone, Default)]
pub enum TlsMode {
    /// Never.
    #[default]
    Off,
    /// If the client asks for it.
    Offered(Identity),
    /// Always: nothing is told or done before TLS has started.
    Required(Identity),
}

impl TlsMode {
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Off => None,
            Self::Offered(identity) | Self::Required(identity) => Some(identity),
        }
    }

    pub(crate) fn required(&self) -> bool {
        matches!(self, Self::Required(_))
    }
}

/// A certificate with its key, for TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct Identity {
    pub(crate) config: Arc<ServerConfig>,
}

impl Identity {
    /// For other listeners of the same program.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads PEM texts: the chain of certificates (ours first), its private key, and, when clients must show a
    /// certificate, the authorities that may have signed it. All certificates have to be valid now; whether they still
    /// are later is judged by whoever looks at them.
    ///
    /// # Errors
    /// [`NbdError::Tls`] says which of them cannot be used.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        client_authorities: Option<&[u8]>,
    ) -> Result<Self, NbdError> {
        let chain = certificates_of("certificate", certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        refuse_outdated("certificate", &chain, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("certificate", &error))?;
        let builder = match client_authorities {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                let authorities = certificates_of("client authority", pem)?;
                refuse_outdated("client authority", &authorities, &provider)?;
                for authority in authorities {
                    roots.add(authority).map_err(|error| wrong("client authority", &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| wrong("client authority", &error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config =
            builder.with_single_cert(chain, key).map_err(|error| wrong("certificate", &error))?;
        Ok(Self { config: Arc::new(config) })
    }
}

fn certificates_of(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, NbdError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| wrong(what, &error))?;
    if found.is_empty() {
        return Err(NbdError::Tls { what, detail: "it holds no certificate".into() });
    }
    Ok(found)
}

/// Refuses certificates that are not valid now, which clients would only call untrusted.
fn refuse_outdated(
    what: &'static str,
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<(), NbdError> {
    for certificate in certificates {
        // The times of a certificate are the first thing that a verification looks at. What it finds behind them is
        // between a client and its authorities, so any anchor will do.
        let mut anchors = RootCertStore::empty();
        anchors.add(certificate.clone()).map_err(|error| wrong(what, &error))?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(provider))
                .build()
                .map_err(|error| wrong(what, &error))?;
        let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        let found = verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
        if let Err(Error::InvalidCertificate(error)) = found
            && let Some(detail) = outdated(&error)
        {
            return Err(NbdError::Tls { what, detail });
        }
    }
    Ok(())
}

fn outdated(error: &CertificateError) -> Option<String> {
    let days =
        |from: &UnixTime, to: &UnixTime| to.as_secs().saturating_sub(from.as_secs()) / 86_400;
    match error {
        CertificateError::Expired => Some("it has expired".into()),
        CertificateError::ExpiredContext { time, not_after } => {
            Some(format!("it has expired, {} days ago", days(not_after, time)))
        }
        CertificateError::NotValidYet => Some("it is not valid yet".into()),
        CertificateError::NotValidYetContext { time, not_before } => {
            let days = days(time, not_before);
            Some(format!("it is not valid before {days} days from now; check the clock"))
        }
        _ => None,
    }
}

fn wrong(what: &'static str, error: &dyn std::fmt::Display) -> NbdError {
    NbdError::Tls { what, detail: error.to_string() }
}
