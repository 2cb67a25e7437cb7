//! tintype-testkit.
