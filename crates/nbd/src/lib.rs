//! The network block device protocol, server side: shows any [`Device`] to QEMU, libnbd, kernels and everything
//! else that speaks NBD.
//!
//! The crate knows the protocol and nothing of what lies behind a device: whoever has disks implements
//! [`Exports`] and [`Device`] and gives listeners to a [`Server`]. `docs/nbd.md` says what clients can expect.
//!
//! Everything that a client sends is decoded in [`wire`] (pure, bounded) and judged in one place before a device
//! hears of it. There is no unsafe code.

#![forbid(unsafe_code)]

mod budget;
mod check;
mod connection;
mod contexts;
mod counters;
mod crew;
mod error;
mod execute;
mod handshake;
#[cfg(feature = "fuzzing")]
pub mod hostile;
mod inbox;
mod listen;
mod memory;
mod negotiated;
mod options;
mod outbox;
mod pace;
mod port;
mod registry;
mod server;
mod stream;
mod tls;
mod watch;
pub mod wire;

pub use counters::ExportStatus;
pub use error::NbdError;
pub use listen::Listener;
pub use memory::{FixedExports, MemoryDisk};
pub use port::{
    Context, Device, DeviceError, Export, Exports, Extent, Geometry, Listed, Refusal, Zeroing,
};
pub use server::{Limits, Server};
pub use tls::{Identity, TlsMode};
