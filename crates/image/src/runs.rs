//! Our own form: what holds data, with its place, as it comes. It is what the program and the server speak when the format of a file needs
//! going back and forth: the program reads or writes the file, and this goes over the wire.
//!
//! All numbers are little-endian. A header of 64 bytes: the magic `TTRUNS1\n`; u64 size of the disk (all ones: told at the end); u64 bytes of data that will
//! come, about (0: not known); 16 bytes name; 16 bytes name of the parent; zeroes. Then records, each beginning with one byte:
//!
//! | byte | then | meaning |
//! | --- | --- | --- |
//! | 1 | u64 offset, u32 length, the bytes | data |
//! | 2 | u64 offset, u64 length | zeroes, whatever the parent has there |
//! | 3 | u64 size | the end: all has come |
//! | 4 | u32 length, UTF-8 text | the end: it failed, and why |

use std::io::{self, Write};

use crate::PIECE;
use crate::content::{Content, next_data, read_padded};
use crate::error::{ImageError, Result};
use crate::fields::{id, is_zero, le32, le64, put};
use crate::format::Format;
use crate::sink::{Head, Parent, Sink};
use crate::source::{Source, read_exact};
use crate::uuid::Uuid;

/// How it begins.
pub const MAGIC: &[u8] = b"TTRUNS1\n";
const HEADER: usize = 64;
const UNKNOWN: u64 = u64::MAX;
/// Longest record of data that is read.
const DATA_MAX: u32 = 16 << 20;
/// Longest text of a failure.
const TEXT_MAX: u32 = 4096;
/// Behind this nothing lies: no disk is larger.
const END_MAX: u64 = 1 << 62;

const DATA: u8 = 1;
const ZEROES: u8 = 2;
const END: u8 = 3;
const FAILURE: u8 = 4;

fn damaged(field: &'static str, detail: String) -> ImageError {
    ImageError::damaged(Format::Runs, field, detail)
}

/// Reads it.
pub fn read(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<()> {
    let mut header = [0; HEADER];
    read_exact(source, 0, &mut header, "the header")?;
    if !header.starts_with(MAGIC) {
        return Err(damaged("magic", "is another".to_owned()));
    }
    let name = |at| Some(Uuid(id(&header, at))).filter(|uuid| !uuid.is_nil());
    let size = Some(le64(&header, 8)).filter(|size| *size != UNKNOWN);
    if size.is_some_and(|size| size > END_MAX) {
        return Err(damaged("size", "no disk is so large".to_owned()));
    }
    let parent = name(40).map(|uuid| Parent { uuid, name: String::new() });
    let head = Head { format: Format::Runs, size, uuid: name(24), parent };
    sink.begin(&head).map_err(ImageError::Sink)?;
    let mut buf = Vec::new();
    let mut at = HEADER as u64;
    loop {
        let mut kind = [0; 1];
        read_exact(source, at, &mut kind, "the records")?;
        at += 1;
        let [kind] = kind;
        let mut fields = [0; 16];
        let fields = match kind {
            DATA => fields.get_mut(..12),
            ZEROES => fields.get_mut(..16),
            END => fields.get_mut(..8),
            FAILURE => fields.get_mut(..4),
            other => return Err(damaged("record", format!("kind {other} is not known"))),
        };
        let fields = fields.unwrap_or(&mut []);
        read_exact(source, at, fields, "a record")?;
        at += fields.len() as u64;
        match kind {
            DATA => {
                let (offset, length) = (le64(fields, 0), le32(fields, 8));
                check_range(offset, u64::from(length), size)?;
                if length > DATA_MAX {
                    return Err(damaged("record", format!("{length} bytes of data are too many")));
                }
                buf.resize(length as usize, 0);
                read_exact(source, at, &mut buf, "data")?;
                at += u64::from(length);
                sink.data(offset, &buf).map_err(ImageError::Sink)?;
            }
            ZEROES => {
                let (offset, length) = (le64(fields, 0), le64(fields, 8));
                check_range(offset, length, size)?;
                sink.zeroes(offset, length).map_err(ImageError::Sink)?;
            }
            END => return end(le64(fields, 0), size, sink),
            _ => return Err(failure(source, at, le32(fields, 0))?),
        }
    }
}

fn check_range(offset: u64, length: u64, size: Option<u64>) -> Result<()> {
    let limit = size.unwrap_or(END_MAX);
    match offset.checked_add(length).filter(|end| *end <= limit) {
        Some(_) => Ok(()),
        None => Err(damaged("record", format!("{length} bytes at {offset} lie behind the end"))),
    }
}

fn end(told: u64, size: Option<u64>, sink: &mut dyn Sink) -> Result<()> {
    if size.is_some_and(|size| size != told) || told > END_MAX {
        return Err(damaged("size", format!("the end says {told} bytes, the header another size")));
    }
    sink.end(told).map_err(ImageError::Sink)
}

/// What the other side says.
fn failure(source: &mut dyn Source, at: u64, length: u32) -> Result<ImageError> {
    let mut text = vec![0; length.min(TEXT_MAX) as usize];
    read_exact(source, at, &mut text, "a message")?;
    Ok(ImageError::Read(io::Error::other(String::from_utf8_lossy(&text).into_owned())))
}

/// Writes it: a sink for whatever another reader reads.
pub struct RunsWriter<W> {
    out: W,
    /// About how much data comes.
    expected: u64,
    size: Option<u64>,
}

impl<W: Write> RunsWriter<W> {
    /// `expected`: about how many bytes of data will come; 0 when that is not known.
    pub const fn new(out: W, expected: u64) -> Self {
        Self { out, expected, size: None }
    }

    /// Says that no more comes, and why.
    ///
    /// # Errors
    /// Writing failed.
    pub fn fail(&mut self, why: &str) -> io::Result<()> {
        let end = why.floor_char_boundary(TEXT_MAX as usize);
        let text = why.get(..end).unwrap_or("");
        self.record(FAILURE, &(text.len() as u32).to_le_bytes(), text.as_bytes())
    }

    /// The writer below.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn record(&mut self, kind: u8, fields: &[u8], data: &[u8]) -> io::Result<()> {
        let mut head = Vec::with_capacity(17);
        head.push(kind);
        head.extend_from_slice(fields);
        self.out.write_all(&head)?;
        self.out.write_all(data)
    }

    fn data_record(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut fields = [0; 12];
        put(&mut fields, 0, &offset.to_le_bytes());
        put(&mut fields, 8, &(bytes.len() as u32).to_le_bytes());
        self.record(DATA, &fields, bytes)
    }
}

impl<W: Write> Sink for RunsWriter<W> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        let mut header = [0; HEADER];
        put(&mut header, 0, MAGIC);
        put(&mut header, 8, &head.size.unwrap_or(UNKNOWN).to_le_bytes());
        put(&mut header, 16, &self.expected.to_le_bytes());
        put(&mut header, 24, &head.uuid.map_or([0; 16], |uuid| uuid.0));
        put(&mut header, 40, &head.parent.as_ref().map_or([0; 16], |parent| parent.uuid.0));
        self.size = head.size;
        self.out.write_all(&header)
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE).zip(0..).try_for_each(|(piece, index)| {
            let at = offset + index * PIECE as u64;
            // Zeroes are short; the other side knows whether they mean anything.
            match is_zero(piece) {
                true => self.zeroes(at, piece.len() as u64),
                false => self.data_record(at, piece),
            }
        })
    }

    fn zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let mut fields = [0; 16];
        put(&mut fields, 0, &offset.to_le_bytes());
        put(&mut fields, 8, &length.to_le_bytes());
        self.record(ZEROES, &fields, &[])
    }

    fn end(&mut self, size: u64) -> io::Result<()> {
        self.record(END, &size.to_le_bytes(), &[])?;
        self.out.flush()
    }
}

/// Writes a moment.
///
/// # Errors
/// The content cannot be read (the other side is told), or not be written.
pub fn write_runs(
    content: &dyn Content,
    uuid: Option<Uuid>,
    expected: u64,
    out: &mut dyn Write,
) -> Result<()> {
    let mut writer = RunsWriter::new(out, expected);
    let head = Head { format: Format::Runs, size: Some(content.size()), uuid, parent: None };
    writer.begin(&head).map_err(ImageError::Write)?;
    match write_data(content, &mut writer) {
        Ok(()) => writer.end(content.size()).map_err(ImageError::Write),
        Err(error) => {
            writer.fail(&error.to_string()).map_err(ImageError::Write)?;
            Err(error)
        }
    }
}

fn write_data(content: &dyn Content, writer: &mut RunsWriter<&mut dyn Write>) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut at = 0;
    while let Some(range) = next_data(content, at)? {
        at = range.start;
        while at < range.end {
            let count = (PIECE as u64 - at % PIECE as u64).min(range.end - at);
            let part = buf.get_mut(..count as usize).unwrap_or(&mut []);
            read_padded(content, at, part)?;
            writer.data_record(at, part).map_err(ImageError::Write)?;
            at += count;
        }
    }
    Ok(())
}
