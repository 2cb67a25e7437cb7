//! `tintype disk list`.

use tintype_app::types::DiskInfo;
use tintype_model::ByteSize;

use super::bytes;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::{Left, Right};
use crate::output::Table;

/// Lists all disks.
pub fn run(global: &Global) -> CliResult<()> {
    let body = global.client()?.get("/disks")?;
    show(global, &body, |list: Vec<DiskInfo>| {
        let mut table = Table::new(&[
            ("NAME", Left),
            ("SIZE", Right),
            ("LIVE", Right),
            ("OWN", Right),
            ("SNAPSHOTS", Right),
            ("HELD", Right),
            ("CAPACITY", Right),
        ]);
        for info in list {
            table.row([
                info.name.to_string(),
                bytes(info.size),
                bytes(info.referenced_bytes),
                ByteSize(info.live_bytes).to_string(),
                info.snapshots.to_string(),
                ByteSize(info.snapshot_bytes).to_string(),
                bytes(info.capacity),
            ]);
        }
        table.print()
    })
}
