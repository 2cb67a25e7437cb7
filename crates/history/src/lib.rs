//! tintype-history.
