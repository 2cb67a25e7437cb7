//! `tintype status`.

use tintype_app::types::{JobInfo, StatusInfo};
use tintype_model::ByteSize;

use super::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::{self, facts};

/// Shows how the server and its store are.
pub fn run(global: &Global) -> CliResult<()> {
    let body = global.client()?.get("/status")?;
    show(global, &body, print)
}

fn print(status: StatusInfo) -> CliResult<()> {
    facts(&[
        (
            "server",
            format!("{} (process {}), since {:.0}", status.version, status.pid, status.started),
        ),
        ("store", status.store.display().to_string()),
        ("listens on", status.addresses.join(", ")),
        ("health", status.health.clone()),
        (
            "holds",
            format!(
                "{} filesystems, {} disks, {} snapshots",
                status.filesystems, status.disks, status.snapshots
            ),
        ),
        (
            "on disk",
            format!("{}, of it dead {}", ByteSize(status.disk_bytes), ByteSize(status.dead_bytes)),
        ),
        ("not yet durable", ByteSize(status.dirty_bytes).to_string()),
    ])?;
    for mount in &status.mounts {
        let (dir, how) = (mount.dir.display(), &mount.transport);
        output::line(&format!("mounted: {} at {dir} ({how})", mount.filesystem))?;
    }
    for job in &status.jobs {
        output::line(&job_line(job))?;
    }
    for problem in &status.problems {
        output::line(&format!("problem: {problem}"))?;
    }
    for warning in &status.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

fn job_line(job: &JobInfo) -> String {
    match job.total {
        0 => format!("job: {}, {} done", job.name, job.done),
        total => format!("job: {}, {} of {total}", job.name, job.done),
    }
}
