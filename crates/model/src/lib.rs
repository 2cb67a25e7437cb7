//! tintype-model.
