//! The bytes of the protocol: numbers, parsers of what clients send, encoders of what servers answer.
//!
//! Pure: nothing here reads a socket, allocates by a length that a client chose, or panics.

pub mod numbers;
pub mod option;
mod reader;
pub mod reply;
pub mod request;

pub use numbers::*;
