//! Quotas of filesystems that are not mounted, remembered so that `status` does not read every filesystem each time.
//!
//! Nothing but this server's own use cases changes a filesystem that is not mounted, and each of them forgets here what it
//! touched. What is not remembered is read by whoever asks. Nothing of this is kept on disk.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tintype_fs::QuotaReport;
use tintype_model::VolumeId;

use crate::error::AppResult;

/// What was read, and how often something was forgotten.
#[derive(Default)]
struct Known {
    reports: BTreeMap<VolumeId, Vec<QuotaReport>>,
    forgotten: u64,
}

/// Quotas by filesystem; most have none.
#[derive(Default)]
pub(crate) struct QuotasAtRest(Mutex<Known>);

impl QuotasAtRest {
    /// What is known of a filesystem; otherwise what `read` finds. That is kept only if nothing was forgotten meanwhile: it may be
    /// older than a change.
    pub(crate) fn get(
        &self,
        id: VolumeId,
        read: impl FnOnce() -> AppResult<Vec<QuotaReport>>,
    ) -> AppResult<Vec<QuotaReport>> {
        let before = {
            let known = self.0.lock();
            if let Some(reports) = known.reports.get(&id) {
                return Ok(reports.clone());
            }
            known.forgotten
        };
        let reports = read()?;
        let mut known = self.0.lock();
        if known.forgotten == before {
            known.reports.insert(id, reports.clone());
        }
        Ok(reports)
    }

    /// Forgets a filesystem that may have changed.
    pub(crate) fn forget(&self, id: VolumeId) {
        let mut known = self.0.lock();
        known.forgotten += 1;
        known.reports.remove(&id);
    }

    /// Forgets all: the store was opened anew.
    pub(crate) fn forget_all(&self) {
        let mut known = self.0.lock();
        known.forgotten += 1;
        known.reports.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let (rest, id) = (QuotasAtRest::default(), VolumeId(1));
        let read = |count: &mut u32| {
            *count += 1;
            Ok(Vec::new())
        };
        let mut reads = 0;
        let during = rest.get(id, || {
            rest.forget(id);
            read(&mut reads)
        });
        assert!(during.is_ok());
        assert!(rest.get(id, || read(&mut reads)).is_ok());
        assert!(rest.get(id, || read(&mut reads)).is_ok());
        assert_eq!(reads, 2, "once while it changed, once after that");
        rest.forget_all();
        assert!(rest.get(id, || read(&mut reads)).is_ok());
        assert_eq!(reads, 3);
    }
}
