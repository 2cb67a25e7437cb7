//! Writing qcow2 of version 3 as one stream forward, with internal snapshots when there are several moments.
//!
//! In this order: header, table of counts, counts, snapshots, first tables, second tables, data. All places follow from where data is, so
//! the disk is asked for that several times and nothing about it is kept; only with several moments, whose clusters are shared, maps
//! of runs are made.

use std::io::Write;
use std::ops::Range;

use super::codec::Codec;
use super::header::Header;
use super::{CLUSTER, CLUSTER_BITS, COPIED, COUNTS, ENTRIES, TABLE_COVERS, count_clusters};
use crate::PIECE;
use crate::content::{Content, Units, read_padded};
use crate::error::{ImageError, Result};
use crate::fields::put;
use crate::format::Format;

/// Largest disk in bytes that we write: its first table has 32 MiB.
const SIZE_MAX: u64 = (32 << 20) / 8 * TABLE_COVERS;
/// Internal snapshots, at most.
const LAYERS_MAX: usize = 4096;

/// A moment of the disk.
pub struct Layer<'c> {
    /// What it shows.
    pub content: &'c dyn Content,
    /// What differs from the moment before, ascending; all that it has is new where this says nothing of it.
    pub changed: Vec<Range<u64>>,
    /// Its name; the last one is the disk itself and has none.
    pub name: String,
    /// When it was, in seconds since 1970-01-01 UTC.
    pub seconds: u32,
    /// And nanoseconds.
    pub nanoseconds: u32,
}

/// Clusters of the disk that follow one another, and where they lie among the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    guest: u64,
    count: u64,
    /// Number of the first one's place among the data.
    place: u64,
}

/// One layer's clusters.
enum Map {
    /// In the order of the disk, one after another.
    Plain,
    Runs(Vec<Run>),
}

/// An image whose places are known.
pub struct Qcow2Plan<'c> {
    layers: Vec<Layer<'c>>,
    maps: Vec<Map>,
    /// Clusters of data.
    data: u64,
    /// How many refer to a cluster of data; empty when it is one for all.
    references: Vec<u16>,
    /// Second tables that each layer has, by place in its first table.
    tables: Vec<Vec<bool>>,
}

fn clusters(bytes: u64) -> u64 {
    bytes.div_ceil(CLUSTER)
}

impl<'c> Qcow2Plan<'c> {
    /// One moment.
    ///
    /// # Errors
    /// The disk is too large for the format, or cannot be read.
    pub fn new(content: &'c dyn Content) -> Result<Self> {
        let (changed, name) = (Vec::new(), String::new());
        Self::with_snapshots(vec![Layer { content, changed, name, seconds: 0, nanoseconds: 0 }])
    }

    /// Several moments, oldest first; the last one is the disk as it is.
    ///
    /// # Errors
    /// The disk is too large for the format, or cannot be read.
    pub fn with_snapshots(layers: Vec<Layer<'c>>) -> Result<Self> {
        for layer in &layers {
            let size = layer.content.size();
            if size > SIZE_MAX {
                return Err(ImageError::TooLarge { format: Format::Qcow2, size, limit: SIZE_MAX });
            }
        }
        if layers.len() > LAYERS_MAX {
            return Err(ImageError::Refused {
                format: Format::Qcow2,
                field: "internal snapshots",
                detail: format!("{} are too many", layers.len()),
                remedy: "Name fewer snapshots.",
            });
        }
        let mut plan =
            Self { layers, maps: Vec::new(), data: 0, references: Vec::new(), tables: Vec::new() };
        plan.lay_out()?;
        Ok(plan)
    }

    fn lay_out(&mut self) -> Result<()> {
        if let [only] = self.layers.as_slice() {
            let mut units = Units::new(only.content, CLUSTER);
            while let Some(run) = units.next_run()? {
                self.data += run.end - run.start;
            }
            self.maps.push(Map::Plain);
        } else {
            self.share()?;
        }
        for index in 0..self.layers.len() {
            let size = self.layers.get(index).map_or(0, |layer| layer.content.size());
            let mut tables = vec![false; size.div_ceil(TABLE_COVERS) as usize];
            self.each_run(index, &mut |run| {
                let (first, last) = (run.guest / ENTRIES, (run.guest + run.count - 1) / ENTRIES);
                let range = tables.get_mut(first as usize..=last as usize);
                range.unwrap_or(&mut []).fill(true);
                Ok(())
            })?;
            self.tables.push(tables);
        }
        Ok(())
    }

    /// Finds out which clusters the layers share.
    fn share(&mut self) -> Result<()> {
        let mut before: Vec<Run> = Vec::new();
        for layer in &self.layers {
            let mut runs = Vec::new();
            let mut units = Units::new(layer.content, CLUSTER);
            while let Some(there) = units.next_run()? {
                split(there, &layer.changed, &before, &mut self.data, &mut runs);
            }
            self.references.resize(self.data as usize, 0);
            for run in &runs {
                let places = run.place as usize..(run.place + run.count) as usize;
                let counts = self.references.get_mut(places).unwrap_or(&mut []);
                counts.iter_mut().for_each(|count| *count = count.saturating_add(1));
            }
            before.clone_from(&runs);
            self.maps.push(Map::Runs(runs));
        }
        Ok(())
    }

    /// Gives the runs of a layer, ascending.
    fn each_run(&self, layer: usize, each: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        match (self.maps.get(layer), self.layers.get(layer)) {
            (Some(Map::Runs(runs)), _) => runs.iter().try_for_each(|run| each(*run)),
            (Some(Map::Plain), Some(layer)) => {
                let mut units = Units::new(layer.content, CLUSTER);
                let mut place = 0;
                while let Some(run) = units.next_run()? {
                    let count = run.end - run.start;
                    each(Run { guest: run.start, count, place })?;
                    place += count;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn snapshots(&self) -> &[Layer<'c>] {
        self.layers.split_last().map_or(&[], |(_, rest)| rest)
    }

    /// Bytes of the image.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.places().total * CLUSTER
    }

    fn places(&self) -> Places {
        let table = self.snapshot_table(&Places::default()).len() as u64;
        let first: Vec<u64> =
            self.tables.iter().map(|tables| clusters(tables.len() as u64 * 8).max(1)).collect();
        let second: Vec<u64> = self
            .tables
            .iter()
            .map(|tables| tables.iter().filter(|used| **used).count() as u64)
            .collect();
        let others = 1 + clusters(table) + first.iter().chain(&second).sum::<u64>() + self.data;
        let (counts, counts_table) = count_clusters(others);
        let snapshots_at = 1 + counts_table + counts;
        let mut next = snapshots_at + clusters(table);
        let mut place = |count: &u64| {
            let at = next;
            next += count;
            at
        };
        let first_at = first.iter().map(&mut place).collect();
        let second_at = second.iter().map(&mut place).collect();
        let data_at = next;
        Places {
            counts,
            counts_table,
            snapshots_at,
            first_at,
            second_at,
            data_at,
            total: next + self.data,
        }
    }

    /// Writes the image.
    ///
    /// # Errors
    /// The content cannot be read, or not be written.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let places = self.places();
        let mut out = Clusters { out, buf: Vec::with_capacity(PIECE + CLUSTER as usize) };
        out.put(&self.header(&places).encode())?;
        out.fill_up()?;
        (0..places.counts)
            .try_for_each(|index| out.number((1 + places.counts_table + index) * CLUSTER))?;
        out.fill_up()?;
        self.write_counts(&places, &mut out)?;
        out.put(&self.snapshot_table(&places))?;
        out.fill_up()?;
        for (tables, at) in self.tables.iter().zip(&places.second_at) {
            let mut next = *at;
            for used in tables {
                out.number(if *used { (next * CLUSTER) | COPIED } else { 0 })?;
                next += u64::from(*used);
            }
            // A disk always has a first table.
            if tables.is_empty() {
                out.number(0)?;
            }
            out.fill_up()?;
        }
        for layer in 0..self.layers.len() {
            self.write_tables(layer, &places, &mut out)?;
        }
        out.flush()?;
        self.write_data(out.out)
    }

    fn header(&self, places: &Places) -> Header {
        let live = self.layers.last().map_or(0, |layer| layer.content.size());
        Header {
            version: 3,
            cluster_bits: CLUSTER_BITS,
            size: live,
            l1_entries: live.div_ceil(TABLE_COVERS) as u32,
            l1_at: places.first_at.last().map_or(0, |at| at * CLUSTER),
            counts_at: CLUSTER,
            counts_clusters: places.counts_table as u32,
            snapshots: self.snapshots().len() as u32,
            snapshots_at: if self.snapshots().is_empty() {
                0
            } else {
                places.snapshots_at * CLUSTER
            },
            codec: Codec::Deflate,
            subclusters: false,
        }
    }

    fn write_counts(&self, places: &Places, out: &mut Clusters<'_>) -> Result<()> {
        for cluster in 0..places.counts * COUNTS {
            let data =
                cluster.checked_sub(places.data_at).and_then(|at| self.references.get(at as usize));
            let count = if cluster < places.total { data.copied().unwrap_or(1) } else { 0 };
            out.put(&count.to_be_bytes())?;
        }
        Ok(())
    }

    fn snapshot_table(&self, places: &Places) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, layer) in self.snapshots().iter().enumerate() {
            let size = layer.content.size();
            let (id, name) = ((index + 1).to_string(), layer.name.as_bytes());
            let mut entry = vec![0; 56];
            let at = places.first_at.get(index).map_or(0, |at| at * CLUSTER);
            put(&mut entry, 0, &at.to_be_bytes());
            put(&mut entry, 8, &(size.div_ceil(TABLE_COVERS) as u32).to_be_bytes());
            put(&mut entry, 12, &(id.len() as u16).to_be_bytes());
            put(&mut entry, 14, &(name.len() as u16).to_be_bytes());
            put(&mut entry, 16, &layer.seconds.to_be_bytes());
            put(&mut entry, 20, &layer.nanoseconds.to_be_bytes());
            put(&mut entry, 36, &16_u32.to_be_bytes());
            put(&mut entry, 48, &size.to_be_bytes());
            entry.extend_from_slice(id.as_bytes());
            entry.extend_from_slice(name);
            entry.resize(entry.len().next_multiple_of(8), 0);
            table.extend_from_slice(&entry);
        }
        table
    }

    /// The second tables of a layer.
    fn write_tables(&self, layer: usize, places: &Places, out: &mut Clusters<'_>) -> Result<()> {
        let mut at = 0;
        let mut next = |guest: u64, entry: u64, out: &mut Clusters<'_>| {
            // Tables without any cluster are not there at all: go on with the next one that is.
            if guest / ENTRIES != at / ENTRIES {
                out.fill_up()?;
                at = guest / ENTRIES * ENTRIES;
            }
            while at < guest {
                out.number(0)?;
                at += 1;
            }
            at += 1;
            out.number(entry)?;
            // The end of a table is that of a cluster.
            Ok(())
        };
        self.each_run(layer, &mut |run| {
            for step in 0..run.count {
                let place = run.place + step;
                let shared = self.references.get(place as usize).is_some_and(|count| *count != 1);
                let flag = if shared { 0 } else { COPIED };
                next(run.guest + step, ((places.data_at + place) * CLUSTER) | flag, out)?;
            }
            Ok(())
        })?;
        out.fill_up()
    }

    /// Every cluster of data once, in the order of places.
    fn write_data(&self, out: &mut dyn Write) -> Result<()> {
        let mut buf = vec![0; PIECE];
        let mut place = 0;
        for (index, layer) in self.layers.iter().enumerate() {
            self.each_run(index, &mut |run| {
                if run.place < place {
                    return Ok(());
                }
                place = run.place + run.count;
                let (mut at, end) = (run.guest * CLUSTER, (run.guest + run.count) * CLUSTER);
                while at < end {
                    let count = (end - at).min(PIECE as u64);
                    let part = buf.get_mut(..count as usize).unwrap_or(&mut []);
                    read_padded(layer.content, at, part)?;
                    out.write_all(part).map_err(ImageError::Write)?;
                    at += count;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Splits clusters that are there into those that changed, which get new places, and those that lie where they lay before.
fn split(
    there: Range<u64>,
    changed: &[Range<u64>],
    before: &[Run],
    data: &mut u64,
    runs: &mut Vec<Run>,
) {
    let mut guest = there.start;
    while guest < there.end {
        let old = before.partition_point(|run| run.guest + run.count <= guest);
        let old = before.get(old).filter(|run| run.guest < there.end);
        let next = changed.partition_point(|range| clusters(range.end) <= guest);
        let next = changed.get(next).map(|range| range.start / CLUSTER..clusters(range.end));
        let until_changed = next.as_ref().map_or(u64::MAX, |range| range.start);
        let run = match old {
            Some(old) if old.guest <= guest && until_changed > guest => {
                let end = (old.guest + old.count).min(until_changed).min(there.end);
                Run { guest, count: end - guest, place: old.place + (guest - old.guest) }
            }
            _ => {
                // New: up to where something old goes on unchanged.
                let in_change =
                    next.filter(|range| range.start <= guest).map_or(guest, |range| range.end);
                let old_from = old.map_or(u64::MAX, |old| old.guest);
                let end = if in_change > guest { in_change } else { old_from };
                let end = end.min(there.end).max(guest + 1);
                let place = *data;
                *data += end - guest;
                Run { guest, count: end - guest, place }
            }
        };
        guest += run.count;
        runs.push(run);
    }
}

/// In clusters of the image.
#[derive(Debug, Default)]
struct Places {
    counts: u64,
    counts_table: u64,
    snapshots_at: u64,
    first_at: Vec<u64>,
    second_at: Vec<u64>,
    data_at: u64,
    total: u64,
}

/// Collects small things into whole clusters.
struct Clusters<'o> {
    out: &'o mut dyn Write,
    buf: Vec<u8>,
}

impl Clusters<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn number(&mut self, number: u64) -> Result<()> {
        self.put(&number.to_be_bytes())
    }

    /// Zeroes up to the end of the cluster. Whole clusters went out before.
    fn fill_up(&mut self) -> Result<()> {
        self.buf.resize(self.buf.len().next_multiple_of(CLUSTER as usize), 0);
        self.put(&[])
    }

    /// Writes what was collected: whole clusters, or what makes them whole comes next.
    fn flush(&mut self) -> Result<()> {
        let whole = self.buf.len() / CLUSTER as usize * CLUSTER as usize;
        let (ready, _) = self.buf.split_at(whole);
        self.out.write_all(ready).map_err(ImageError::Write)?;
        self.buf.drain(..whole);
        Ok(())
    }
}
