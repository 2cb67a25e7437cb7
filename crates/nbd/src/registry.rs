//! All connections of a server: how many there are, how to end them, and which of them hang.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::connection::Connection;
use crate::stream::Stream;
use crate::watch::Watched;

struct Entry {
    stream: Arc<Stream>,
    /// Known once the handshake is done.
    serving: Option<(Weak<Connection>, Arc<Watched>)>,
    /// The id of the export, from then on.
    export: String,
    /// The request that was being done at the last look.
    seen: u64,
}

#[derive(Default)]
struct State {
    next: u64,
    stopping: bool,
    entries: HashMap<u64, Entry>,
}

impl State {
    fn serving<'s>(
        &'s self,
        which: &'s dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (u64, &'s Entry)> {
        let entries = self.entries.iter().map(|(id, entry)| (*id, entry));
        entries.filter(move |(_, entry)| entry.serving.is_some() && which(&entry.export))
    }
}

/// The table of connections.
#[derive(Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
    left: Condvar,
}

/// The place of one connection in the table, given up on drop.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    id: u64,
}

impl Registry {
    /// Takes a connection up, unless there are `max` or the server is stopping.
    pub fn enter(self: &Arc<Self>, stream: Arc<Stream>, max: usize) -> Option<Seat> {
        let mut state = self.state.lock();
        if state.stopping || state.entries.len() >= max {
            return None;
        }
        state.next = state.next.wrapping_add(1);
        let id = state.next;
        state.entries.insert(id, Entry { stream, serving: None, export: String::new(), seen: 0 });
        Some(Seat { registry: Arc::clone(self), id })
    }

    pub fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Connections that have been doing the same request since the last call, with that request, and whether anything
    /// at all is being done.
    pub fn stuck(&self) -> (Vec<(Weak<Connection>, u64)>, bool) {
        let mut state = self.state.lock();
        let (mut stuck, mut active) = (Vec::new(), false);
        for entry in state.entries.values_mut() {
            let Some((connection, watched)) = &entry.serving else { continue };
            let (now, moved) = watched.look();
            active |= now != 0 || moved;
            if now != 0 && now == entry.seen {
                stuck.push((Weak::clone(connection), now));
            }
            entry.seen = now;
        }
        (stuck, active)
    }

    /// Refuses new connections, lets the others end, and waits for that until `deadline`. What is left then is cut off.
    /// Returns how many connections have still not ended, because a device does not answer.
    pub fn stop(&self, deadline: Instant, after_cut: Instant) -> usize {
        let mut state = self.state.lock();
        state.stopping = true;
        state.entries.values().for_each(|entry| entry.stream.stop_reading());
        while !state.entries.is_empty() {
            if self.left.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.entries.values().for_each(|entry| entry.stream.cut());
        while !state.entries.is_empty() {
            if self.left.wait_until(&mut state, after_cut).timed_out() {
                break;
            }
        }
        state.entries.len()
    }

    /// Connections of an export that have done their handshake.
    pub fn clients(&self, export: &str) -> usize {
        self.state.lock().serving(&|id| id == export).count()
    }

    /// Lets the connections of these exports end as soon as they have answered what has arrived, and waits for that until
    /// `deadline`. What is left then is cut off. Returns how many connections there were.
    pub fn close(
        &self,
        which: &dyn Fn(&str) -> bool,
        deadline: Instant,
        after_cut: Instant,
    ) -> usize {
        let mut state = self.state.lock();
        let found = state.serving(which).inspect(|(_, entry)| entry.stream.stop_reading());
        let closing: Vec<u64> = found.map(|(id, _)| id).collect();
        self.wait_for(&mut state, &closing, deadline);
        let left = closing.iter().filter_map(|id| state.entries.get(id));
        left.for_each(|entry| entry.stream.cut());
        self.wait_for(&mut state, &closing, after_cut);
        closing.len()
    }

    fn wait_for(&self, state: &mut MutexGuard<'_, State>, closing: &[u64], until: Instant) {
        while closing.iter().any(|id| state.entries.contains_key(id)) {
            if self.left.wait_until(state, until).timed_out() {
                return;
            }
        }
    }

    /// Waits until a connection ends, or a little.
    pub fn wait_for_room(&self, until: Instant) {
        let mut state = self.state.lock();
        let _ = self.left.wait_until(&mut state, until);
    }
}

impl Seat {
    /// The handshake is done.
    pub fn serves(&self, export: &str, connection: &Arc<Connection>, watched: &Arc<Watched>) {
        let mut state = self.registry.state.lock();
        if let Some(entry) = state.entries.get_mut(&self.id) {
            entry.export = export.to_owned();
            entry.serving = Some((Arc::downgrade(connection), Arc::clone(watched)));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let gone = self.registry.state.lock().entries.remove(&self.id);
        self.registry.left.notify_all();
        // Closing a socket needs no lock.
        drop(gone);
    }
}
