//! The server against our own client (bytes), against hostile bytes, and against real clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop"
)]

mod client;
mod device;
mod handshake;
mod hostile;
mod programs;
mod requests;
mod scripts;
mod threads;
mod tls;
