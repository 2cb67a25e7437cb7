//! tintype-store.
