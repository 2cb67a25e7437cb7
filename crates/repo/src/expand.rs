//! The paths that a pattern stands for, by what is there: Go's `filepath.Glob`, as restic uses it for lists of paths.
//!
//! `*` and `?` fit any names without `/`, also those that begin with a dot; `[a-z]` is a set, `[^a-z]` all others, and a backslash takes what follows as
//! it stands. Folders that cannot be read hold nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::exclude::NotAPattern;

/// One part of a pattern, between slashes.
enum Part {
    /// A name.
    Name(Vec<u8>),
    /// A pattern on names.
    Pattern(Vec<Piece>),
}

/// What one character of a name may be, or any number of them.
enum Piece {
    Any,
    Many,
    One(char),
    Set { ranges: Vec<(char, char)>, negated: bool },
}

/// All that is there and fits, in the order of names.
///
/// # Errors
/// [`NotAPattern`] for a set without an end, or a backslash at the end.
pub fn expand(pattern: &[u8]) -> Result<Vec<PathBuf>, NotAPattern> {
    let wrong = |detail: &str| NotAPattern {
        pattern: String::from_utf8_lossy(pattern).into_owned(),
        detail: detail.to_owned(),
    };
    let parts = pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(part).collect::<Result<_, _>>().map_err(wrong)?;
    let start = if pattern.starts_with(b"/") { PathBuf::from("/") } else { PathBuf::new() };
    let mut found = vec![start];
    for part in &parts {
        found = found.iter().flat_map(|path| below(path, part)).collect();
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    Ok(found)
}

/// What fits a part in a folder.
fn below(folder: &PathBuf, part: &Part) -> Vec<PathBuf> {
    let pieces = match part {
        Part::Name(name) => return vec![folder.join(OsStr::from_bytes(name))],
        Part::Pattern(pieces) => pieces,
    };
    let here = PathBuf::from(".");
    let at = if folder.as_os_str().is_empty() { &here } else { folder };
    let entries = std::fs::read_dir(at).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.retain(|name| fits(pieces, &characters(name.as_bytes())));
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Bytes that are not UTF-8 are characters that no pattern names.
fn characters(name: &[u8]) -> Vec<char> {
    String::from_utf8_lossy(name).chars().collect()
}

fn part(text: &[u8]) -> Result<Part, &'static str> {
    if !text.iter().any(|byte| b"*?[\\".contains(byte)) {
        return Ok(Part::Name(text.to_vec()));
    }
    let (mut pieces, text) = (Vec::new(), characters(text));
    let mut rest = text.iter().copied();
    let escape = "nothing stands behind the backslash";
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' => Piece::Many,
            '?' => Piece::Any,
            '\\' => Piece::One(rest.next().ok_or(escape)?),
            '[' => set(&mut rest)?,
            other => Piece::One(other),
        });
    }
    Ok(Part::Pattern(pieces))
}

fn set(rest: &mut (impl Iterator<Item = char> + Clone)) -> Result<Piece, &'static str> {
    const END: &str = "a set has no end";
    let negated = rest.clone().next() == Some('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    let one = |c: char, rest: &mut dyn Iterator<Item = char>| match c {
        '\\' => rest.next().ok_or(END),
        c => Ok(c),
    };
    loop {
        let c = rest.next().ok_or(END)?;
        if c == ']' && !ranges.is_empty() {
            return Ok(Piece::Set { ranges, negated });
        }
        let from = one(c, rest)?;
        let mut to = from;
        if rest.clone().next() == Some('-') {
            rest.next();
            let c = rest.next().ok_or(END)?;
            to = one(c, rest)?;
        }
        ranges.push((from, to));
    }
}

/// Does a name fit? `*` is tried with as little as possible first; only the last one is ever tried anew, so this takes no more than
/// the product of both lengths.
fn fits(pieces: &[Piece], name: &[char]) -> bool {
    let (mut at, mut here, mut again) = (0, 0, None);
    loop {
        match (pieces.get(at), name.get(here)) {
            (Some(Piece::Many), _) => {
                again = Some((at + 1, here));
                at += 1;
                continue;
            }
            (Some(piece), Some(c)) if piece.takes(*c) => {
                (at, here) = (at + 1, here + 1);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match again {
            Some((behind, from)) if from < name.len() => {
                again = Some((behind, from + 1));
                (at, here) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any | Self::Many => true,
            Self::One(own) => *own == c,
            Self::Set { ranges, negated } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let Ok(Part::Pattern(pieces)) = part(pattern.as_bytes()) else { panic!("{pattern}") };
        let fits = |name: &&&str| super::fits(&pieces, &characters(name.as_bytes()));
        assert_eq!(yes.iter().find(|name| !fits(name)), None, "{pattern}");
        assert_eq!(no.iter().find(fits), None, "{pattern}");
    }

    #[test]
    fn names_fit_as_in_go() {
        check("*", &["a", ".a", "\u{e4}"], &[]);
        check("*.o", &["x.o", ".o"], &["x.oo", "o"]);
        check("a*b*c", &["abc", "axbxbyc"], &["abcb", "ac"]);
        check("?", &["a", "\u{e4}"], &["", "ab"]);
        check("[a-c]x", &["ax", "cx"], &["dx", "x"]);
        check("[^a-c]", &["d", "^"], &["a", "b"]);
        check("[!a]", &["!", "a"], &["b"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[\\]x]", &["]", "x"], &["\\"]);
        check("\\*", &["*"], &["a"]);
        check("**", &["abc"], &[]);
        check(&"*a".repeat(30), &[&"a".repeat(30)], &[&"ab".repeat(3000)]);
        for bad in ["[a", "[", "[^", "a\\", "[a-", "[]"] {
            assert!(expand(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_there_is_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/x.o", "a/x.o", "a/y.c", "c"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let all = expand(format!("{}/{pattern}", folder.path().display()).as_bytes()).unwrap();
            let name = |path: &PathBuf| {
                path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()
            };
            all.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(found("*/*.o"), ["a/x.o", "b/x.o"]);
        assert_eq!(found("?/y.c"), ["a/y.c"], "only what is there");
        assert_eq!(found("*"), ["a", "b", "c"]);
        assert_eq!(found("c/*"), Vec::<String>::new());
        assert_eq!(found("no*"), Vec::<String>::new());
    }
}
