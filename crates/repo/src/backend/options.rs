//! Fine settings of places, written `KIND.NAME=VALUE` as in restic: `rclone.program=/opt/rclone`.
//!
//! Every setting that some adapter understands stands in one table, so that a mistyped one is an error and not silently without effect.

use std::collections::BTreeMap;

/// All settings: kind of place, name, what it is.
const KNOWN: [(&str, &str); 11] = [
    ("rclone.program", "the program, where it is not in the path"),
    (
        "rclone.args",
        "words between the program and the place, instead of `serve restic --b2-hard-delete`",
    ),
    (
        "sftp.command",
        "the whole command that gives an SFTP server on its input and output, instead of ssh",
    ),
    ("sftp.args", "words for ssh before the machine's name"),
    ("s3.region", "the region, where no variable says it"),
    ("s3.bucket-lookup", "where the bucket's name stands: dns (in the host), path, or auto"),
    ("s3.storage-class", "the class of new objects"),
    ("s3.list-objects-v1", "true for services that do not know the newer listing"),
    ("azure.endpoint", "the service's address, instead of https://ACCOUNT.blob.core.windows.net"),
    ("gs.endpoint", "the service's address, instead of https://storage.googleapis.com"),
    ("b2.endpoint", "the address of the account's S3 interface, instead of asking for it"),
];

/// Settings that were given. Those of other kinds of places do no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceOptions(BTreeMap<String, String>);

/// A text that is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnOption {
    /// It has no equals sign.
    #[error("the option `{text}` is not written KIND.NAME=VALUE")]
    Form {
        /// What was written.
        text: String,
    },
    /// No place knows it.
    #[error("there is no option `{key}`; there are {known}")]
    Unknown {
        /// What stood before the equals sign.
        key: String,
        /// All that there are.
        known: String,
    },
}

impl PlaceOptions {
    /// Reads `KIND.NAME=VALUE`; of two for one name the later counts.
    ///
    /// # Errors
    ///
    /// [`NotAnOption`] for texts of another form and names that no place knows.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NotAnOption> {
        let mut options = BTreeMap::new();
        for text in texts {
            let (key, value) =
                text.split_once('=').ok_or_else(|| NotAnOption::Form { text: text.to_owned() })?;
            let key = key.trim().to_lowercase();
            if !KNOWN.iter().any(|(known, _)| *known == key) {
                let known = KNOWN.map(|(known, _)| known).join(", ");
                return Err(NotAnOption::Unknown { key, known });
            }
            options.insert(key, value.trim().to_owned());
        }
        Ok(Self(options))
    }

    /// A setting that was given and is not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        debug_assert!(KNOWN.iter().any(|(known, _)| *known == key), "{key} stands in the table");
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All settings and what they are, for help texts.
    pub fn known() -> &'static [(&'static str, &'static str)] {
        &KNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_settings_come_back_and_others_are_refused() {
        let options =
            PlaceOptions::parse(["rclone.program=/a b", "RCLONE.args = x=y ", "rclone.program=/c"])
                .unwrap();
        assert_eq!(options.get("rclone.program"), Some("/c"));
        assert_eq!(options.get("rclone.args"), Some("x=y"));
        assert_eq!(PlaceOptions::parse(["rclone.args="]).unwrap().get("rclone.args"), None);
        assert!(matches!(PlaceOptions::parse(["rclone.args"]), Err(NotAnOption::Form { .. })));
        let e = PlaceOptions::parse(["rclone.progam=x"]).unwrap_err().to_string();
        assert!(e.contains("rclone.progam") && e.contains("rclone.program"), "{e}");
    }
}
