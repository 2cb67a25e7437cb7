//! Copies of damaged files, made before these are removed, for those who want to try more.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{RepoError, Result};

/// Writes the bytes of a file of the repository into a local folder, durably. A copy that is there already and the same is fine.
pub(super) fn keep_copy(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let failed = |doing| {
        let path = path.display().to_string();
        move |source| RepoError::Local { doing, path, source }
    };
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(failed("create"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write"))?;
    let folder = File::open(folder).and_then(|folder| folder.sync_all());
    folder.map_err(failed("sync the folder of"))?;
    Ok(path)
}
