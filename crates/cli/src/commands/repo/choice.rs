//! Which snapshots of a repository are meant: the filters that commands share.

use tintype_model::Tags;
use tintype_repo::{SnapshotFile, SnapshotRequest, find_snapshot};

use super::environment::host;
use crate::error::{CliError, CliResult};

/// Filters on snapshots. They choose what `latest` and `latest~N` mean; an id is an id.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Choice {
    /// Only snapshots of this machine; may be repeated (default: TINTYPE_HOST, RESTIC_HOST; "": any)
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Only snapshots with all of these tags, as `a,b`; may be repeated: any one of the lists
    #[arg(long = "tag", value_name = "A,B")]
    tags: Vec<Tags>,
    /// Only snapshots with this label
    #[arg(long)]
    label: Option<String>,
    /// Only snapshots that saved this path; may be repeated: all of them
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
}

impl Choice {
    /// The snapshot that was asked for, as `ID`, `latest` or `latest~N` among those that pass.
    pub fn find(&self, there: &[SnapshotFile], request: &str) -> CliResult<SnapshotFile> {
        let request: SnapshotRequest =
            request.parse().map_err(|e| CliError::usage(format!("{e}"), ""))?;
        Ok(find_snapshot(there, &request, |snapshot| self.fits(snapshot))?)
    }

    /// Whether a snapshot passes all filters.
    pub fn fits(&self, snapshot: &SnapshotFile) -> bool {
        self.fits_host(&snapshot.hostname)
            && (self.tags.is_empty() || self.tags.iter().any(|tags| snapshot.has_tags(tags)))
            && self.label.as_ref().is_none_or(|label| snapshot.label == *label)
            && self.path.iter().all(|path| snapshot.paths.contains(path))
    }

    fn fits_host(&self, hostname: &str) -> bool {
        match self.host.as_slice() {
            [] => host(None).is_none_or(|host| host == hostname),
            hosts => hosts.iter().any(|host| host.is_empty() || host == hostname),
        }
    }
}
