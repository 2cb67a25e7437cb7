//! What a handshake has agreed on: everything that later requests are judged by.

use crate::port::{Context, Geometry};
use crate::wire::can;
use crate::wire::reply::Style;

/// The terms of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// How replies look.
    pub style: Style,
    /// Size and block sizes.
    pub geometry: Geometry,
    /// Chosen contexts; the id of each is its place.
    pub contexts: Vec<Context>,
}

impl Terms {
    /// The transmission flags for these terms.
    pub fn flags(&self) -> u16 {
        let mut flags = can::HAS_FLAGS | can::FLUSH | can::FUA | can::MULTI_CONN | can::CACHE;
        flags |= if self.geometry.read_only {
            can::READ_ONLY
        } else {
            can::TRIM | can::WRITE_ZEROES | can::FAST_ZERO
        };
        if self.style >= Style::Structured {
            flags |= can::DF;
        }
        if self.style == Style::Extended && !self.contexts.is_empty() {
            flags |= can::BLOCK_STATUS_PAYLOAD;
        }
        flags
    }
}
