//! One function for each decoder of this crate.
