//! The program as users meet it: real processes, a real socket, real mounts.
//!
//! Campaigns can be made longer by the variables that `make torture` sets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod access;
mod api;
mod churn;
mod damage;
mod differential;
mod disks;
mod example;
mod fuzzing;
mod guest;
mod image_ends;
mod images;
mod kill;
mod leaving;
mod messages;
mod moments;
mod mounts;
mod operations;
mod policies;
mod pressure;
mod programs;
mod quotas;
mod restores;
mod room;
mod server;
mod shapes;
mod shutdown;
mod stopping;
mod suites;
mod tasks;
mod weka;
mod world;
