//! Fixtures that tests of several crates share: a server with its store and mounts, trees as plain values, seeded random operations.
//!
//! Nearly everything here meets the product from outside: its program, its mounts, the kernel's system calls. Only `faulty` implements a port of
//! the repository (and `careless`, which plants mistakes in front of it), and is there with the feature `repo`. It is for tests, which may panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[cfg(feature = "repo")]
pub mod careless;
pub mod certs;
#[cfg(feature = "repo")]
pub mod faulty;
pub mod hostile;
pub mod initramfs;
pub mod meter;
pub mod ops;
pub mod programs;
pub mod rng;
pub mod sys;
pub mod tmpfs;
pub mod tree;
pub mod users;
pub mod world;

pub use certs::Certs;
pub use meter::Meter;
pub use rng::Rng;
pub use tree::Tree;
pub use world::World;

/// A number from the environment, for campaigns that can be made longer.
#[must_use]
pub fn amount(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}
