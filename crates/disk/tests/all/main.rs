//! Disks over a store in memory: one disk against an array, many lines beside one another, and damage that a repair puts right.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop"
)]

mod lines;
mod model;
mod repair;
mod setup;
