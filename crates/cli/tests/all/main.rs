//! The program as users meet it: real processes, a real socket, real mounts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod api;
mod mounts;
mod server;
mod shapes;
mod world;
