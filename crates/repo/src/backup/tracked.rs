//! What git tracks in a working tree: the paths in its index file. Rules leave out nothing of that.
//!
//! Pure: bytes in, paths out. Versions 2, 3 and 4 of the index, with ids of 20 or 32 bytes, are understood; whether it was, the end of the file
//! tells. Of an index that is not understood nothing is known: then everything counts as tracked, so that more is saved and not less.
//! Source: git's `index-format`.

/// Bytes of an entry before its id.
const STAT: usize = 40;
/// The flag that says that two more bytes of flags follow.
const EXTENDED: u16 = 0x4000;
/// Lengths of ids in bytes.
const IDS: [usize; 2] = [20, 32];
/// Names of extensions that git writes.
const EXTENSIONS: [&[u8]; 7] = [b"TREE", b"REUC", b"UNTR", b"FSMN", b"EOIE", b"IEOT", b"sdir"];

/// The paths that git tracks.
#[derive(Debug)]
pub(super) enum Tracked {
    /// These, in order.
    Paths(Vec<Box<[u8]>>),
    /// Nobody knows.
    Unknown,
}

impl Tracked {
    /// From the bytes of an index file; `None`: there is none, and nothing is tracked.
    pub(super) fn parse(index: Option<&[u8]>) -> Self {
        let Some(index) = index else { return Self::Paths(vec![]) };
        let mut paths = match IDS.iter().find_map(|id| entries(index, *id)) {
            Some(paths) => paths,
            None => return Self::Unknown,
        };
        // The order of the file is this one already, but nothing here depends on it.
        paths.sort_unstable();
        Self::Paths(paths)
    }

    /// Is the file with this path tracked; of a folder: it as a whole, or something in it?
    pub(super) fn has(&self, path: &[u8], is_dir: bool) -> bool {
        let Self::Paths(paths) = self else { return true };
        let from = paths.partition_point(|own| **own < *path);
        if paths.get(from).is_some_and(|own| **own == *path) {
            return true;
        }
        let below = [path, b"/"].concat();
        let from = paths.partition_point(|own| **own < *below);
        is_dir && paths.get(from).is_some_and(|own| own.starts_with(&below))
    }
}

/// All paths; `None` when the file is not one with ids of this length.
fn entries(index: &[u8], id: usize) -> Option<Vec<Box<[u8]>>> {
    let mut rest = index.strip_prefix(b"DIRC")?;
    let version = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let count = number(&mut rest)?;
    let mut paths: Vec<Box<[u8]>> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    for _ in 0..count {
        let start = rest.len();
        take(&mut rest, STAT + id)?;
        let flags = take(&mut rest, 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))?;
        if flags & EXTENDED != 0 {
            (version >= 3).then_some(())?;
            take(&mut rest, 2)?;
        }
        if version == 4 {
            let kept = last.len().checked_sub(varint(&mut rest)?)?;
            last.truncate(kept);
        } else {
            last.clear();
        }
        let length = rest.iter().position(|byte| *byte == 0)?;
        last.extend_from_slice(take(&mut rest, length)?);
        let padding = if version == 4 { 1 } else { 8 - (start - rest.len()) % 8 };
        take(&mut rest, padding)?.iter().all(|byte| *byte == 0).then_some(())?;
        paths.push(last.as_slice().into());
    }
    extensions(rest, id)?;
    Some(paths)
}

/// Goes over what follows the entries, to the checksum at the end.
fn extensions(mut rest: &[u8], id: usize) -> Option<()> {
    while rest.len() > id {
        // The entries of a split index are in another file.
        let name = take(&mut rest, 4)?;
        (name != b"link").then_some(())?;
        let length = usize::try_from(number(&mut rest)?).ok()?;
        take(&mut rest, length)?;
    }
    // Of a file that was cut off, the beginning of an extension may be as long as a checksum.
    let is_whole = rest.len() == id && !EXTENSIONS.iter().any(|name| rest.starts_with(name));
    is_whole.then_some(())
}

fn take<'b>(rest: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// git's number of variable length: each further byte counts from one more.
fn varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0usize;
    loop {
        let byte = *take(rest, 1)?.first()?;
        value = value.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        value = value.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of version 2 with these paths.
    fn index(paths: &[&str], id: usize) -> Vec<u8> {
        let mut bytes = [b"DIRC".as_slice(), &2u32.to_be_bytes()].concat();
        bytes.extend((paths.len() as u32).to_be_bytes());
        for path in paths {
            let start = bytes.len();
            bytes.resize(start + STAT + id, 7);
            bytes.extend((path.len() as u16).to_be_bytes());
            bytes.extend(path.as_bytes());
            let padding = 8 - (bytes.len() - start) % 8;
            bytes.resize(bytes.len() + padding, 0);
        }
        bytes.extend(*b"TREE");
        bytes.extend(3u32.to_be_bytes());
        bytes.extend(*b"abc");
        bytes.resize(bytes.len() + id, 9);
        bytes
    }

    #[test]
    fn paths_and_the_folders_of_paths_are_tracked() {
        for id in IDS {
            let tracked = Tracked::parse(Some(&index(&["a", "b-c", "b/x/y", "d"], id)));
            assert!(tracked.has(b"a", false) && tracked.has(b"b/x/y", false));
            assert!(tracked.has(b"b", true) && tracked.has(b"b/x", true));
            assert!(!tracked.has(b"b", false) && !tracked.has(b"b/x/z", false));
            assert!(!tracked.has(b"b/y", true) && !tracked.has(b"c", true));
        }
        assert!(!Tracked::parse(None).has(b"a", false));
    }

    #[test]
    fn of_what_is_not_understood_nothing_is_left_out() {
        let whole = index(&["a", "b/c"], 20);
        for end in 0..whole.len() {
            assert!(Tracked::parse(whole.get(..end)).has(b"x", false), "cut at {end}");
        }
        for at in 0..12 {
            let mut bent = whole.clone();
            bent[at] ^= 0x40;
            assert!(Tracked::parse(Some(&bent)).has(b"x", false), "bent at {at}");
        }
        let mut split = whole.clone();
        let at = split.windows(4).position(|word| word == b"TREE").unwrap();
        split[at..at + 4].copy_from_slice(b"link");
        assert!(Tracked::parse(Some(&split)).has(b"x", false));
    }
}
