//! The file of rules that a user has for all working trees: git's `core.excludesFile`.
//!
//! Configs are read in the order of their weight, and the last that names a file counts; `include.path` is followed, conditions are not
//! (`includeIf` is passed over). What cannot be understood is passed over too: then more is saved. Source: git's manual, `git-config(1)`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Configs that include others in turn: so deep at most.
const DEPTH_MAX: usize = 10;

/// Where git finds what a user has said for all working trees. Nothing by default: then only rules inside of working trees count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitUser {
    /// Configs, those that count more behind the others.
    pub configs: Vec<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// The file of rules when no config names one.
    pub excludes: Option<PathBuf>,
}

impl GitUser {
    /// The file of rules for a working tree; `own` is the config of its repository, and relative paths start from `top`.
    pub(super) fn excludes_file(&self, own: &Path, top: &Path) -> Option<PathBuf> {
        let mut named = None;
        for config in self.configs.iter().map(PathBuf::as_path).chain([own]) {
            self.read(config, DEPTH_MAX, &mut named);
        }
        match named {
            Some(path) => self.path(&path, top),
            None => self.excludes.clone(),
        }
    }

    /// Takes what a config says last.
    fn read(&self, config: &Path, depth: usize, named: &mut Option<Vec<u8>>) {
        let Ok(text) = fs::read(config) else { return };
        for (key, value) in settings(&text) {
            match key.as_slice() {
                b"core.excludesfile" => *named = Some(value),
                b"include.path" if depth > 0 => {
                    let folder = config.parent().unwrap_or(Path::new("/"));
                    if let Some(path) = self.path(&value, folder) {
                        self.read(&path, depth - 1, named);
                    }
                }
                _ => {}
            }
        }
    }

    /// A path as configs write it; `None` for an empty one, or a home that is not known.
    fn path(&self, text: &[u8], from: &Path) -> Option<PathBuf> {
        match text.strip_prefix(b"~/") {
            Some(rest) => Some(self.home.as_ref()?.join(OsStr::from_bytes(rest))),
            None if text.is_empty() || text.starts_with(b"~") => None,
            None => Some(from.join(OsStr::from_bytes(text))),
        }
    }
}

/// `section.key` in lower case, with the value, in their order. Sections with a name of their own are left out.
fn settings(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut section, mut all) = (None, Vec::new());
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    while !rest.is_empty() {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None => break,
            Some(b'#' | b';') => drop(line(&mut rest)),
            Some(b'[') => {
                let end = rest.iter().position(|byte| *byte == b']').unwrap_or(rest.len());
                let (head, behind) = rest.split_at(end);
                let name = head.strip_prefix(b"[").unwrap_or_default();
                let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
                section = plain.then(|| name.to_ascii_lowercase());
                rest = behind.strip_prefix(b"]").unwrap_or_default();
            }
            Some(_) => {
                let key = rest.iter().position(|byte| matches!(byte, b'=' | b'\n'));
                let (key, behind) = rest.split_at(key.unwrap_or(rest.len()));
                rest = behind;
                let value = rest.strip_prefix(b"=").map(|mut at| {
                    let value = value(&mut at);
                    rest = at;
                    value
                });
                if let (Some(section), Some(value)) = (&section, value) {
                    let key = key.trim_ascii().to_ascii_lowercase();
                    all.push(([section.as_slice(), b".", &key].concat(), value));
                }
            }
        }
    }
    all
}

/// The rest of a line.
fn line<'t>(rest: &mut &'t [u8]) -> &'t [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, behind) = rest.split_at(end);
    *rest = behind;
    line
}

/// A value to the end of its line: with quotes, escapes, a comment behind it, and lines that go on.
fn value(rest: &mut &[u8]) -> Vec<u8> {
    let (mut value, mut kept, mut quoted) = (Vec::new(), 0, false);
    while let Some((byte, behind)) = rest.split_first() {
        if *byte == b'\n' {
            break;
        }
        *rest = behind;
        match byte {
            b'"' => quoted = !quoted,
            b'#' | b';' if !quoted => {
                line(rest);
                break;
            }
            b'\\' => {
                let Some((escaped, behind)) = rest.split_first() else { break };
                *rest = behind;
                match escaped {
                    b'\n' => continue,
                    b'n' => value.push(b'\n'),
                    b't' => value.push(b'\t'),
                    b'b' => value.push(8),
                    other => value.push(*other),
                }
            }
            byte if !quoted && value.is_empty() && byte.is_ascii_whitespace() => continue,
            byte => value.push(*byte),
        }
        // Space at the end counts in quotes only.
        if quoted || !byte.is_ascii_whitespace() {
            kept = value.len();
        }
    }
    value.truncate(kept);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let all = settings(text.as_bytes()).into_iter();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        all.map(|(key, value)| format!("{}={}", text(key), text(value))).collect()
    }

    #[test]
    fn configs_are_read() {
        let text = "; c\n[core]\n\texcludesFile = ~/a b  # c\n\tbare\n[remote \"core\"]\nexcludesfile = no\n\
                    [CORE] ExcludesFile=\" x;\\\"y\" ; c\n[include]\npath = a\\\n\\\\b\n";
        let wanted = ["core.excludesfile=~/a b", "core.excludesfile= x;\"y", "include.path=a\\b"];
        assert_eq!(found(text), wanted);
        for odd in ["[", "[core", "[core]\na", "[core]\na=\"", "[core]\na=\\", "=", "[core]=b"] {
            drop(found(odd));
        }
    }

    #[test]
    fn the_last_config_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let user = GitUser {
            configs: vec![at("system"), at("own")],
            home: Some(at("home")),
            excludes: Some(at("default")),
        };
        let named = || user.excludes_file(&at("repository"), &at("top"));
        assert_eq!(named(), Some(at("default")));
        fs::write(at("system"), "[core]\nexcludesFile = /system\n").unwrap();
        assert_eq!(named(), Some("/system".into()));
        fs::write(at("own"), "[include]\npath = more\n").unwrap();
        fs::write(at("more"), "[core]\nexcludesFile = ~/mine\n[include]\npath = more\n").unwrap();
        assert_eq!(named(), Some(at("home/mine")));
        fs::write(at("repository"), "[core]\nexcludesFile = here\n").unwrap();
        assert_eq!(named(), Some(at("top/here")));
        fs::write(at("repository"), "[core]\nexcludesFile =\n").unwrap();
        assert_eq!(named(), None);
    }
}
