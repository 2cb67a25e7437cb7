//! `docs/promises.md` and `docs/api-coverage.md` name tests as proofs: each must exist in the crate that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::tidy;

const PAGES: [&str; 2] = ["docs/promises.md", "docs/api-coverage.md"];

/// Every name on the pages that leads nowhere.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut sources = BTreeMap::new();
    let mut found = Vec::new();
    for page in PAGES {
        let text =
            fs::read_to_string(root.join(page)).map_err(|error| format!("{page}: {error}"))?;
        for (name, test) in proofs(&text) {
            if !defines(source(root, name, &mut sources)?, test) {
                found.push(format!("{page}: crate {name} has no test {test}"));
            }
        }
    }
    Ok(found)
}

/// What a crate's files hold, read once.
fn source<'a>(
    root: &Path,
    name: &str,
    sources: &'a mut BTreeMap<String, String>,
) -> Result<&'a str, String> {
    if !sources.contains_key(name) {
        let text = source_of(&root.join("crates").join(name))?;
        sources.insert(name.to_owned(), text);
    }
    Ok(sources.get(name).map_or("", String::as_str))
}

/// The pairs `crate::test` between back-ticks.
fn proofs(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.split_once("::"))
        .filter(|(name, test)| plain(name) && plain(test) && *name != "crate")
}

fn plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn source_of(folder: &Path) -> Result<String, String> {
    let files = tidy::files(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let rust = files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    Ok(rust.filter_map(|file| fs::read_to_string(file).ok()).collect())
}

/// A function of that name, also one that a macro makes (`name,` or `name =>` alone is not enough).
fn defines(text: &str, test: &str) -> bool {
    text.contains(&format!("fn {test}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_found_and_missing_ones_told() {
        let page = "| a | `cli::one`, `bench seq`, `crate::name` | `kv::two` |";
        assert_eq!(proofs(page).collect::<Vec<_>>(), [("cli", "one"), ("kv", "two")]);
        assert!(defines("fn one() {}", "one"));
        assert!(!defines("fn one_more() {}", "one"));
    }
}
