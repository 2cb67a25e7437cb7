//! What all places behind HTTP share: the client, its certificates and time limits, and what its failures mean.
//!
//! Redirects are not followed: they would send the password elsewhere.

pub mod body;

use std::io;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// As many as there are threads that write and read at once, in practice.
const IDLE_CONNECTIONS: usize = 16;
/// Shorter than what servers keep idle connections open for, so that they seldom close one that we are about to use.
const IDLE_AGE: Duration = Duration::from_secs(15);

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection is made.
    pub connect: Duration,
    /// Without movement on a connection. Not a limit for whole transfers: slow ones are fine.
    pub stall: Duration,
}

impl Default for Limits {
    /// Half a minute to connect, 5 minutes without movement.
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), stall: Duration::from_mins(5) }
    }
}

/// What all requests share. Certificates (PEM) take the place of the system's; `client` (PEM, with its key) is shown to servers that
/// ask who we are.
pub fn agent(
    certificates: Option<&[u8]>,
    client: Option<&[u8]>,
    limits: &Limits,
) -> io::Result<Agent> {
    let roots = match certificates {
        Some(pem) => RootCerts::new_with_certs(&those_in(pem)?),
        None => RootCerts::PlatformVerifier,
    };
    let client = client.map(own_in).transpose()?;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tintype/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.stall))
        .timeout_per_read(Some(limits.stall))
        .timeout_per_write(Some(limits.stall))
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(IDLE_AGE)
        .tls_config(TlsConfig::builder().root_certs(roots).client_cert(client).build());
    Ok(config.build().into())
}

/// A certificate with those that vouch for it, and its key.
fn own_in(pem: &[u8]) -> io::Result<ClientCert> {
    let key = parse_pem(pem).any(|item| matches!(item, Ok(PemItem::PrivateKey(_))));
    if !key {
        return Err(wrong("there is no private key in it".to_owned()));
    }
    let key = PrivateKey::from_pem(pem).map_err(|e| wrong(e.to_string()))?;
    Ok(ClientCert::new_with_certs(&those_in(pem)?, key))
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn those_in(pem: &[u8]) -> io::Result<Vec<ureq::tls::Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        Err(wrong("there is no certificate in it".to_owned()))
    } else {
        Ok(found)
    }
}

/// What failed below HTTP, with a kind that tells whether it may pass.
pub fn transport(error: ureq::Error) -> io::Error {
    use io::ErrorKind as E;
    let kind = match &error {
        ureq::Error::Timeout(_) => E::TimedOut,
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Pem(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::InvalidProxyUrl => E::InvalidInput,
        ureq::Error::Io(e) => e.kind(),
        _ => E::Other,
    };
    match error {
        // Rustls has one kind for a certificate that nobody vouches for, which stays so, and for damage on the line, which passes.
        ureq::Error::Io(e) if e.to_string().starts_with("invalid peer certificate") => {
            io::Error::new(E::InvalidInput, e)
        }
        ureq::Error::Io(e) => e,
        error => io::Error::new(kind, error.to_string()),
    }
}
