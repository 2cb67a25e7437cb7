//! tintype-fuse.
