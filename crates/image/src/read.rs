//! Reading an image, whatever its format.

use crate::error::Result;
use crate::format::{Format, probe};
use crate::sink::Sink;
use crate::source::Source;
use crate::{qcow2, raw, runs, vhd};

/// Reads an image of the format that is asked for, or that it looks like, and tells `sink` what it holds. Answers the format.
///
/// # Errors
/// See [`crate::ImageError`]: the image is damaged, cut off or not taken; reading failed; the sink refused something.
pub fn read(source: &mut dyn Source, asked: Option<Format>, sink: &mut dyn Sink) -> Result<Format> {
    let format = match asked {
        Some(format) => format,
        None => probe(source)?,
    };
    match format {
        Format::Raw => raw::read(source, asked.is_none(), sink)?,
        Format::Vhd => vhd::read(source, sink)?,
        Format::Qcow2 => qcow2::read(source, sink)?,
        Format::Runs => runs::read(source, sink)?,
    }
    Ok(format)
}
