//! What a backup leaves out, by patterns on paths: restic's rules.
//!
//! `*` and `?` stop at `/`, `**` does not, `[a-z]` is a set. A pattern that begins with `/` is matched from the root, any other at the end of each
//! path's beginning: `cache/tmp` fits `/home/u/cache/tmp`. `!` before a pattern takes back what earlier ones left out; the last that fits
//! decides. What lies in a folder that is left out is never looked at.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {detail}")]
pub struct NotAPattern {
    /// What was given.
    pub pattern: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Patterns, in their order.
#[derive(Clone, Debug, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
    set: GlobSet,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    keeps: bool,
    any_case: bool,
}

impl Excludes {
    /// Patterns with and without regard to upper and lower case; the latter count as later.
    ///
    /// # Errors
    /// [`NotAPattern`] for the first that cannot be understood.
    pub fn new<'p>(
        exact: impl IntoIterator<Item = &'p str>,
        any_case: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, NotAPattern> {
        let exact = exact.into_iter().map(|text| (text, false));
        let mut patterns = Vec::new();
        for (text, any_case) in exact.chain(any_case.into_iter().map(|text| (text, true))) {
            let (keeps, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
            patterns.push(Pattern { text: rest.to_owned(), keeps, any_case });
        }
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            set.add(glob(pattern)?);
        }
        let wrong = |e: globset::Error| NotAPattern {
            pattern: e.glob().unwrap_or_default().to_owned(),
            detail: e.kind().to_string(),
        };
        Ok(Self { set: set.build().map_err(wrong)?, patterns })
    }

    /// The patterns of a file's text: one in a line, without empty lines and those that begin with `#`.
    pub fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// As they were given, for the snapshot.
    pub fn texts(&self) -> Vec<String> {
        let text =
            |pattern: &Pattern| format!("{}{}", if pattern.keeps { "!" } else { "" }, pattern.text);
        self.patterns.iter().map(text).collect()
    }

    /// No pattern at all?
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Does only the last part of a path count, whatever folder it is in?
    pub fn by_name(&self) -> bool {
        let plain = |text: &str| {
            let text = text.strip_suffix('/').unwrap_or(text);
            !text.contains(['/', '[', '{', '\\']) && !text.contains("**")
        };
        self.patterns.iter().all(|pattern| plain(&pattern.text))
    }

    /// Is this absolute path left out?
    pub fn excludes(&self, path: &Path) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let last = self.set.matches(path).into_iter().max();
        last.and_then(|at| self.patterns.get(at)).is_some_and(|pattern| !pattern.keeps)
    }
}

fn glob(pattern: &Pattern) -> Result<globset::Glob, NotAPattern> {
    let text =
        pattern.text.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(&pattern.text);
    let wrong = |detail: String| NotAPattern { pattern: pattern.text.clone(), detail };
    if text.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    let anchored = if text.starts_with('/') { text.to_owned() } else { format!("**/{text}") };
    GlobBuilder::new(&anchored)
        .literal_separator(true)
        .backslash_escape(true)
        .case_insensitive(pattern.any_case)
        .build()
        .map_err(|e| wrong(e.kind().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], out: &[&str], kept: &[&str]) {
        let excludes = Excludes::new(patterns.iter().copied(), []).unwrap();
        for path in out {
            assert!(excludes.excludes(Path::new(path)), "{patterns:?} should leave out {path}");
        }
        for path in kept {
            assert!(!excludes.excludes(Path::new(path)), "{patterns:?} should keep {path}");
        }
    }

    #[test]
    fn patterns_fit_as_restics_do() {
        check(&["*.o"], &["/a/x.o", "/x.o"], &["/a/x.c", "/x.o/y"]);
        check(&["tmp"], &["/a/tmp"], &["/a/tmpx", "/tmp2"]);
        check(&["/a/tmp"], &["/a/tmp"], &["/b/a/tmp"]);
        check(&["b/tmp"], &["/a/b/tmp", "/b/tmp"], &["/b/c/tmp"]);
        check(&["/a/**/z"], &["/a/z", "/a/b/c/z"], &["/b/z"]);
        check(&["/a/*/z"], &["/a/b/z"], &["/a/b/c/z"]);
        check(&["*", "!*.rs"], &["/a.c"], &["/a.rs"]);
        check(&["dir/"], &["/x/dir"], &[]);
    }

    #[test]
    fn patterns_on_names_alone_are_known() {
        let by_name = |pattern| Excludes::new([pattern], []).unwrap().by_name();
        for pattern in ["*.o", "tmp", "dir/", "!a?c"] {
            assert!(by_name(pattern), "{pattern}");
        }
        for pattern in ["/a", "a/b", "**/a", "x**y", "x[!a]y", "{a,b/c}", "a\\*"] {
            assert!(!by_name(pattern), "{pattern}");
        }
        assert!(Excludes::default().by_name());
    }

    #[test]
    fn case_counts_unless_told() {
        let excludes = Excludes::new(["*.TMP"], ["*.bak"]).unwrap();
        assert!(!excludes.excludes(Path::new("/a.tmp")));
        assert!(excludes.excludes(Path::new("/a.BAK")));
        assert_eq!(excludes.texts(), ["*.TMP", "*.bak"]);
    }

    #[test]
    fn files_of_patterns_have_comments() {
        let lines: Vec<_> = Excludes::lines("# no\n\n *.o \n").collect();
        assert_eq!(lines, ["*.o"]);
        assert!(Excludes::new(["[a"], []).is_err());
        assert!(Excludes::new([""], []).is_err());
    }
}
