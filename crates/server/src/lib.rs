//! The server: opens a store through the app, listens on a Unix socket and on TCP, and
//! answers the native API as JSON over HTTP.
//!
//! It converts, calls `app` and maps errors. It knows no storage, and prints nothing: the command
//! line does that. All work of the app blocks and therefore runs on the blocking pool.

mod api;
mod certificate;
mod connections;
mod disk_server;
mod disks;
mod file;
mod guard;
mod handed;
mod listen;
mod mounter;
mod notify;
mod problem;
mod recent;
mod run;
pub mod stream;
mod trace;
mod watched;
mod weka;
mod who;

pub use api::{ExportLine, openapi};
pub use disk_server::{TlsFiles, parse_listen_disks};
pub use listen::parse_listen;
pub use mounter::{FuseMounter, TransportChoice};
pub use problem::ProblemDocument;
pub use recent::RecentLog;
pub use run::{ListenTls, Ready, ServeOptions, serve};
