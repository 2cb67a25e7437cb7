//! Where a lane runs: beside its callers for short requests, anywhere for long ones.
//!
//! A caller sleeps while its request is served, so a lane on the same processor answers without
//! waking another one: twice as fast for small files, as measured. Read-ahead and writeback are
//! different: the caller goes on, and a lane on its processor would take turns with it: half the
//! speed for long streams. So a lane that moved much data roams until short requests come again.

use rustix::thread::CpuSet;

/// From this many bytes on a request is long.
const LONG: usize = 64 << 10;
/// Short requests in a row after which a roaming lane comes home.
const ENOUGH: u8 = 4;

/// The place of the calling thread.
#[derive(Debug)]
pub(crate) struct Seat {
    home: CpuSet,
    anywhere: Option<CpuSet>,
    roaming: bool,
    short: u8,
}

impl Seat {
    /// Takes the calling thread to `processor`.
    pub(crate) fn take(processor: u16) -> Self {
        let anywhere = rustix::thread::sched_getaffinity(None).ok();
        let home = only(processor);
        move_to(&home);
        Self { home, anywhere, roaming: false, short: 0 }
    }

    /// A request that moved this many bytes has been served.
    pub(crate) fn served(&mut self, bytes: usize) {
        if bytes >= LONG {
            self.short = 0;
            if let (false, Some(anywhere)) = (self.roaming, &self.anywhere) {
                move_to(anywhere);
                self.roaming = true;
            }
        } else if self.roaming {
            self.short += 1;
            if self.short >= ENOUGH {
                move_to(&self.home);
                (self.roaming, self.short) = (false, 0);
            }
        }
    }
}

fn only(processor: u16) -> CpuSet {
    let mut set = CpuSet::new();
    if usize::from(processor) < CpuSet::MAX_CPU {
        set.set(usize::from(processor));
    }
    set
}

/// Takes the calling thread to `processor`, or says why it may not go there.
pub(crate) fn sit(processor: u16) -> std::io::Result<()> {
    Ok(rustix::thread::sched_setaffinity(None, &only(processor))?)
}

/// Not vital: a processor that is absent or forbidden leaves the thread where it is.
fn move_to(set: &CpuSet) {
    let _not_vital = rustix::thread::sched_setaffinity(None, set);
}
