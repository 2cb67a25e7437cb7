//! Long use cases that are going on, for `status`. What the store does by itself it tells by itself.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::progress;
use crate::types::JobInfo;

/// Those that run now.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    running: BTreeMap<u64, JobInfo>,
}

impl Jobs {
    /// One more, of `total` steps, until the result is dropped.
    pub(crate) fn begin(&self, name: &str, total: u64) -> Job<'_> {
        progress::tell(|progress| progress.expect(total));
        let mut table = self.0.lock();
        let id = table.next;
        table.next += 1;
        table.running.insert(id, JobInfo { name: name.to_owned(), done: 0, total });
        Job { jobs: self, id }
    }

    /// How far each is.
    pub(crate) fn list(&self) -> Vec<JobInfo> {
        self.0.lock().running.values().cloned().collect()
    }
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    jobs: &'a Jobs,
    id: u64,
}

impl Job<'_> {
    /// So many more steps are done.
    pub(crate) fn step(&self, more: u64) {
        progress::tell(|progress| progress.step(more));
        if let Some(info) = self.jobs.0.lock().running.get_mut(&self.id) {
            info.done += more;
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.jobs.0.lock().running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_listed_while_it_runs() {
        let jobs = Jobs::default();
        let (one, two) = (jobs.begin("fsck", 3), jobs.begin("fsck", 0));
        one.step(2);
        let told = |info: &JobInfo| (info.name.clone(), info.done, info.total);
        assert_eq!(
            jobs.list().iter().map(told).collect::<Vec<_>>(),
            [("fsck".to_owned(), 2, 3), ("fsck".to_owned(), 0, 0)]
        );
        drop(one);
        assert_eq!(jobs.list().len(), 1);
        drop(two);
        assert!(jobs.list().is_empty());
    }
}
