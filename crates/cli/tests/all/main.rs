//! The program as users meet it: real processes, a real socket, real mounts.

mod api;
mod mounts;
mod server;
mod shapes;
mod world;
