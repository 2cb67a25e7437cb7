//! Which pack holds which blob: the files in `index/`, and the table in memory that all of them make.

mod file;
mod save;
mod table;

pub use file::{IndexFile, IndexedBlob, IndexedPack};
pub(crate) use save::IndexSaver;
pub use table::{Found, Index, IndexBuilder};
