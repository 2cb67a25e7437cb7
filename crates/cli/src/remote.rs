//! A server on the network: its address, whom it is trusted by, and the token that is shown to it.
//!
//! Without encryption a token goes only to this machine. The token is in no message and no `Debug` text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header;
use hyper::http::request::Builder;
use rustls_platform_verifier::BuilderVerifierExt;
use tintype_app::types::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{CliError, CliResult};

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection of whatever sort.
pub type Stream = Box<dyn Duplex>;

/// The port when the address names none.
const PORT: u16 = 8400;

/// A server on the network.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
    host: String,
    port: u16,
    /// `None`: plain.
    tls: Option<Arc<ClientConfig>>,
    token: Option<Secret>,
}

impl Server {
    /// The server at `https://host:port`; the environment says what the options leave open.
    pub fn new(url: &str, token_file: Option<PathBuf>, ca: Option<PathBuf>) -> CliResult<Self> {
        let (tls, host, port) = parse(url)?;
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let token = match token_file {
            Some(file) => Some(read_token(&file)?),
            None => match std::env::var("TINTYPE_TOKEN").ok().filter(|token| !token.is_empty()) {
                Some(token) => Some(Secret(token)),
                None => variable("TINTYPE_TOKEN_FILE")
                    .map(|file| read_token(Path::new(&file)))
                    .transpose()?,
            },
        };
        let ca = ca.or_else(|| variable("TINTYPE_CA").map(PathBuf::from));
        let tls = if tls { Some(Arc::new(trust(ca.as_deref())?)) } else { None };
        Ok(Self { url: url.to_owned(), host, port, tls, token })
    }

    /// As it was named.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection, encrypted if it has to be.
    pub async fn connect(&self) -> CliResult<Stream> {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        let stream = TcpStream::connect((host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| {
            CliError::failure(
                format!("server {}: cannot be reached: {error}", self.url),
                "Check the address, and that the server was started with --listen.",
            )
        })?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host).map_err(|_| bad_url(&self.url))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| {
            CliError::failure(
                format!("server {}: is not trusted: {error}", self.url),
                "Give the certificate of its authority with --ca; for `up --tls-self-signed` that is tls/cert.pem of the store.",
            )
        })?;
        Ok(Box::new(stream))
    }

    /// Says for whom the request is, and who asks.
    pub fn sign(&self, request: Builder) -> Builder {
        let request = request.header(header::HOST, format!("{}:{}", self.host, self.port));
        match &self.token {
            None => request,
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {}", token.0)),
        }
    }
}

/// Whether it is encrypted, the host and the port.
fn parse(url: &str) -> CliResult<(bool, String, u16)> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad_url(url))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let uri: hyper::http::uri::Authority = authority.parse().map_err(|_| bad_url(url))?;
    if authority.contains(['/', '@', '?']) || uri.host().is_empty() {
        return Err(bad_url(url));
    }
    let (host, port) = (uri.host().to_owned(), uri.port_u16().unwrap_or(PORT));
    match scheme {
        "https" => Ok((true, host, port)),
        "http" if matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") => {
            Ok((false, host, port))
        }
        "http" => Err(CliError::usage(
            format!("server {url}: a token would go there in the clear"),
            "Use https://; http:// is for this machine only.",
        )),
        _ => Err(bad_url(url)),
    }
}

fn bad_url(url: &str) -> CliError {
    CliError::usage(format!("server {url}: is no address"), "Write https://HOST:PORT.")
}

fn read_token(file: &Path) -> CliResult<Secret> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::failure(
            format!("token file {}: cannot be read: {error}", file.display()),
            "Check the path; `tintype token create` prints a token.",
        )
    })?;
    Ok(Secret(text.trim().to_owned()))
}

/// Trusts `ca`, or what the system trusts.
fn trust(ca: Option<&Path>) -> CliResult<ClientConfig> {
    let wrong = |error: &dyn std::fmt::Display| {
        let place = ca.map_or_else(
            || "certificates of the system".to_owned(),
            |ca| format!("certificate {}", ca.display()),
        );
        CliError::failure(
            format!("{place}: cannot be used: {error}"),
            "Give --ca a PEM file with the certificate that the server is trusted by.",
        )
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?;
    let Some(path) = ca else {
        return Ok(builder.with_platform_verifier().map_err(|e| wrong(&e))?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
        roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"it holds none"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_other_machines_only_encrypted() {
        assert_eq!(parse("https://box:1").unwrap(), (true, "box".into(), 1));
        assert_eq!(parse("https://box/").unwrap(), (true, "box".into(), PORT));
        assert_eq!(parse("http://[::1]:7").unwrap(), (false, "[::1]".into(), 7));
        for bad in ["http://box:1", "ftp://box", "box:1", "https://a@b", "https://", "https://b/x"]
        {
            assert_eq!(parse(bad).unwrap_err().status, 2, "{bad}");
        }
    }
}
