//! tintype-fs.
