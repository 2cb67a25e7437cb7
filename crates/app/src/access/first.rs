//! The first administrator of a store that is about to listen to others.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::secret::random;
use crate::error::{AppError, AppResult};
use crate::open::App;
use crate::types::{Role, Secret, UserCreate};

/// The file with the first administrator's secret, in the folder of the store.
const FILE: &str = "admin-secret";

impl App {
    /// Makes the user `admin` when there are no users. Answers where its secret lies then.
    pub fn first_admin(&self) -> AppResult<Option<PathBuf>> {
        if !self.access.records.read().users.is_empty() {
            return Ok(None);
        }
        let password = Secret(random(16)?);
        let path = self.store_path().join(FILE);
        // The file first: a crash in between leaves a secret without a user, and the next start makes both anew.
        write_private(&path, &password).map_err(|e| AppError::io(&path, "write the secret", &e))?;
        let name = "admin".parse()?;
        self.user_create(&UserCreate { name, role: Role::Admin, password })?;
        Ok(Some(path))
    }
}

fn write_private(path: &Path, secret: &Secret) -> std::io::Result<()> {
    // What lies there may be open to others, or a link of somebody's.
    fs::remove_file(path).or_else(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    })?;
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", secret.0)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}
