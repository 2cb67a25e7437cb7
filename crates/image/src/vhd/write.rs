//! Writing dynamic and differencing VHDs: one stream forward.
//!
//! Blocks lie in order behind the table, so one look at where data is tells all places. Each block is whole, also in a delta: the bitmap
//! says which sectors are meant, and a reader that does not look at it still sees the right bytes.

use std::io::Write;

use super::header::{BYTES, Locator, units};
use super::{BLOCK, Footer, Header, Kind, SECTOR, SIZE_MAX, UNUSED};
use crate::PIECE;
use crate::content::{Content, Units, next_data, read_padded};
use crate::error::{ImageError, Result};
use crate::format::Format;
use crate::sink::Parent;
use crate::uuid::Uuid;

const BITMAP: usize = (BLOCK / SECTOR / 8) as usize;

/// What an image says about itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub uuid: Uuid,
    /// When its moment was, in seconds since 2000-01-01 UTC.
    pub timestamp: u32,
    /// What it goes upon, and when that was: then it holds only what differs.
    pub parent: Option<(Parent, u32)>,
}

/// An image whose places are known.
pub struct VhdPlan<'c> {
    content: &'c dyn Content,
    identity: Identity,
    blocks: u64,
}

impl<'c> VhdPlan<'c> {
    /// Looks where data is.
    ///
    /// # Errors
    /// The disk is too large for the format, or cannot be read.
    pub fn new(content: &'c dyn Content, identity: Identity) -> Result<Self> {
        let size = content.size();
        if size > SIZE_MAX {
            return Err(ImageError::TooLarge { format: Format::Vhd, size, limit: SIZE_MAX });
        }
        let mut units = Units::new(content, BLOCK);
        let mut blocks = 0;
        while let Some(run) = units.next_run()? {
            blocks += run.end - run.start;
        }
        Ok(Self { content, identity, blocks })
    }

    /// Bytes of the image.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.blocks_at() + self.blocks * (BITMAP as u64 + BLOCK) + SECTOR
    }

    fn entries(&self) -> u64 {
        self.content.size().div_ceil(BLOCK)
    }

    const fn table_at(&self) -> u64 {
        let header_end = SECTOR + BYTES as u64;
        // Two places of the parent's name, or one empty sector, as others have it.
        header_end + if self.identity.parent.is_some() { 2 * SECTOR } else { SECTOR }
    }

    fn blocks_at(&self) -> u64 {
        self.table_at() + (self.entries() * 4).next_multiple_of(SECTOR)
    }

    /// Writes the image.
    ///
    /// # Errors
    /// The content cannot be read, or not be written.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let footer = self.footer().encode();
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(ImageError::Write);
        put(&footer)?;
        put(&self.header())?;
        put(&self.names())?;
        self.write_table(&mut put)?;
        let mut units = Units::new(self.content, BLOCK);
        let mut buf = vec![0; PIECE];
        while let Some(run) = units.next_run()? {
            for number in run {
                put(&self.bitmap(number)?)?;
                for piece in 0..BLOCK / PIECE as u64 {
                    let at = number * BLOCK + piece * PIECE as u64;
                    read_padded(self.content, at, &mut buf)?;
                    put(&buf)?;
                }
            }
        }
        put(&footer)
    }

    fn footer(&self) -> Footer {
        let kind = if self.identity.parent.is_some() { Kind::Differencing } else { Kind::Dynamic };
        Footer {
            kind,
            size: self.content.size(),
            data_offset: SECTOR,
            timestamp: self.identity.timestamp,
            uuid: self.identity.uuid,
        }
    }

    fn header(&self) -> [u8; BYTES] {
        let parent = self.identity.parent.as_ref();
        let header = Header {
            table_offset: self.table_at(),
            entries: self.entries() as u32,
            block: BLOCK as u32,
            parent: parent.map(|(parent, _)| parent.clone()),
        };
        let names_at = SECTOR + BYTES as u64;
        let locators: Vec<Locator> = parent.map_or_else(Vec::new, |(parent, _)| {
            let length = units(&parent.name).count() as u32 * 2;
            let place = |code: &[u8; 4], offset| Locator { code: *code, length, offset };
            vec![place(b"W2ku", names_at), place(b"W2ru", names_at + SECTOR)]
        });
        header.encode(parent.map_or(0, |(_, timestamp)| *timestamp), &locators)
    }

    /// The sectors between header and table.
    fn names(&self) -> Vec<u8> {
        let mut sector = vec![0; SECTOR as usize];
        let Some((parent, _)) = &self.identity.parent else { return sector };
        let name = units(&parent.name).flat_map(u16::to_le_bytes);
        sector.iter_mut().zip(name).for_each(|(to, from)| *to = from);
        sector.repeat(2)
    }

    fn write_table(&self, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut buf = Vec::with_capacity(PIECE + 4);
        let mut units = Units::new(self.content, BLOCK);
        let (mut number, mut place) = (0, self.blocks_at() / SECTOR);
        let entries = (self.blocks_at() - self.table_at()) / 4;
        while number < entries {
            let run = units.next_run()?.unwrap_or(entries..entries);
            while number < run.end {
                let used = number >= run.start && number < self.entries();
                buf.extend_from_slice(&if used { place as u32 } else { UNUSED }.to_be_bytes());
                place += if used { (BITMAP as u64 + BLOCK) / SECTOR } else { 0 };
                number += 1;
                if buf.len() >= PIECE {
                    put(&buf)?;
                    buf.clear();
                }
            }
        }
        put(&buf)
    }

    /// The sectors of a block that are meant: in a delta those that differ, else all.
    fn bitmap(&self, number: u64) -> Result<[u8; BITMAP]> {
        if self.identity.parent.is_none() {
            return Ok([0xff; BITMAP]);
        }
        let mut bitmap = [0; BITMAP];
        let (start, end) = (number * BLOCK, (number + 1) * BLOCK);
        let mut at = start;
        while let Some(range) = next_data(self.content, at)?.filter(|range| range.start < end) {
            at = range.end;
            for sector in range.start / SECTOR..range.end.min(end).div_ceil(SECTOR) {
                let sector = sector - start / SECTOR;
                if let Some(byte) = bitmap.get_mut((sector / 8) as usize) {
                    *byte |= 0x80 >> (sector % 8);
                }
            }
        }
        Ok(bitmap)
    }
}
