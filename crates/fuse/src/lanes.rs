//! The queues of the io_uring transport: one crew of lanes per processor.
//!
//! Before the first exchange [`probe`] finds out whether rings can be had at all, for once both
//! sides have agreed on io_uring the kernel holds every request back until all queues have a lane.
//! Should a queue still end up without one, [`Queues::start`] makes the kernel give the agreement
//! up, and everything goes through `/dev/fuse`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::crew::{Crew, Life};
use crate::kick::kick;
use crate::serve::Service;
use crate::uring::Lane;

/// A queue that no kernel has.
const NO_QUEUE: u16 = u16::MAX;
/// How long registering may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every lane is made from.
#[derive(Clone)]
pub(crate) struct Parts {
    /// Answers the requests.
    pub service: Service,
    /// The connection.
    pub device: Arc<OwnedFd>,
    /// Where the mount is.
    pub dir: PathBuf,
    /// Counts the threads.
    pub life: Arc<Life>,
    /// Bytes of the largest request or reply without headers.
    pub payload: usize,
    /// Lanes per queue.
    pub depth: usize,
}

/// Whether the process can have rings; the result is kept for [`start`].
pub(crate) fn probe() -> io::Result<Lane> {
    Lane::new(NO_QUEUE, 4096)
}

/// Starts all lanes of all queues and waits until they are registered.
pub(crate) fn start(parts: &Parts, mut spare: Lane) -> io::Result<()> {
    let queues = queue_count();
    let (report, reports) = mpsc::channel();
    let filled = (0..queues).try_for_each(|queue| crew(parts, queue, &report).fill());
    drop(report);
    let mut ready = vec![false; usize::from(queues)];
    let mut failure = filled.err();
    while let Ok((queue, result)) = reports.recv_timeout(PATIENCE) {
        match result {
            Ok(()) => ready.iter_mut().skip(usize::from(queue)).take(1).for_each(|is| *is = true),
            Err(error) => failure = Some(error),
        }
    }
    if ready.iter().all(|is| *is) {
        return Ok(());
    }
    // The kernel answers a wrong registration by giving io_uring up for this connection.
    drop(spare.register(&parts.device));
    Err(failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
}

type Report = mpsc::Sender<(u16, io::Result<()>)>;

fn crew(parts: &Parts, queue: u16, report: &Report) -> Arc<Crew> {
    // Stand-ins are hired later, when nobody waits for reports any more: only the first lanes of a
    // queue hold a sender, and each gives it up once it has reported.
    let first = parking_lot::Mutex::new(vec![report.clone(); parts.depth]);
    let (depth, parts) = (parts.depth, parts.clone());
    let hire = move |crew: &Arc<Crew>| -> io::Result<()> {
        let (parts, crew, report) = (parts.clone(), Arc::clone(crew), first.lock().pop());
        let (alive, dir) = (parts.life.enter(), parts.dir.clone());
        // The kernel gives a new lane only requests that come after it: a stand-in must be on offer before the handler
        // that it stands in for goes on, and what waits already must reach it too.
        let (stands_in, registered) = mpsc::channel();
        let waits = report.is_none();
        let report = report.unwrap_or(stands_in);
        std::thread::Builder::new().name(format!("fuse-uring-{queue}")).spawn(move || {
            let _alive = alive;
            serve(&parts, &crew, queue, report);
        })?;
        if waits {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            registered.recv_timeout(PATIENCE).map_err(late)?.1?;
            kick(&dir, queue)?;
        }
        Ok(())
    };
    Crew::new(depth, Box::new(hire))
}

fn serve(parts: &Parts, crew: &Arc<Crew>, queue: u16, report: Report) {
    let made = Lane::new(queue, parts.payload).and_then(|mut lane| {
        lane.register(&parts.device)?;
        Ok(lane)
    });
    let (lane, result) = made.map_or_else(|error| (None, Err(error)), |lane| (Some(lane), Ok(())));
    drop(report.send((queue, result)));
    drop(report);
    if let Some(Err(error)) = lane.map(|mut lane| lane.run(&parts.service, crew)) {
        tracing::error!(%error, queue, "a lane of the mount has stopped");
    }
}

/// One queue per possible processor, present or not.
pub(crate) fn queue_count() -> u16 {
    let list = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let parts = list.trim().split(',').map(|part| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some(high.parse::<u16>().ok()?.checked_sub(low.parse().ok()?)?.saturating_add(1))
    });
    let counted: Option<Vec<u16>> = parts.collect();
    counted.map_or(1, |counts| counts.iter().fold(0, |sum: u16, n| sum.saturating_add(*n)))
}
