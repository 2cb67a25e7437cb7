//! `tintype fs list`.

use tintype_app::types::FsInfo;
use tintype_model::ByteSize;

use super::{limit, place};
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::{Left, Right};
use crate::output::Table;

/// Lists all filesystems.
pub fn run(global: &Global) -> CliResult<()> {
    let body = global.client()?.get("/filesystems")?;
    show(global, &body, |list: Vec<FsInfo>| {
        let mut table = Table::new(&[
            ("NAME", Left),
            ("LIVE", Right),
            ("OWN", Right),
            ("SNAPSHOTS", Right),
            ("HELD", Right),
            ("QUOTA", Right),
            ("CAPACITY", Right),
            ("MOUNT", Left),
        ]);
        for info in list {
            table.row([
                info.name.to_string(),
                limit(info.referenced_bytes),
                ByteSize(info.live_bytes).to_string(),
                info.snapshots.to_string(),
                ByteSize(info.snapshot_bytes).to_string(),
                limit(info.quota),
                limit(info.capacity),
                place(&info),
            ]);
        }
        table.print()
    })
}
