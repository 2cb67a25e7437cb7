//! The kernel's FUSE protocol: shows any [`tintype_fs::vfs::Vfs`] at a mount point.
//!
//! One decoder and one service ([`wire`], `serve`) stand behind two transports: reads and writes
//! of `/dev/fuse`, and commands of io_uring. The crate knows the protocol and nothing of what the
//! tree means. `docs/decisions/0002-own-fuse-wire.md` says why it is our own.
//!
//! Unsafe code stands in two private modules only: `sys` (four system calls) and `uring` (memory
//! shared with the kernel).

mod answer;
mod content;
mod crew;
mod dev;
mod error;
mod flush;
mod guard;
mod kick;
mod lanes;
mod mount;
mod mountinfo;
mod notify;
mod options;
mod repair;
mod ring;
mod seat;
mod serve;
mod session;
mod sys;
mod uring;
pub mod wire;
mod writers;

pub use error::FuseError;
pub use flush::Flusher;
pub use mount::others_permitted;
pub use notify::Notifier;
pub use options::{Choice, Options, Transport};
pub use repair::repair_dead_mount;
pub use session::{Session, WhenBusy};
