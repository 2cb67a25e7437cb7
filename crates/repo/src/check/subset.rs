//! Which packs are read in whole: none, all, one part of several, a share, or so many bytes.

use std::str::FromStr;

use super::Packs;
use crate::error::Result;
use crate::id::{Id, PackId};

/// Which packs are read in whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReadData {
    /// None.
    #[default]
    No,
    /// All.
    All,
    /// The `part`th of `of` parts, from 1: after all parts every pack was read once.
    Part {
        /// Which part, from 1 to `of`.
        part: u8,
        /// How many parts.
        of: u8,
    },
    /// A random choice of this share, in percent, above 0 and up to 100.
    Percent(f64),
    /// A random choice of about so many bytes.
    Bytes(u64),
}

/// A text that names no choice of packs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of n/t (1/5), x% (2.5%) and a size (50M)")]
pub struct NotASubset {
    /// What was read instead.
    pub text: String,
}

impl FromStr for ReadData {
    type Err = NotASubset;

    fn from_str(text: &str) -> Result<Self, NotASubset> {
        parse(text.trim()).ok_or_else(|| NotASubset { text: text.chars().take(80).collect() })
    }
}

fn parse(text: &str) -> Option<ReadData> {
    if text == "all" {
        return Some(ReadData::All);
    }
    if let Some((part, of)) = text.split_once('/') {
        let (part, of) = (part.parse().ok()?, of.parse().ok()?);
        return (part >= 1 && part <= of).then_some(ReadData::Part { part, of });
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok()?;
        return (percent > 0.0 && percent <= 100.0).then_some(ReadData::Percent(percent));
    }
    parse_bytes(text).filter(|bytes| *bytes > 0).map(ReadData::Bytes)
}

/// A number of bytes with K, M, G or T (times 1024) behind it.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The packs to read, in the order of their ids.
pub(super) fn choose(read: ReadData, packs: &Packs) -> Result<Vec<PackId>> {
    let there = packs.iter().filter(|(_, pack)| pack.there.is_some());
    let mut chosen: Vec<PackId> = there.map(|(id, _)| *id).collect();
    chosen.sort_unstable();
    match read {
        ReadData::No => chosen.clear(),
        ReadData::All => {}
        // restic's way to divide: by the first byte of the id.
        ReadData::Part { part, of } => chosen.retain(|id| {
            let [first, ..] = id.0.0;
            first % of.max(1) == part.saturating_sub(1)
        }),
        ReadData::Percent(percent) => {
            shuffle(&mut chosen)?;
            let share = (chosen.len() as f64 * percent / 100.0) as usize;
            chosen.truncate(share.max(1));
        }
        ReadData::Bytes(bytes) => {
            shuffle(&mut chosen)?;
            let (mut sum, mut count) = (0, 0);
            for id in &chosen {
                if sum >= bytes {
                    break;
                }
                sum += packs.get(id).and_then(|pack| pack.there).unwrap_or_default();
                count += 1;
            }
            chosen.truncate(count);
        }
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// A new random order each time, so that runs add up.
fn shuffle(packs: &mut [PackId]) -> Result<()> {
    let salt = Id::random()?;
    packs.sort_by_cached_key(|pack| Id::of(&[salt.0, pack.0.0].concat()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::packs::PackState;

    #[test]
    fn choices_are_read() {
        let read = |text: &str| text.parse::<ReadData>().ok();
        assert_eq!(read("2/5"), Some(ReadData::Part { part: 2, of: 5 }));
        assert_eq!(read("2.5%"), Some(ReadData::Percent(2.5)));
        assert_eq!(read("50M"), Some(ReadData::Bytes(50 << 20)));
        assert_eq!(read("7"), Some(ReadData::Bytes(7)));
        for bad in ["", "0/5", "6/5", "1/0", "0%", "101%", "-1", "5X", "nan%", "99999999999T"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_cover_all_and_shares_are_shares() {
        let packs: Packs = (0u32..1000)
            .map(|i| {
                let state = PackState { there: Some(10), ..PackState::default() };
                (PackId(Id::of(&i.to_le_bytes())), state)
            })
            .collect();
        let count = |read| choose(read, &packs).unwrap().len();
        let parts: usize = (1..=7).map(|part| count(ReadData::Part { part, of: 7 })).sum();
        assert_eq!((parts, count(ReadData::All), count(ReadData::No)), (1000, 1000, 0));
        assert_eq!((count(ReadData::Percent(2.5)), count(ReadData::Percent(0.001))), (25, 1));
        assert_eq!((count(ReadData::Bytes(95)), count(ReadData::Bytes(1 << 40))), (10, 1000));
    }
}
