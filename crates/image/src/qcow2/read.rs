//! Reading qcow2: a file table by table, a pipe in the order in which things come.
//!
//! A pipe has to bring tables before what they name. That is so for what we write, and mostly for what QEMU writes. What is known and
//! has not come yet waits in a heap of bounded size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::PLACE;
use super::codec::unpack;
use super::header::{BYTES, Header};
use super::table::{Piece, Place, SLICE, pieces};
use crate::PIECE;
use crate::error::{ImageError, Result};
use crate::fields::be64;
use crate::format::Format;
use crate::sink::{Head, Sink};
use crate::source::{Source, read_exact};

/// What is kept of a pipe: QEMU writes several clusters at once, and fills up what is free before a table with compressed data of that table.
const KEPT: usize = 8 << 20;
/// Places that wait for their turn while a pipe is read.
const WAITING_MAX: usize = 1 << 20;

fn damaged(field: &'static str, detail: impl std::fmt::Display) -> ImageError {
    ImageError::damaged(Format::Qcow2, field, detail)
}

/// Reads the disk as it is now; internal snapshots are left out.
pub fn read(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
    let mut bytes = [0; BYTES];
    // Images of version 2 may be shorter than the longest header.
    let there = source.read_at(0, &mut bytes)?;
    if there < 72 {
        return Err(ImageError::CutOff { part: "the header", at: there as u64 });
    }
    let header = Header::decode(&bytes)?;
    let size = header.size.next_multiple_of(512);
    let head = Head { format: Format::Qcow2, size: Some(size), uuid: None, parent: None };
    sink.begin(&head).map_err(ImageError::Sink)?;
    let mut reader = Reader {
        header,
        length: source.length(),
        plain: 0,
        packed: Vec::new(),
        buf: vec![0; PIECE.max(header.cluster() as usize)],
    };
    if source.is_seekable() {
        reader.read_file(source, sink)?;
    } else {
        reader.read_pipe(source, sink)?;
    }
    sink.end(size).map_err(ImageError::Sink)
}

/// What waits for a pipe to come to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    /// The second table for the bytes of the disk from here on.
    Table(u64),
    Piece(Piece),
}

/// Takes the pieces of part of a table.
type Each<'e> = dyn FnMut(&mut Reader, &mut dyn Source, &[Piece]) -> Result<()> + 'e;

struct Reader {
    header: Header,
    /// Bytes of the image, when known.
    length: Option<u64>,
    /// Bytes of plain clusters that were named: no more than there are.
    plain: u64,
    packed: Vec<u8>,
    buf: Vec<u8>,
}

impl Reader {
    fn read_file(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
        for (at, first) in self.tables(source)? {
            self.each_slice(source, at, first, &mut |reader, source, pieces| {
                pieces.iter().try_for_each(|piece| reader.tell(source, piece, sink))
            })?;
        }
        Ok(())
    }

    fn read_pipe(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
        let mut waiting = BinaryHeap::new();
        source.keep_last(KEPT);
        let tables = self.tables(source)?.into_iter();
        waiting.extend(tables.map(|(at, first)| Reverse((at, Waiting::Table(first)))));
        while let Some(Reverse((at, next))) = waiting.pop() {
            match next {
                Waiting::Piece(piece) => self.tell(source, &piece, sink)?,
                Waiting::Table(first) => {
                    self.each_slice(source, at, first, &mut |_, _, pieces| {
                        if waiting.len() + pieces.len() > WAITING_MAX {
                            let part =
                                "what a pipe can hold of it (its clusters are too scattered)";
                            return Err(ImageError::NeedsFile { part });
                        }
                        let each =
                            pieces.iter().map(|piece| Reverse((piece.at, Waiting::Piece(*piece))));
                        waiting.extend(each);
                        Ok(())
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Where second tables lie, each with the first byte of the disk that it is about.
    fn tables(&self, source: &mut dyn Source) -> Result<Vec<(u64, u64)>> {
        let mut list = Vec::new();
        let mut buf = [0; 4096];
        let needed = self.header.needed();
        self.check_inside(self.header.l1_at, needed * 8, "the first table")?;
        let mut index = 0;
        while index < needed {
            let part = buf.get_mut(..((needed - index) * 8).min(4096) as usize).unwrap_or(&mut []);
            read_exact(source, self.header.l1_at + index * 8, part, "the first table")?;
            for entry in part.chunks_exact(8) {
                if let Some(at) = self.table_place(be64(entry, 0))? {
                    list.push((at, index * self.header.table_covers()));
                }
                index += 1;
            }
        }
        self.check_sum(list.len() as u64 * self.header.cluster())?;
        Ok(list)
    }

    /// Where a second table lies.
    fn table_place(&self, entry: u64) -> Result<Option<u64>> {
        let at = entry & PLACE;
        if at == 0 {
            return Ok(None);
        }
        if !at.is_multiple_of(self.header.cluster()) {
            return Err(damaged(
                "first table",
                format!("a table lies at {at}, which is no start of a cluster"),
            ));
        }
        self.check_inside(at, self.header.cluster(), "a table")?;
        Ok(Some(at))
    }

    fn check_inside(&self, at: u64, length: u64, part: &'static str) -> Result<()> {
        match self.length.filter(|there| *there < at.saturating_add(length)) {
            Some(there) => Err(ImageError::CutOff { part, at: there }),
            None => Ok(()),
        }
    }

    /// Nothing is named twice; so all together is no longer than the image.
    fn check_sum(&self, sum: u64) -> Result<()> {
        match self.length.filter(|length| sum > *length) {
            Some(_) => Err(damaged("tables", "clusters lie upon one another")),
            None => Ok(()),
        }
    }

    /// Gives the pieces of a second table, a part of it at a time.
    fn each_slice(
        &mut self,
        source: &mut dyn Source,
        at: u64,
        first: u64,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let table = self.header.cluster();
        let mut slice = vec![0; SLICE.min(table) as usize];
        let mut done = 0;
        while done < table {
            let guest = first + done / self.header.entry() * self.header.cluster();
            if guest >= self.header.size {
                break;
            }
            read_exact(source, at + done, &mut slice, "a table")?;
            let pieces = pieces(&self.header, guest, &slice)?;
            each(self, source, &pieces)?;
            done += slice.len() as u64;
        }
        Ok(())
    }

    fn tell(&mut self, source: &mut dyn Source, piece: &Piece, sink: &mut dyn Sink) -> Result<()> {
        match piece.place {
            Place::Plain(length) => self.tell_plain(source, piece, length, sink),
            Place::Packed(length) => self.tell_packed(source, piece, length as usize, sink),
        }
    }

    fn tell_plain(
        &mut self,
        source: &mut dyn Source,
        piece: &Piece,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        self.plain += length;
        self.check_sum(self.plain)?;
        let mut done = 0;
        while done < length {
            let count = (length - done).min(PIECE as u64);
            let part = self.buf.get_mut(..count as usize).unwrap_or(&mut []);
            read_exact(source, piece.at + done, part, "a cluster")?;
            sink.data(piece.guest + done, part).map_err(ImageError::Sink)?;
            done += count;
        }
        Ok(())
    }

    fn tell_packed(
        &mut self,
        source: &mut dyn Source,
        piece: &Piece,
        length: usize,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        self.packed.resize(length, 0);
        // Lengths are told in sectors: the last cluster of an image may be shorter.
        let there = source.read_at(piece.at, &mut self.packed)?;
        let packed = self.packed.get(..there).unwrap_or(&[]);
        let cluster = self.buf.get_mut(..self.header.cluster() as usize).unwrap_or(&mut []);
        if !unpack(self.header.codec, packed, cluster) {
            if there < length && self.length.is_none_or(|length| length < piece.at + 512) {
                let at = piece.at + there as u64;
                let at = self.length.map_or(at, |length| length.min(at));
                return Err(ImageError::CutOff { part: "a cluster", at });
            }
            let detail = format!("the one at {} of the disk cannot be unpacked", piece.guest);
            return Err(damaged("compressed cluster", detail));
        }
        let inside = self.header.size.saturating_sub(piece.guest).min(self.header.cluster());
        let cluster = cluster.get(..inside as usize).unwrap_or(&[]);
        sink.data(piece.guest, cluster).map_err(ImageError::Sink)
    }
}
