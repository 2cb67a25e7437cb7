//! The rules of one `.gitignore` file: which entries below its folder git would leave alone.
//!
//! Pure: text in, verdicts out. Which files of rules count where is decided in `worktree`. Source: git's manual, `gitignore(5)`; a test
//! compares with git itself. A line that git could not match either is passed over, and so is one that is not UTF-8: then more is saved.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The rules of one file, in their order.
#[derive(Debug)]
pub(super) struct Rules {
    set: GlobSet,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    /// It takes back what rules before it left out.
    keeps: bool,
    /// It is about folders only.
    dirs: bool,
}

impl Rules {
    /// From the bytes of a file.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let (mut set, mut rules) = (GlobSetBuilder::new(), Vec::new());
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some((glob, rule)) = std::str::from_utf8(line).ok().and_then(parse_line) {
                set.add(glob);
                rules.push(rule);
            }
        }
        match set.build() {
            Ok(set) => Self { set, rules },
            // Each pattern was understood by itself; together they are too large for the matcher.
            Err(_) => Self { set: GlobSet::empty(), rules: vec![] },
        }
    }

    /// No rule at all?
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Is an entry left out? `path` goes from the folder of the file; `None` when no rule is about it.
    pub(super) fn verdict(&self, path: &[u8], is_dir: bool) -> Option<bool> {
        let fitting = self.set.matches(Path::new(OsStr::from_bytes(path)));
        let fitting = fitting.into_iter().filter_map(|at| Some((at, self.rules.get(at)?)));
        let last = fitting.filter(|(_, rule)| is_dir || !rule.dirs).max_by_key(|(at, _)| *at);
        last.map(|(_, rule)| !rule.keeps)
    }
}

fn parse_line(line: &str) -> Option<(globset::Glob, Rule)> {
    let line = without_trailing_spaces(line);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (keeps, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (dirs, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
    if line.is_empty() {
        return None;
    }
    // A slash at the beginning or in the middle ties the pattern to the folder of the file.
    let tied = line.contains('/');
    let line = line.strip_prefix('/').unwrap_or(line);
    let pattern = in_our_words(line)?;
    let pattern = if tied { pattern } else { format!("**/{pattern}") };
    let mut builder = GlobBuilder::new(&pattern);
    let glob = builder.literal_separator(true).backslash_escape(true).build().ok()?;
    Some((glob, Rule { keeps, dirs }))
}

/// Spaces at the end do not count unless a backslash says so.
fn without_trailing_spaces(line: &str) -> &str {
    let cut = line.trim_end_matches(' ');
    let escapes = cut.len() - cut.trim_end_matches('\\').len();
    match line.len() > cut.len() && escapes % 2 == 1 {
        true => line.get(..=cut.len()).unwrap_or(line),
        false => cut,
    }
}

/// git's pattern as `globset` writes it: braces mean nothing special to git, and classes have names. `None` when it cannot match anything.
fn in_our_words(line: &str) -> Option<String> {
    let mut pattern = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' => pattern.extend(['\\', c]),
            // A backslash at the end escapes nothing.
            '\\' => pattern.extend(['\\', rest.next()?]),
            '[' => class(&mut rest, &mut pattern)?,
            _ => pattern.push(c),
        }
    }
    Some(pattern)
}

/// Rewrites a class behind its `[`; `None` when it has no end.
fn class(rest: &mut std::str::Chars<'_>, pattern: &mut String) -> Option<()> {
    let mut items: Vec<(char, char)> = Vec::new();
    let negated = matches!(rest.clone().next(), Some('!' | '^'));
    if negated {
        rest.next();
    }
    loop {
        let c = rest.next()?;
        if c == ']' && !items.is_empty() {
            break;
        }
        if c == '['
            && let Some((name, behind)) =
                rest.as_str().strip_prefix(':').and_then(|rest| rest.split_once(":]"))
            && !name.contains(']')
        {
            items.extend(named(name)?);
            *rest = behind.chars();
            continue;
        }
        let from = if c == '\\' { rest.next()? } else { c };
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.clone().next().is_some_and(|c| c != ']') {
            let to = ahead.next()?;
            let to = if to == '\\' { ahead.next()? } else { to };
            *rest = ahead;
            items.push((from, to));
        } else {
            items.push((from, from));
        }
    }
    write_class(&items, negated, pattern);
    Some(())
}

/// The characters of a named class. Those of two bytes and more are in none.
fn named(name: &str) -> Option<Vec<(char, char)>> {
    let fits: fn(&char) -> bool = match name {
        "alnum" => char::is_ascii_alphanumeric,
        "alpha" => char::is_ascii_alphabetic,
        "blank" => |c| matches!(c, ' ' | '\t'),
        "cntrl" => char::is_ascii_control,
        "digit" => char::is_ascii_digit,
        "graph" => char::is_ascii_graphic,
        "lower" => char::is_ascii_lowercase,
        "print" => |c| c.is_ascii_graphic() || *c == ' ',
        "punct" => char::is_ascii_punctuation,
        "space" => |c| c.is_ascii_whitespace() || *c == '\x0b',
        "upper" => char::is_ascii_uppercase,
        "xdigit" => char::is_ascii_hexdigit,
        _ => return None,
    };
    Some((0..128u8).map(char::from).filter(fits).map(|c| (c, c)).collect())
}

/// Characters that would be taken for syntax between others, and the slash, which no class matches.
const APART: [char; 3] = [']', '-', '/'];

fn write_class(items: &[(char, char)], negated: bool, pattern: &mut String) {
    let has = |c: char| items.iter().any(|(from, to)| (*from..=*to).contains(&c));
    pattern.push('[');
    if negated {
        pattern.push('!');
    }
    // `]` counts as itself at the beginning only. NUL, which is in no name, keeps anything else from being taken for a negation there.
    pattern.push(if has(']') { ']' } else { '\0' });
    for (from, to) in APART.iter().fold(items.to_vec(), |items, c| without(&items, *c)) {
        pattern.push(from);
        if from != to {
            pattern.extend(['-', to]);
        }
    }
    if negated {
        pattern.push('/');
    }
    if has('-') {
        pattern.push('-');
    }
    pattern.push(']');
}

/// Ranges without an ASCII character; ranges that are the wrong way round hold nothing.
fn without(ranges: &[(char, char)], c: char) -> Vec<(char, char)> {
    let beside = |step: i16| u8::try_from(c as i16 + step).map_or(c, char::from);
    let cut = |(from, to): (char, char)| match (from..=to).contains(&c) {
        true => [Some((from, beside(-1))), Some((beside(1), to))],
        false => [Some((from, to)), None],
    };
    let ranges = ranges.iter().copied().flat_map(cut).flatten();
    ranges.filter(|(from, to)| from <= to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, path: &str, wanted: Option<bool>) {
        let parsed = Rules::parse(rules.as_bytes());
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        assert_eq!(parsed.verdict(path.as_bytes(), is_dir), wanted, "{rules:?} on {path}");
    }

    #[test]
    fn rules_are_read_as_git_reads_them() {
        check("*.o", "a/b.o", Some(true));
        check("*.o\n!b.o", "a/b.o", Some(false));
        check("/b.o", "a/b.o", None);
        check("a/*.o", "a/b/c.o", None);
        check("build/", "build", None);
        check("build/", "x/build/", Some(true));
        check("# x\n\n  \n", "# x", None);
        check("\\#x", "#x", Some(true));
        check("\\!x", "!x", Some(true));
        check("x  ", "x", Some(true));
        check("x\\ ", "x ", Some(true));
        check("{a,b}", "a", None);
        check("{a,b}", "{a,b}", Some(true));
        check("a/**/z", "a/z", Some(true));
        check("a/**", "a/", None);
        check("[[:digit:]]x", "7x", Some(true));
        check("[]-]", "]", Some(true));
        check("[!a-c]", "b", None);
        check("[+-]]", "-]", Some(true));
        check("[X-a]", "]", Some(true));
        check("[\\!]", "!", Some(true));
        check("[\\!]", "a", None);
        check("x[.-0]y", "x/y", None);
        check("a[!b]c", "a/c", None);
        check("[a", "[a", None);
        check("a\\", "a\\", None);
        check("\u{feff}a\r\n", "a", Some(true));
        assert!(Rules::parse(b"\xff*\n#\n").is_empty());
    }
}
