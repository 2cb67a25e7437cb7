//! Images against their own readers, against QEMU's and libvhdi's, and against damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod damage;
mod peers;
mod roundtrip;
mod world;
