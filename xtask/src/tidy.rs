//! Small things that drift: module headers, leftovers, paths of somebody's machine, long files.

use std::fs;
use std::path::{Path, PathBuf};

/// Past this, a file needs a seam. Guidance says 100 to 300; this only stops growth.
const LINES_MAX: usize = 1000;
/// Folders that are not ours or not text.
const SKIPPED: [&str; 4] = ["target", ".git", "testdata", "node_modules"];

/// Everything untidy in the checkout.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for file in files(root).map_err(|error| error.to_string())? {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        found.extend(judge(&name, &text));
    }
    found.sort();
    Ok(found)
}

/// Every file below a folder that is ours.
pub fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        match entry.file_type()? {
            kind if kind.is_dir() => all.extend(files(&entry.path())?),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    Ok(all)
}

fn judge(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: &str| found.push(format!("{name}: {what}"));
    if name.ends_with(".rs") {
        if !text.starts_with("//!") {
            say("starts without a //! header that says what it is");
        }
        if text.lines().count() > LINES_MAX {
            say("is longer than 1,000 lines: look for a seam");
        }
        for leftover in leftovers() {
            if text.contains(&leftover) {
                say(&format!("contains {leftover:?}"));
            }
        }
    }
    for path in machine_paths() {
        if text.contains(&path) {
            say(&format!("names {path:?}, which exists on one machine only"));
        }
    }
    if text.lines().any(|line| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>")) {
        say("contains a conflict mark");
    }
    found
}

/// Written in two parts, so that this file is tidy itself.
fn leftovers() -> [String; 4] {
    [["todo", "!("], ["unimplemented", "!("], ["dbg", "!("], ["FIX", "ME"]].map(|p| p.concat())
}

fn machine_paths() -> [String; 3] {
    [["/ro", "ot/"], ["/wo", "rk/"], ["/ho", "me/user"]].map(|p| p.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untidy_files_are_found() {
        assert!(judge("a.rs", "//! Header.\nfn main() {}\n").is_empty());
        assert_eq!(judge("a.rs", "fn main() {}\n").len(), 1);
        let text = format!("//! H\nfn f() {{ {}) }}\n", leftovers()[0]);
        assert_eq!(judge("a.rs", &text).len(), 1);
        assert_eq!(judge("README.md", &format!("see {}x", machine_paths()[1])).len(), 1);
        assert_eq!(judge("a.md", "<<<<<<< ours\n").len(), 1);
        assert_eq!(judge("a.rs", &format!("//! H\n{}", "\n".repeat(LINES_MAX))).len(), 1);
    }
}
