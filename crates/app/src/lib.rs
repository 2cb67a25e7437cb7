//! tintype-app.
