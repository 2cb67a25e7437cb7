//! `/metrics`: what there is to watch, in the text format of Prometheus, for whoever has the role reader.
//!
//! Nothing is walked for it: all of it is known. How full quotas are is looked up at most once a minute.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tintype_app::types::{Figures, Role};

use super::meter::BOUNDS;
use super::operation::Operation;
use super::{Shared, on_pool};
use crate::problem::Problem;
use crate::who::Who;

/// The media type of the format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with all of it.
pub async fn serve(
    State(shared): State<Shared>,
    operations: Arc<[Arc<Operation>]>,
    request: Request,
) -> Result<Response, Problem> {
    let who = request.extensions().get::<Who>().cloned().unwrap_or_default();
    who.caller()?.must_be(Role::Reader, "metrics")?;
    let figures = on_pool(&shared, |app| app.figures()).await?;
    let mut page = Page::default();
    of_store(&mut page, &figures);
    of_process(&mut page);
    of_requests(&mut page, &operations);
    Ok(([(header::CONTENT_TYPE, TEXT)], page.0).into_response())
}

/// A text that grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }
}

fn of_store(page: &mut Page, figures: &Figures) {
    for (name, help, value) in [
        ("tintype_up", "1 while the store takes changes.", u64::from(figures.healthy)),
        ("tintype_start_seconds", "When the server was started.", figures.started),
        ("tintype_filesystems", "Filesystems.", figures.filesystems),
        ("tintype_disks", "Disks.", figures.disks),
        ("tintype_snapshots", "Snapshots.", figures.snapshots),
        ("tintype_mounts", "Mounted filesystems.", figures.mounts),
        ("tintype_store_bytes", "Bytes of the store on disk.", figures.disk_bytes),
        (
            "tintype_store_dead_bytes",
            "Of these, bytes that cleaning wins back.",
            figures.dead_bytes,
        ),
        ("tintype_dirty_bytes", "Bytes written and not yet durable.", figures.dirty_bytes),
        ("tintype_reclaim_due", "Steps of the background that are due.", figures.reclaim_due),
        ("tintype_jobs", "Jobs that run.", figures.jobs),
        ("tintype_tasks_running", "Tasks that run.", figures.tasks_running),
        (
            "tintype_problems",
            "Mounts and policies that are not as they should be.",
            figures.problems,
        ),
        ("tintype_quotas_nearly_full", "Quotas that are nearly used up.", figures.quota_warnings),
        ("tintype_nbd_connections", "Connections to disks.", figures.disk_connections),
    ] {
        page.gauge(name, help, value);
    }
    if let Some(quota) = figures.quota {
        page.gauge("tintype_store_quota_bytes", "Bytes that the store may take.", quota);
    }
    if let Some(free) = figures.free_bytes {
        page.gauge("tintype_store_free_bytes", "Bytes that can still be written.", free);
    }
    page.head("tintype_commits_total", "counter", "Commits since the start.");
    page.line("tintype_commits_total", "", figures.commits);
}

/// What Prometheus' own clients tell of a process.
fn of_process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kib) = field("VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Memory in use.", kib * 1024);
    }
    if let Some(threads) = field("Threads:") {
        page.gauge("process_threads", "Threads.", threads);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open files.", files.count());
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    page.head("process_cpu_seconds_total", "counter", "Processor time.");
    page.line("process_cpu_seconds_total", "", seconds);
}

fn of_requests(page: &mut Page, operations: &[Arc<Operation>]) {
    let readings: Vec<_> = operations
        .iter()
        .map(|operation| (operation.id.as_str(), operation.meter.read()))
        .filter(|(_, reading)| reading.count > 0)
        .collect();
    let name = "tintype_requests_total";
    page.head(name, "counter", "Answers of the API by operation and status.");
    for (id, reading) in &readings {
        for (status, count) in &reading.statuses {
            page.line(name, &format!("{{operation=\"{id}\",status=\"{status}\"}}"), count);
        }
    }
    let name = "tintype_request_seconds";
    page.head(name, "histogram", "How long answers took to their first byte.");
    for (id, reading) in &readings {
        let bucket = format!("{name}_bucket");
        for (bound, count) in BOUNDS.iter().zip(reading.within) {
            page.line(&bucket, &format!("{{operation=\"{id}\",le=\"{bound}\"}}"), count);
        }
        page.line(&bucket, &format!("{{operation=\"{id}\",le=\"+Inf\"}}"), reading.count);
        let of = format!("{{operation=\"{id}\"}}");
        page.line(&format!("{name}_sum"), &of, reading.seconds);
        page.line(&format!("{name}_count"), &of, reading.count);
    }
}
