//! tintype-server.
