//! Reading VHDs.

use super::{COOKIE, Footer, Header, Kind, SECTOR, UNUSED, header};
use crate::PIECE;
use crate::error::{ImageError, Result};
use crate::fields::be32;
use crate::format::Format;
use crate::raw;
use crate::sink::{Head, Sink};
use crate::source::{Source, read_exact};

/// Blocks of a disk, at most: what is kept of them takes eight bytes each.
const BLOCKS_MAX: u64 = 8 << 20;

fn damaged(field: &'static str, detail: impl std::fmt::Display) -> ImageError {
    ImageError::damaged(Format::Vhd, field, detail)
}

/// The size that these 512 bytes promise when they are the footer of a fixed image.
pub fn fixed_size(bytes: &[u8]) -> Option<u64> {
    let footer = Footer::decode(bytes.try_into().ok()?).ok()?;
    (footer.kind == Kind::Fixed).then_some(footer.size)
}

/// Whether a file ends as a fixed image does, whose start is that of the disk.
pub fn ends_as_fixed(source: &mut dyn Source) -> Result<bool> {
    let Some(length) = source.length().filter(|_| source.is_seekable()) else { return Ok(false) };
    let Some(disk) = length.checked_sub(SECTOR) else { return Ok(false) };
    let mut last = [0; SECTOR as usize];
    read_exact(source, disk, &mut last, "the footer")?;
    Ok(fixed_size(&last) == Some(disk))
}

/// Reads a VHD of any kind.
pub fn read(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
    let mut first = [0; SECTOR as usize];
    read_exact(source, 0, &mut first, "the footer")?;
    let copy = first.starts_with(COOKIE).then(|| Footer::decode(&first));
    let footer = match copy {
        Some(Ok(footer)) => footer,
        Some(Err(error)) => last_footer(source).ok().flatten().ok_or(error)?,
        None => match last_footer(source)? {
            Some(footer) => footer,
            None => return read_fixed_stream(source, sink),
        },
    };
    match footer.kind {
        Kind::Fixed => read_fixed(source, &footer, sink),
        Kind::Dynamic | Kind::Differencing => Blocks::read(source, &footer, sink),
    }
}

/// The footer at the end of a file; nothing for a pipe.
fn last_footer(source: &mut dyn Source) -> Result<Option<Footer>> {
    let Some(length) = source.length().filter(|_| source.is_seekable()) else { return Ok(None) };
    let mut last = [0; SECTOR as usize];
    read_exact(source, length.saturating_sub(SECTOR), &mut last, "the footer")?;
    Footer::decode(&last).map(Some)
}

fn head(footer: &Footer) -> Head {
    let uuid = Some(footer.uuid).filter(|uuid| !uuid.is_nil());
    Head { format: Format::Vhd, size: Some(footer.size), uuid, parent: None }
}

fn read_fixed(source: &mut dyn Source, footer: &Footer, sink: &mut dyn Sink) -> Result<()> {
    let there = source.length().unwrap_or(0).saturating_sub(SECTOR);
    if there < footer.size {
        return Err(ImageError::CutOff { part: "the disk", at: there });
    }
    sink.begin(&head(footer)).map_err(ImageError::Sink)?;
    raw::copy(source, footer.size, sink)?;
    sink.end(footer.size).map_err(ImageError::Sink)
}

/// A pipe says only at its end how large a fixed image is.
fn read_fixed_stream(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
    let head = Head { format: Format::Vhd, size: None, uuid: None, parent: None };
    sink.begin(&head).map_err(ImageError::Sink)?;
    let (bytes, last) = raw::stream(source, sink)?;
    let last: &[u8; SECTOR as usize] = last
        .as_slice()
        .try_into()
        .map_err(|_| ImageError::CutOff { part: "the footer", at: bytes })?;
    let footer = Footer::decode(last)?;
    if footer.kind != Kind::Fixed || footer.size != bytes {
        return Err(damaged(
            "current size",
            format!("is {}, the image holds {bytes} bytes", footer.size),
        ));
    }
    sink.end(bytes).map_err(ImageError::Sink)
}

/// A dynamic or differencing image.
struct Blocks {
    size: u64,
    /// Bytes of a block, and of its bitmap.
    block: u64,
    bitmap: u64,
    /// Sector in the image and number, by sector.
    places: Vec<(u32, u32)>,
}

impl Blocks {
    fn read(source: &mut dyn Source, footer: &Footer, sink: &mut dyn Sink) -> Result<()> {
        let differencing = footer.kind == Kind::Differencing;
        let mut bytes = [0; header::BYTES];
        read_exact(source, footer.data_offset, &mut bytes, "the header")?;
        let header = Header::decode(&bytes, differencing)?;
        let block = u64::from(header.block);
        let bitmap = (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        let mut blocks = Self { size: footer.size, block, bitmap, places: Vec::new() };
        let table_end = blocks.read_table(source, &header)?;
        let mut head = head(footer);
        head.parent.clone_from(&header.parent);
        sink.begin(&head).map_err(ImageError::Sink)?;
        let mut end = table_end;
        for (sector, number) in std::mem::take(&mut blocks.places) {
            end = blocks.read_block(source, u64::from(sector) * SECTOR, u64::from(number), sink)?;
        }
        check_end(source, end)?;
        sink.end(footer.size).map_err(ImageError::Sink)
    }

    /// Reads the table of blocks; answers where it ends.
    fn read_table(&mut self, source: &mut dyn Source, header: &Header) -> Result<u64> {
        let needed = self.size.div_ceil(self.block);
        if u64::from(header.entries) < needed {
            let detail =
                format!("{} entries, a disk of {} bytes needs {needed}", header.entries, self.size);
            return Err(damaged("block table", detail));
        }
        if needed > BLOCKS_MAX {
            return Err(damaged("block size", format!("{needed} blocks are too many")));
        }
        let end = header.table_offset.checked_add(needed * 4).filter(|end| *end < 1 << 62);
        let end = end.ok_or_else(|| damaged("table offset", "lies behind every end"))?;
        if let Some(length) = source.length().filter(|length| *length < end) {
            return Err(ImageError::CutOff { part: "the block table", at: length });
        }
        let mut buf = [0; 4096];
        let mut number = 0;
        while u64::from(number) < needed {
            let count = (needed - u64::from(number)).min(1024) as usize;
            let part = buf.get_mut(..count * 4).unwrap_or(&mut []);
            let at = header.table_offset + u64::from(number) * 4;
            read_exact(source, at, part, "the block table")?;
            let sectors = (0..count).map(|index| be32(part, index * 4)).zip(number..);
            self.places.extend(sectors.filter(|(sector, _)| *sector != UNUSED));
            number += count as u32;
        }
        self.check_places(source.length())?;
        Ok(end)
    }

    /// Blocks lie inside of the image, and not upon one another.
    fn check_places(&mut self, length: Option<u64>) -> Result<()> {
        self.places.sort_unstable();
        let mut free = 0;
        for (sector, number) in &self.places {
            let start = u64::from(*sector) * SECTOR;
            if start < free {
                return Err(damaged("block table", format!("block {number} lies upon another")));
            }
            free = start + self.bitmap + self.block_bytes(u64::from(*number));
            if let Some(length) = length.filter(|length| *length < free) {
                return Err(ImageError::CutOff { part: "a block", at: length });
            }
        }
        Ok(())
    }

    /// Bytes of a block that lie inside the disk.
    fn block_bytes(&self, number: u64) -> u64 {
        self.size.saturating_sub(number * self.block).min(self.block)
    }

    /// Tells what a block holds; answers where it ends.
    fn read_block(
        &self,
        source: &mut dyn Source,
        at: u64,
        number: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64> {
        let mut bitmap = vec![0; self.bitmap as usize];
        read_exact(source, at, &mut bitmap, "a bitmap")?;
        let data_at = at + self.bitmap;
        let bytes = self.block_bytes(number);
        let mut buf = vec![0; PIECE.min(bytes as usize)];
        let mut sector = 0;
        while let Some(run) = next_run(&bitmap, sector, bytes / SECTOR) {
            sector = run.end;
            let (mut from, to) = (run.start * SECTOR, run.end * SECTOR);
            while from < to {
                let count = (to - from).min(PIECE as u64);
                let part = buf.get_mut(..count as usize).unwrap_or(&mut []);
                read_exact(source, data_at + from, part, "a block")?;
                sink.data(number * self.block + from, part).map_err(ImageError::Sink)?;
                from += count;
            }
        }
        Ok(data_at + bytes)
    }
}

/// The first run of sectors behind `from` whose bits are set.
fn next_run(bitmap: &[u8], from: u64, sectors: u64) -> Option<std::ops::Range<u64>> {
    let is_set = |sector: u64| {
        bitmap.get((sector / 8) as usize).is_some_and(|byte| byte & (0x80 >> (sector % 8)) != 0)
    };
    let start = (from..sectors).find(|sector| is_set(*sector))?;
    let end = (start..sectors).find(|sector| !is_set(*sector)).unwrap_or(sectors);
    Some(start..end)
}

/// A pipe that ends before the footer may have lost more than that.
fn check_end(source: &mut dyn Source, end: u64) -> Result<()> {
    if source.is_seekable() {
        return Ok(());
    }
    let mut last = Vec::new();
    let mut at = end;
    let mut buf = vec![0; 64 << 10];
    loop {
        let read = source.read_at(at, &mut buf)?;
        last.extend_from_slice(buf.get(..read).unwrap_or(&[]));
        let over = last.len().saturating_sub(SECTOR as usize);
        last.drain(..over);
        at += read as u64;
        if read < buf.len() {
            break;
        }
    }
    if last.starts_with(COOKIE) {
        Ok(())
    } else {
        Err(ImageError::CutOff { part: "the footer", at })
    }
}
