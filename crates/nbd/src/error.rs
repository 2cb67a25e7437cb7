//! What can go wrong when a server is set up. Faults of clients end their connection and are logged, never returned.

use std::io;

/// A server cannot be started or cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// The system gave no thread or no socket option.
    #[error("the NBD server cannot start: {doing} failed: {source}. Free resources and try again")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("the TLS {what} cannot be used: {detail}. Give a PEM file with a valid one")]
    Tls {
        /// `certificate`, `key` or `client authority`.
        what: &'static str,
        /// The reason.
        detail: String,
    },
    /// The server was stopped before.
    #[error("the NBD server has been stopped. Start a new one")]
    Stopped,
}
