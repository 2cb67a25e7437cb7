//! Runs the rows that were asked for. Rows on files go over all subjects, round after round, each on a
//! fresh store; the others are in `snaps`.

use std::path::Path;

use crate::loads::{self, Figures, MakeCold};
use crate::options::Options;
use crate::report::Table;
use crate::subject::{self, Subject};
use crate::{api, changes, disks, images, policies, repos, snaps, trees, usage};

const URING: &str = "/sys/module/fuse/parameters/enable_uring";

/// Lets the kernel offer FUSE over io_uring while this lives, where we may.
struct Uring(Option<String>);

impl Uring {
    fn allow() -> Self {
        let before = std::fs::read_to_string(URING).ok();
        if before.is_none() || std::fs::write(URING, "Y").is_err() {
            eprintln!("SKIPPED: io_uring: {URING} cannot be set");
        }
        Self(before)
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            drop(std::fs::write(URING, before));
        }
    }
}

/// Everything.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    std::fs::create_dir_all(&options.base).map_err(|e| e.to_string())?;
    let uring = Uring::allow();
    let on_files = ["seq", "rand", "small", "fsync", "tree"];
    let (files, others): (Vec<&str>, Vec<&str>) =
        options.rows.iter().map(String::as_str).partition(|row| on_files.contains(row));
    let mut done = if files.is_empty() { Ok(()) } else { on_subjects(options, &files) };
    for row in others {
        let run = || match row {
            "repository" | "index-memory" | "chunking" => repos::run(options, row),
            "disk" | "disk-snapshots" | "disk-clones" => disks::run(options, row),
            "images" => images::run(options),
            "policies" => policies::run(options),
            "change-list" => changes::run(options),
            "api" => api::run(options),
            _ => snaps::run(options, row),
        };
        done = done.and_then(|()| run().map_err(|e| format!("{row}: {e}")));
    }
    drop(uring);
    if !options.keep {
        drop(std::fs::remove_dir_all(&options.base));
    }
    done
}

fn on_subjects(options: &Options, rows: &[&str]) -> Result<(), String> {
    let mut table = Table::default();
    let source = if rows.contains(&"tree") { Some(trees::source(options)?) } else { None };
    for _ in 0..options.rounds {
        for name in subject::names(options) {
            let figures = on_subject(options, rows, &name, source.as_deref())
                .map_err(|e| format!("{name}: {e}"))?;
            figures.into_iter().for_each(|(work, secs)| table.add(work, &name, secs));
        }
    }
    table.print();
    Ok(())
}

fn on_subject(
    options: &Options,
    rows: &[&str],
    name: &str,
    source: Option<&Path>,
) -> Result<Figures, String> {
    let mut figures = Vec::new();
    let mut subject = Subject::start(options, name)?;
    for row in rows {
        usage::sync();
        let dir = subject.dir.clone();
        let cold: MakeCold<'_> = &mut || subject.cold();
        let part = match (*row, source) {
            ("seq", _) => loads::seq(&dir, &options.sizes, cold),
            ("rand", _) => loads::rand(&dir, &options.sizes, cold),
            ("small", _) => loads::small(&dir, &options.sizes, cold),
            ("tree", Some(source)) => trees::tree(&dir, source, cold),
            _ => loads::fsync(&dir, &options.sizes, cold),
        }?;
        eprintln!("{name}: {part:.3?}");
        figures.extend(part);
    }
    subject.stop(options, name)?;
    Ok(figures)
}
