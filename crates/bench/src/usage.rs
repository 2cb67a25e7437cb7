//! What the system says: caches, memory and processor time of a process, space on disk.
#![allow(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Writes everything back and drops all clean caches of the kernel. Needs root.
pub(crate) fn drop_caches() -> Result<(), String> {
    // SAFETY: no arguments, no memory.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3")
        .map_err(|e| format!("dropping the kernel's caches needs root: {e}"))
}

/// Writes everything back.
pub(crate) fn sync() {
    // SAFETY: no arguments, no memory.
    unsafe { libc::sync() };
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) -> Result<(), String> {
    let pid = libc::pid_t::try_from(pid).map_err(|e| e.to_string())?;
    // SAFETY: a signal to a process, no memory.
    match unsafe { libc::kill(pid, libc::SIGTERM) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

/// Processor time of all threads that live, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

/// A line of `/proc/PID/status` in bytes: `VmRSS`, `VmHWM`.
pub(crate) fn memory(pid: u32, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Bytes that a folder takes on its disk.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// What a program took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds by the clock.
    pub seconds: f64,
    /// Seconds of processor time, user and system.
    pub cpu: f64,
    /// The most resident memory, in bytes. Never less than this process had when it started the program: that is how Linux counts.
    pub peak: f64,
}

/// Runs a program to its end.
#[allow(clippy::zombie_processes, clippy::cast_precision_loss)]
pub(crate) fn cost(command: &mut Command) -> Result<Cost, String> {
    let start = Instant::now();
    let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
    let pid = libc::pid_t::try_from(child.id()).map_err(|e| e.to_string())?;
    let mut status = 0;
    // SAFETY: a structure of integers, for which zeroes are values.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are ours and live; the process is our child and nobody else waits for it.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut used) };
    let seconds = start.elapsed().as_secs_f64();
    if ended != pid || status != 0 {
        return Err(format!("{command:?} ended with status {status:#x}"));
    }
    let time = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let (cpu, peak) = (time(used.ru_utime) + time(used.ru_stime), used.ru_maxrss as f64 * 1024.0);
    Ok(Cost { seconds, cpu, peak })
}
