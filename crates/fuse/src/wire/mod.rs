//! The wire: bytes of requests and replies, and nothing else.
//!
//! Pure functions; both transports use them, tests and fuzzers call them directly. No I/O, no
//! unsafe code, no panic on any input.

pub mod abi;
pub mod cursor;
pub mod decode;
pub mod init;
pub mod reply;
pub mod request;
