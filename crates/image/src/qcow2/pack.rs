//! Writing qcow2 with compressed clusters: into a file, whose header is written last.
//!
//! How long a compressed cluster is shows only when it was compressed, so no table can be written before the data. Clusters come in the
//! order of the disk; a batch of them is compressed by all processors at once.

use std::io::{self, Seek, SeekFrom, Write};

use super::codec::{Codec, Press};
use super::header::Header;
use super::{CLUSTER, CLUSTER_BITS, COMPRESSED, COPIED, ENTRIES, TABLE_COVERS, count_clusters};
use crate::fields::{is_zero, put};
use crate::sink::{Head, Sink};

/// Clusters that each processor gets at once.
const BATCH: usize = 16;
/// Bits of a compressed cluster's entry that tell where it lies.
const PLACE_BITS: u32 = 62 - (CLUSTER_BITS - 8);

/// A cluster of the disk: its number and its bytes.
type Cluster = (u64, Vec<u8>);

/// A sink that writes an image.
pub struct Packer<W> {
    out: W,
    codec: Codec,
    presses: Vec<Press>,
    size: u64,
    /// Where the next byte goes.
    at: u64,
    /// Clusters come from this one on.
    next: u64,
    current: Option<Cluster>,
    batch: Vec<Cluster>,
    /// The second table that is being filled, and its place in the first one.
    table: Option<(usize, Vec<u64>)>,
    first: Vec<u64>,
    /// How many refer to each cluster of the image.
    counts: Vec<u16>,
}

impl<W: Write + Seek> Packer<W> {
    /// An image of a disk of `size` bytes, into an empty file.
    ///
    /// # Errors
    /// The codec cannot be made ready.
    pub fn new(out: W, codec: Codec, size: u64) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let presses = (0..threads).map(|_| Press::new(codec)).collect::<io::Result<_>>()?;
        Ok(Self {
            out,
            codec,
            presses,
            size,
            at: CLUSTER,
            next: 0,
            current: None,
            batch: Vec::new(),
            table: None,
            first: vec![0; size.div_ceil(TABLE_COVERS) as usize],
            counts: vec![1],
        })
    }

    /// The writer below.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn take(&mut self, number: u64, within: usize, bytes: &[u8]) -> io::Result<()> {
        if number < self.next {
            return Err(io::Error::other("clusters to compress have to come in order"));
        }
        self.next = number;
        if self.current.as_ref().is_some_and(|(current, _)| *current != number) {
            self.close_cluster()?;
        }
        let (_, cluster) = self.current.get_or_insert_with(|| (number, vec![0; CLUSTER as usize]));
        put(cluster, within, bytes);
        Ok(())
    }

    fn close_cluster(&mut self) -> io::Result<()> {
        let Some(cluster) = self.current.take() else { return Ok(()) };
        if !is_zero(&cluster.1) {
            self.batch.push(cluster);
        }
        if self.batch.len() >= BATCH * self.presses.len() { self.write_batch() } else { Ok(()) }
    }

    /// Compresses what waits, and writes it in order.
    fn write_batch(&mut self) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        if self.at == CLUSTER {
            self.out.seek(SeekFrom::Start(CLUSTER))?;
        }
        let share = batch.len().div_ceil(self.presses.len()).max(1);
        let mut packed: Vec<io::Result<Option<Vec<u8>>>> = Vec::new();
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for (part, press) in batch.chunks(share).zip(&mut self.presses) {
                threads.push(scope.spawn(move || {
                    part.iter().map(|(_, bytes)| press.press(bytes)).collect::<Vec<_>>()
                }));
            }
            for thread in threads {
                match thread.join() {
                    Ok(done) => packed.extend(done),
                    Err(_) => packed.push(Err(io::Error::other("a thread that compresses ended"))),
                }
            }
        });
        let mut bytes = Vec::new();
        for ((number, plain), packed) in batch.iter().zip(packed) {
            self.enter_table(*number, &mut bytes)?;
            let packed = packed?;
            let entry = self.place(plain, packed.as_deref(), &mut bytes);
            self.set_entry(*number, entry);
        }
        self.write(&bytes)
    }

    /// Where the bytes that are collected end.
    fn reached(&self, bytes: &[u8]) -> u64 {
        self.at + bytes.len() as u64
    }

    /// Puts a cluster behind what is collected; answers its entry.
    fn place(&mut self, plain: &[u8], packed: Option<&[u8]>, bytes: &mut Vec<u8>) -> u64 {
        let Some(packed) = packed else {
            let at = self.align(bytes);
            bytes.extend_from_slice(plain);
            self.count(at, CLUSTER);
            return at | COPIED;
        };
        let at = self.reached(bytes);
        bytes.extend_from_slice(packed);
        let sectors = (at + packed.len() as u64 - 1) / 512 - at / 512;
        // Whole sectors belong to it, also where the next cluster begins in the last one.
        self.count(at, (sectors + 1) * 512 - at % 512);
        at | (sectors << PLACE_BITS) | COMPRESSED
    }

    /// Fills up to the start of a cluster; answers where that is.
    fn align(&self, bytes: &mut Vec<u8>) -> u64 {
        let at = self.reached(bytes).next_multiple_of(CLUSTER);
        bytes.resize((at - self.at) as usize, 0);
        at
    }

    fn count(&mut self, at: u64, length: u64) {
        let (first, last) = ((at / CLUSTER) as usize, ((at + length - 1) / CLUSTER) as usize);
        if self.counts.len() <= last {
            self.counts.resize(last + 1, 0);
        }
        let counts = self.counts.get_mut(first..=last).unwrap_or(&mut []);
        counts.iter_mut().for_each(|count| *count += 1);
    }

    fn enter_table(&mut self, number: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let index = (number / ENTRIES) as usize;
        if self.table.as_ref().is_some_and(|(current, _)| *current != index) {
            self.close_table(bytes);
            let ready = std::mem::take(bytes);
            self.write(&ready)?;
        }
        self.table.get_or_insert_with(|| (index, vec![0; ENTRIES as usize]));
        Ok(())
    }

    fn set_entry(&mut self, number: u64, entry: u64) {
        let table = self.table.as_mut().map(|(_, table)| table);
        if let Some(place) = table.and_then(|table| table.get_mut((number % ENTRIES) as usize)) {
            *place = entry;
        }
    }

    fn close_table(&mut self, bytes: &mut Vec<u8>) {
        let Some((index, table)) = self.table.take() else { return };
        let at = self.align(bytes);
        bytes.extend(table.iter().flat_map(|entry| entry.to_be_bytes()));
        self.count(at, CLUSTER);
        if let Some(place) = self.first.get_mut(index) {
            *place = at | COPIED;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Everything about places, and the header.
    fn finish(&mut self) -> io::Result<()> {
        self.close_cluster()?;
        self.write_batch()?;
        if self.at == CLUSTER {
            self.out.seek(SeekFrom::Start(CLUSTER))?;
        }
        let mut bytes = Vec::new();
        self.close_table(&mut bytes);
        let l1_at = self.align(&mut bytes);
        bytes.extend(self.first.iter().flat_map(|entry| entry.to_be_bytes()));
        self.count(l1_at, (self.first.len() as u64 * 8).max(1));
        let counts_at = self.align(&mut bytes);
        let (blocks, table) = count_clusters(counts_at / CLUSTER);
        self.count(counts_at, (blocks + table) * CLUSTER);
        bytes.extend(self.counts.iter().flat_map(|count| count.to_be_bytes()));
        let table_at = counts_at + blocks * CLUSTER;
        bytes.resize((table_at - self.at) as usize, 0);
        bytes.extend((0..blocks).flat_map(|index| (counts_at + index * CLUSTER).to_be_bytes()));
        self.align(&mut bytes);
        self.write(&bytes)?;
        let header = Header {
            version: 3,
            cluster_bits: CLUSTER_BITS,
            size: self.size,
            l1_entries: self.first.len() as u32,
            l1_at,
            counts_at: table_at,
            counts_clusters: table as u32,
            snapshots: 0,
            snapshots_at: 0,
            codec: self.codec,
            subclusters: false,
        };
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.encode())?;
        self.out.flush()
    }
}

impl<W: Write + Seek> Sink for Packer<W> {
    fn begin(&mut self, _head: &Head) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = at % CLUSTER;
            let (part, behind) = rest.split_at(rest.len().min((CLUSTER - within) as usize));
            self.take(at / CLUSTER, within as usize, part)?;
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    fn zeroes(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _size: u64) -> io::Result<()> {
        self.finish()
    }
}
