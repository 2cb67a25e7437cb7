//! The configuration file of `tintype up`, in TOML. What it says counts where the command line says nothing.
//!
//! A file is read as a whole or refused: an unknown key, one that is there under another name, or a value of another kind is an error with its line.

mod keys;
mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::keys::{KEYS, Key, Kind};
use crate::error::{CliError, CliResult};
use crate::paths;

pub use self::reference::reference;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    values: BTreeMap<&'static str, Setting>,
}

/// Behind one key.
#[derive(Clone, Debug, PartialEq)]
enum Setting {
    Text(String),
    Path(PathBuf),
    Flag(bool),
}

impl Config {
    /// The file that was named, or the one in the default place, if there is one.
    pub fn find(named: Option<&Path>) -> CliResult<Self> {
        let default = paths::default_config();
        match (named, default) {
            (Some(file), _) => Self::read(file),
            (None, Some(file)) if file.exists() => Self::read(&file),
            (None, _) => Ok(Self::default()),
        }
    }

    /// Reads a file.
    pub fn read(file: &Path) -> CliResult<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            CliError::usage(
                format!("configuration {}: cannot be read: {error}", file.display()),
                "Name the file with --config; `tintype config reference` shows what may stand in it.",
            )
        })?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, file: &Path) -> CliResult<Self> {
        let place = Place { text, file };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            place.wrong(at, error.message().trim(), "Write it as TOML: KEY = \"VALUE\".")
        })?;
        let mut config = Self::default();
        for (name, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(inner) if is_table(name.get_ref()) => {
                    for (inner_name, value) in inner {
                        let full = format!("{}.{}", name.get_ref(), inner_name.get_ref());
                        config.take(&place, &full, inner_name.span().start, value)?;
                    }
                }
                _ => config.take(&place, name.get_ref(), name.span().start, value)?,
            }
        }
        Ok(config)
    }

    fn take(
        &mut self,
        place: &Place<'_>,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> CliResult<()> {
        let key = KEYS.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| place.wrong(at, &format!("{name} is no key"), &hint(name)))?;
        let setting = match (key.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(text)) => Setting::Text(text.to_string()),
            (Kind::Path, DeValue::String(text)) => Setting::Path(place.resolve(text)),
            (Kind::Flag, DeValue::Boolean(flag)) => Setting::Flag(*flag),
            (kind, _) => {
                let wanted = if kind == Kind::Flag { "true or false" } else { "a text in quotes" };
                let remedy = format!("Write for example: {} = {}", last(key), key.example);
                return Err(place.wrong(at, &format!("{name} is not {wanted}"), &remedy));
            }
        };
        self.values.insert(key.name, setting);
        Ok(())
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Setting::Text(text) => Some(text),
            Setting::Path(_) | Setting::Flag(_) => None,
        }
    }

    /// A path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match self.values.get(name)? {
            Setting::Path(path) => Some(path.clone()),
            Setting::Text(_) | Setting::Flag(_) => None,
        }
    }

    /// A flag; absent, it is not set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Setting::Flag(true)))
    }

    /// A text, read; an error names the key.
    pub fn parsed<T, E: std::fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> CliResult<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).map_err(|error| {
            CliError::usage(
                format!("configuration: {name} = {text:?}: {error}"),
                "`tintype config reference` shows what may stand there.",
            )
        })
    }
}

/// Where something stands.
struct Place<'a> {
    text: &'a str,
    file: &'a Path,
}

impl Place<'_> {
    fn wrong(&self, at: usize, detail: &str, remedy: &str) -> CliError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        CliError::usage(
            format!("configuration {}, line {line}: {detail}", self.file.display()),
            remedy,
        )
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == name))
}

fn last(key: &Key) -> &str {
    key.name.rsplit('.').next().unwrap_or(key.name)
}

/// The key that was most likely meant.
fn hint(name: &str) -> String {
    let near = KEYS.iter().map(|key| (distance(name, key.name), key.name)).min();
    match near {
        Some((far, key)) if far <= name.len().max(3) / 2 => {
            format!("Did you mean {key}? `tintype config reference` shows all keys.")
        }
        _ => "`tintype config reference` shows all keys.".to_owned(),
    }
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.chars().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(corner + usize::from(a != b));
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CliResult<Config> {
        Config::parse(text, Path::new("/etc/tintype/config.toml"))
    }

    #[test]
    fn what_stands_there_is_read() {
        let text = "store = \"s\"\n[listen]\naddress = \"a:1\"\ntls_self_signed = true\n";
        let config = parse(text).unwrap();
        assert_eq!(config.path("store").unwrap(), Path::new("/etc/tintype/s"));
        assert_eq!(
            (config.text("listen.address"), config.flag("listen.insecure")),
            (Some("a:1"), false)
        );
        assert!(config.flag("listen.tls_self_signed"));
        assert_eq!(parse("listen.address = \"b\"").unwrap().text("listen.address"), Some("b"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_was_meant() {
        for (text, line, part) in [
            ("store = \"s\"\n[listen]\nadress = \"a\"\n", 3, "Did you mean listen.address?"),
            ("\nstroe = \"s\"", 2, "Did you mean store?"),
            ("store = 5", 1, "a text in quotes"),
            ("[listen]\ninsecure = \"yes\"", 2, "true or false"),
            ("listen = \"a\"", 1, "is no key"),
            ("[nothing]\nx = 1", 1, "nothing is no key"),
            ("store = \"s\"\nstore = \"t\"", 2, "duplicate"),
            ("store = \n", 1, "TOML"),
        ] {
            let error = parse(text).unwrap_err();
            let told = format!("{} {}", error.message, error.remedy);
            assert!(
                told.contains(&format!("line {line}:")) && told.contains(part),
                "{text}: {told}"
            );
            assert_eq!(error.status, 2);
        }
    }

    #[test]
    fn letters_are_counted() {
        assert_eq!(distance("store", "store"), 0);
        assert_eq!(distance("stroe", "store"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
