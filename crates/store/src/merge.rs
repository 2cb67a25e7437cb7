//! Merging of joined spaces: the store's part. Points in the catalog are renamed in the same batch, and readers wait.

use crate::error::Result;
use crate::meta::{Place, Snapshot};
use crate::store::{Core, Store};
use tintype_history::{Point, SpaceId};
use tintype_kv::Batch;

/// A space with more rows is left where it is.
const ROWS: usize = 50_000;

impl Store {
    /// Merges one pair of spaces if a chain is too long; `false`: nothing was due.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn merge_step(&self, core: &mut Core) -> Result<bool> {
        if !std::mem::take(&mut core.merge_due) {
            return Ok(false);
        }
        if let Err(error) = self.ask_step(core.refused.merge, false) {
            core.merge_due = true;
            return if error.is_full() { Ok(false) } else { Err(error) };
        }
        let mut batch = Batch::new();
        let merged = core.history.merge(&mut batch, ROWS);
        let Some((upper, lower)) = self.poisoning(merged.map_err(Into::into))? else {
            return Ok(false);
        };
        let renamed = rename_points(core, &mut batch, upper, lower);
        self.poisoning(renamed)?;
        let _readers = self.shared.merges.write();
        let written = self.write_batch(core, batch, false);
        core.refused.merge = core.refused.after(&written);
        self.poisoning(written)?;
        self.shared.moved.write().insert(upper, lower);
        core.merge_due = true;
        self.publish_usage(core);
        Ok(true)
    }
}

fn rename_points(core: &mut Core, batch: &mut Batch, upper: SpaceId, lower: SpaceId) -> Result<()> {
    core.pins.rename(upper, lower);
    core.rename_holds(batch, upper, lower)?;
    let on_upper: Vec<Snapshot> = core
        .catalog
        .snapshots
        .values()
        .filter(|snapshot| matches!(snapshot.place, Place::ReadOnly(point) if point.space == upper))
        .map(|snapshot| (**snapshot).clone())
        .collect();
    for mut snapshot in on_upper {
        if let Place::ReadOnly(point) = snapshot.place {
            snapshot.place = Place::ReadOnly(Point { space: lower, ..point });
            core.catalog.put_snapshot(batch, snapshot)?;
        }
    }
    Ok(())
}
