//! tintype-segments.
