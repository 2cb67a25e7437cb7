//! tintype-kv.
