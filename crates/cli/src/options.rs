//! Options that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use tintype_app::types::DeleteWish;
use tintype_fuse::Choice;
use tintype_model::{ByteSize, Span, Tags, filter::parse_time};
use tintype_server::TransportChoice;

use crate::client::Client;
use crate::error::{CliError, CliResult};
use crate::paths;
use crate::remote::Server;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Socket of the server (default: $TINTYPE_SOCKET, else tintype/socket in the user's runtime folder)
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// A server on another machine instead: https://HOST:PORT (default: $TINTYPE_SERVER)
    #[arg(long, global = true, value_name = "URL", conflicts_with = "socket")]
    pub server: Option<String>,
    /// File with the token for it (default: $TINTYPE_TOKEN_FILE; TINTYPE_TOKEN holds the token itself)
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the authority, or the certificate itself, that it is trusted by (default: $TINTYPE_CA, else what the system trusts)
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

impl Global {
    /// The socket to use.
    pub fn socket(&self) -> PathBuf {
        self.named_socket().unwrap_or_else(paths::default_socket)
    }

    /// The socket that was named. The variable is read here: clap would show an option that it fills as one that is required.
    pub fn named_socket(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("TINTYPE_SOCKET").filter(|path| !path.is_empty());
        self.socket.clone().or_else(|| variable().map(PathBuf::from))
    }

    /// The way to the server.
    pub fn client(&self) -> CliResult<Client> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let named = self.server.clone();
        // A socket that is named goes before a server that the environment names.
        if let Some(url) =
            named.or_else(|| variable("TINTYPE_SERVER").filter(|_| self.socket.is_none()))
        {
            return Ok(Client::of_server(Server::new(
                &url,
                self.token_file.clone(),
                self.ca.clone(),
            )?));
        }
        let socket = self.socket();
        paths::check_socket_owner(&socket)?;
        Ok(Client::new(socket))
    }
}

/// How the kernel reaches the program that serves a mount.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Transport {
    /// io_uring where the kernel offers it, else /dev/fuse
    Auto,
    /// /dev/fuse
    Dev,
    /// io_uring, or fail
    Uring,
}

impl From<Transport> for TransportChoice {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Auto => Self::Auto,
            Transport::Dev => Self::Dev,
            Transport::Uring => Self::Uring,
        }
    }
}

impl From<Transport> for Choice {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Auto => Self::Auto,
            Transport::Dev => Self::Dev,
            Transport::Uring => Self::Uring,
        }
    }
}

/// `SIZE` or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// Reads `SIZE` or `none`.
pub fn parse_limit(text: &str) -> Result<Limit, tintype_model::ModelError> {
    if text == "none" {
        return Ok(Limit(None));
    }
    text.parse::<ByteSize>().map(|size| Limit(Some(size.0)))
}

/// Reads a list of tags. The message does not repeat them: clap shows what was typed.
pub fn parse_tags(text: &str) -> Result<Tags, &'static str> {
    text.parse().map_err(|_: tintype_model::ModelError| {
        "write tags of 1 to 255 bytes, without control characters, and with commas between them"
    })
}

/// How a snapshot is to be protected.
#[derive(Args, Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Protect it until the rule is changed
    #[arg(long, conflicts_with = "delete_after")]
    pub delete_never: bool,
    /// Protect it for this long, or until this time
    #[arg(long, value_name = "30d|TIME")]
    pub delete_after: Option<String>,
}

impl DeleteOptions {
    /// The wish, if there is one.
    pub fn wish(&self) -> CliResult<Option<DeleteWish>> {
        match &self.delete_after {
            None => Ok(self.delete_never.then_some(DeleteWish::Never)),
            Some(text) => match text.parse::<Span>() {
                Ok(span) => Ok(Some(DeleteWish::AfterSpan(span))),
                // An age makes no sense here, so a time it must be.
                Err(_) => time("--delete-after", text).map(|t| Some(DeleteWish::After(t))),
            },
        }
    }
}

/// Reads a time that an option carries; ages count back from now.
pub fn time(option: &str, text: &str) -> CliResult<Timestamp> {
    parse_time(text, Timestamp::now(), &TimeZone::system()).map_err(|error| {
        let told = CliError::from(error);
        CliError { message: format!("{option}: {}", told.message), ..told }
    })
}

/// All lists of a repeated option in one set.
pub fn union(lists: &[Tags]) -> Tags {
    Tags::union(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_can_be_taken_away() {
        assert_eq!(parse_limit("none").unwrap(), Limit(None));
        assert_eq!(parse_limit("4K").unwrap(), Limit(Some(4096)));
        assert!(parse_limit("much").is_err());
    }

    #[test]
    fn protection_is_a_span_or_a_time() {
        let wish = |text: &str| {
            DeleteOptions { delete_never: false, delete_after: Some(text.into()) }.wish()
        };
        assert!(matches!(wish("30d"), Ok(Some(DeleteWish::AfterSpan(_)))));
        assert!(matches!(wish("2030-01-01T00:00:00Z"), Ok(Some(DeleteWish::After(_)))));
        assert_eq!(wish("soon").unwrap_err().status, 2);
    }
}
