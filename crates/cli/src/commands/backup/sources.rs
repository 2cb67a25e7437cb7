//! Files that say what a backup saves and leaves out: lists of paths, files of patterns, git's configs.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tintype_repo::{GitUser, expand};

use crate::error::{CliError, CliResult};

/// Files that list paths.
pub(super) struct Lists<'a> {
    /// Patterns, one in a line.
    pub patterns: &'a [PathBuf],
    /// Paths, one in a line.
    pub lines: &'a [PathBuf],
    /// Paths with a zero byte behind each.
    pub raw: &'a [PathBuf],
}

impl Lists<'_> {
    /// All paths that they name. A pattern that fits nothing is told and passed over.
    pub(super) fn paths(&self) -> CliResult<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for file in self.patterns {
            let bytes = bytes_of(file)?;
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
                paths.extend(fitting(file, line)?);
            }
        }
        for (files, end) in [(self.lines, b'\n'), (self.raw, b'\0')] {
            for file in files {
                let bytes = bytes_of(file)?;
                let lines = bytes.split(|byte| *byte == end).filter(|line| !line.is_empty());
                paths.extend(lines.map(|line| PathBuf::from(OsStr::from_bytes(line))));
            }
        }
        Ok(paths)
    }
}

/// What a line stands for: the path itself when it is none of a pattern, or when there is such a file all the same.
fn fitting(file: &Path, line: &[u8]) -> CliResult<Vec<PathBuf>> {
    let itself = PathBuf::from(OsStr::from_bytes(line));
    if !line.iter().any(|byte| b"*?[\\".contains(byte)) {
        return Ok(vec![itself]);
    }
    let found = expand(line).map_err(|e| {
        CliError::usage(
            format!("{}: {e}", file.display()),
            "Put a backslash before what is meant as it stands, or use --files-from-verbatim.",
        )
    })?;
    if !found.is_empty() {
        return Ok(found);
    }
    if itself.symlink_metadata().is_ok() {
        return Ok(vec![itself]);
    }
    eprintln!("tintype: {}: the pattern `{}` fits nothing", file.display(), itself.display());
    Ok(vec![])
}

/// The text of a file; `-` is standard input.
pub(in crate::commands) fn text_of(file: &PathBuf) -> CliResult<String> {
    String::from_utf8(bytes_of(file)?).map_err(|e| {
        CliError::failure(format!("{}: {e}", file.display()), "Name a text file in UTF-8.")
    })
}

/// What a file holds; `-` is standard input.
fn bytes_of(file: &PathBuf) -> CliResult<Vec<u8>> {
    let mut input = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut input).map(|_| input)
    } else {
        std::fs::read(file)
    };
    read.map_err(|e| {
        CliError::failure(format!("{}: {e}", file.display()), "Name a file that you can read.")
    })
}

/// Where git looks for what its user has said, in git's order.
pub(super) fn git_user() -> GitUser {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = variable("HOME").map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(home.as_ref()?.join(".config"))).map(|f| f.join("git"));
    let mut configs = Vec::new();
    if variable("GIT_CONFIG_NOSYSTEM").is_none() {
        let system = variable("GIT_CONFIG_SYSTEM").map(PathBuf::from);
        configs.push(system.unwrap_or_else(|| "/etc/gitconfig".into()));
    }
    match variable("GIT_CONFIG_GLOBAL") {
        Some(global) => configs.push(global.into()),
        None => {
            configs.extend(folder.as_ref().map(|folder| folder.join("config")));
            configs.extend(home.as_ref().map(|home| home.join(".gitconfig")));
        }
    }
    GitUser { configs, home, excludes: folder.map(|folder| folder.join("ignore")) }
}
