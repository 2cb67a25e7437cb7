//! Finding a snapshot by what people type: an id, a unique beginning of one, `latest`, `latest~2`.

use std::fmt;
use std::str::FromStr;

use super::SnapshotFile;
use crate::error::{RepoError, Result};

/// What was typed for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotRequest {
    /// `latest` (0) or `latest~N`: the newest but N.
    Latest(usize),
    /// The id, or a beginning of it.
    Id(String),
}

/// A text that names no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no snapshot: give an id or its first digits, `latest` or `latest~N`")]
pub struct NotARequest {
    /// What was typed.
    pub text: String,
}

impl FromStr for SnapshotRequest {
    type Err = NotARequest;

    fn from_str(text: &str) -> Result<Self, NotARequest> {
        let wrong = || NotARequest { text: text.to_owned() };
        if let Some(rest) = text.strip_prefix("latest") {
            return match rest.strip_prefix('~') {
                None if rest.is_empty() => Ok(Self::Latest(0)),
                Some(number) => number.parse().map(Self::Latest).map_err(|_| wrong()),
                None => Err(wrong()),
            };
        }
        let digits = text.chars().all(|c| c.is_ascii_hexdigit());
        let fine = digits && (1..=64).contains(&text.len());
        if fine { Ok(Self::Id(text.to_ascii_lowercase())) } else { Err(wrong()) }
    }
}

impl fmt::Display for SnapshotRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(0) => f.pad("latest"),
            Self::Latest(n) => f.pad(&format!("latest~{n}")),
            Self::Id(id) => f.pad(id),
        }
    }
}

/// The snapshot that was asked for. `filter` counts for `latest` only; ids name one whatever it says.
///
/// # Errors
/// [`RepoError::NoSnapshot`], and [`RepoError::Ambiguous`] when several ids begin so.
pub fn find_snapshot(
    snapshots: &[SnapshotFile],
    request: &SnapshotRequest,
    filter: impl Fn(&SnapshotFile) -> bool,
) -> Result<SnapshotFile> {
    let none = || RepoError::NoSnapshot { wanted: request.to_string() };
    match request {
        SnapshotRequest::Latest(n) => {
            let mut fitting: Vec<_> =
                snapshots.iter().filter(|snapshot| filter(snapshot)).collect();
            fitting.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
            fitting.into_iter().rev().nth(*n).cloned().ok_or_else(none)
        }
        SnapshotRequest::Id(start) => {
            let fitting: Vec<_> =
                snapshots.iter().filter(|s| s.id.to_string().starts_with(start)).collect();
            match fitting.as_slice() {
                [one] => Ok((*one).clone()),
                [] => Err(none()),
                many => Err(RepoError::Ambiguous { wanted: start.clone(), count: many.len() }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BlobId, Id, SnapshotId};
    use tintype_model::moment::Moment;

    fn snapshot(id: u8, time: &str, host: &str) -> SnapshotFile {
        let mut snapshot = SnapshotFile::new(time.parse::<Moment>().unwrap(), BlobId::default());
        snapshot.id = SnapshotId(Id([id; 32]));
        snapshot.hostname = host.to_owned();
        snapshot
    }

    fn ask(text: &str) -> Result<u8> {
        let all = [
            snapshot(0x11, "2026-01-02", "a"),
            snapshot(0x12, "2026-01-03", "b"),
            snapshot(0x21, "2026-01-01", "a"),
        ];
        let found = find_snapshot(&all, &text.parse().unwrap(), |s| s.hostname == "a")?;
        Ok(found.id.0.0[0])
    }

    #[test]
    fn requests_are_understood() {
        assert_eq!(ask("latest").unwrap(), 0x11);
        assert_eq!(ask("latest~1").unwrap(), 0x21);
        assert!(matches!(ask("latest~2"), Err(RepoError::NoSnapshot { .. })));
        assert_eq!(ask("12").unwrap(), 0x12);
        assert_eq!(ask("2").unwrap(), 0x21);
        assert!(matches!(ask("1"), Err(RepoError::Ambiguous { count: 2, .. })));
        assert!(matches!(ask("3"), Err(RepoError::NoSnapshot { .. })));
        for bad in ["", "latest~", "latest~-1", "latest2", "xyz", "latest~1x"] {
            assert!(bad.parse::<SnapshotRequest>().is_err(), "{bad}");
        }
    }
}
