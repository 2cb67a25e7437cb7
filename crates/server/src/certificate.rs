//! A certificate of the server's own making, for those who have none.
//!
//! It is made once and kept in the store's folder: clients that were given it go on trusting it. Its key never leaves that folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tintype_app::{AppError, AppResult, ErrorKind};

use crate::disk_server::TlsFiles;

/// The folder in the store's.
const FOLDER: &str = "tls";

/// The files, made now when they are not there. `host` is the name that clients use, beside those of the machine itself.
pub fn own(store: &Path, host: &str) -> AppResult<TlsFiles> {
    let folder = store.join(FOLDER);
    let files = TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_ca: None,
        option: "--tls",
    };
    if !(files.cert.exists() && files.key.exists()) {
        make(&folder, &files, host)?;
    }
    Ok(files)
}

fn make(folder: &Path, files: &TlsFiles, host: &str) -> AppResult<()> {
    let names = [host, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| {
        AppError::new(
            ErrorKind::Unavailable,
            "certificate",
            format!("cannot be made for the name {host}: {error}"),
            "Give one with --tls-cert and --tls-key.",
        )
    })?;
    let io = |path: &PathBuf, error: &std::io::Error| AppError::io(path, "write it", error);
    let made_folder = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made_folder.map_err(|e| io(&folder.to_owned(), &e))?;
    // The key first: a certificate without one would look like a whole pair.
    let parts = [(&files.key, made.signing_key.serialize_pem()), (&files.cert, made.cert.pem())];
    for (path, text) in parts {
        write(path, &text).map_err(|e| io(path, &e))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file =
        fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let files = own(dir.path(), "box").unwrap();
        assert!(files.load().is_ok());
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(fs::read(own(dir.path(), "box").unwrap().cert).unwrap(), first);
    }
}
