//! Ids instead of names, for those who know things by number: of the store, of volumes, of inodes.

use tintype_fs::FsError;
use tintype_model::{VolumeId, VolumeKind, VolumeName};
use tintype_store::DocumentChange;

use crate::convert::{fs_error, random, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::quotas::{quota_error, rooted};
use crate::which::WhichFilesystem;

/// Where the store's id is kept.
const KIND: &str = "identity";
const NAME: &str = "store";

impl App {
    /// Sixteen bytes that no other store has: made once, then always the same.
    pub fn store_id(&self) -> AppResult<[u8; 16]> {
        if let Some(known) = self.store_id.get() {
            return Ok(*known);
        }
        let _one_change = self.admin.lock();
        let fail = |e| store_error("id of the store", &e);
        let store = self.store()?;
        let id = match store.document(KIND, NAME).map_err(fail)? {
            Some(text) => serde_json::from_slice(&text).map_err(|e| {
                let detail = format!("is not what tintype wrote: {e}");
                let remedy = "Put the store back from a copy.";
                AppError::new(ErrorKind::Damaged, "id of the store", detail, remedy)
            })?,
            None => {
                let id = random::<16>()?;
                let value = Some(format!("{id:?}").into_bytes());
                let change = DocumentChange { kind: KIND, name: NAME.to_owned(), value };
                store.put_documents(&[change]).map_err(fail)?;
                id
            }
        };
        Ok(*self.store_id.get_or_init(|| id))
    }

    /// All filesystems by name, each with its id.
    pub fn filesystem_ids(&self) -> AppResult<Vec<(VolumeName, VolumeId)>> {
        let volumes = self.store()?.volumes().into_iter();
        let volumes = volumes.filter(|volume| volume.meta.kind == VolumeKind::Filesystem);
        Ok(volumes.map(|volume| (volume.meta.name, volume.id)).collect())
    }

    /// The inode at a path of a live filesystem. Symlinks are not followed.
    pub fn inode_at(&self, which: &impl WhichFilesystem, path: &str) -> AppResult<u64> {
        let _one_change = self.admin.lock();
        let volume = which.filesystem(self)?;
        let object = format!("path {}:{}", volume.meta.name, rooted(path));
        let missing = |error: &FsError| match quota_error(&object, error) {
            error if error.kind == ErrorKind::NotFound => {
                AppError { detail: "does not exist".to_owned(), ..error }
            }
            error => error,
        };
        self.with_tree(&volume, &object, |tree| {
            tree.inode_at(path.as_bytes()).map_err(|e| missing(&e))
        })
    }

    /// A path of an inode of a live filesystem, with a slash in front.
    pub fn path_of(&self, which: &impl WhichFilesystem, inode: u64) -> AppResult<String> {
        let _one_change = self.admin.lock();
        let volume = which.filesystem(self)?;
        let object = format!("inode {inode} of {}", volume.meta.name);
        let found = self.with_tree(&volume, &object, |tree| {
            tree.path_of(inode).map_err(|e| fs_error(&object, &e))
        })?;
        let path = found.and_then(|path| String::from_utf8(path).ok());
        path.map(|path| format!("/{path}")).ok_or_else(|| {
            AppError::new(
                ErrorKind::NotFound,
                object.clone(),
                "does not exist, or has no name that is text",
                "Inodes are named by the numbers that `stat` shows.",
            )
        })
    }
}
