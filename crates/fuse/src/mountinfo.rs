//! What the kernel says about mounts: `/proc/self/mountinfo`.
//!
//! Reading it asks no server, so it works for hanging and dead mounts too.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One FUSE mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuseMount {
    /// Device number as `major:minor`; names the mount in `/sys/class/bdi`.
    pub device: String,
    /// Where it is mounted.
    pub dir: PathBuf,
}

/// The FUSE mount that lies topmost at `dir`, if the topmost mount there is one.
pub(crate) fn fuse_mount_at(dir: &Path) -> io::Result<Option<FuseMount>> {
    let all = fs::read("/proc/self/mountinfo")?;
    let last = all.split(|byte| *byte == b'\n').filter_map(parse).rfind(|(at, _)| at.dir == dir);
    Ok(last.and_then(|(mount, fuse)| fuse.then_some(mount)))
}

/// One line: the mount, and whether it is of a FUSE type.
fn parse(line: &[u8]) -> Option<(FuseMount, bool)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
    let dir = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let fuse = kind == b"fuse" || kind.starts_with(b"fuse.");
    Some((FuseMount { device, dir }, fuse))
}

/// Undoes the kernel's `\040` for a space and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let (byte, next) = match rest {
            [b'\\', a, b, c, next @ ..] => {
                octal([*a, *b, *c]).map_or((*first, tail), |o| (o, next))
            }
            _ => (*first, tail),
        };
        out.push(byte);
        rest = next;
    }
    out
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_space_in_its_path_is_read() {
        let line =
            b"36 35 0:61 / /mnt/a\\040b rw,noatime shared:1 - fuse.tintype home rw,user_id=0";
        let (mount, fuse) = parse(line).unwrap();
        assert_eq!(mount, FuseMount { device: "0:61".into(), dir: "/mnt/a b".into() });
        assert!(fuse);
    }

    #[test]
    fn other_types_are_not_fuse() {
        assert!(!parse(b"22 1 254:0 / / rw - ext4 /dev/vda rw").unwrap().1);
        assert_eq!(parse(b"22 1 254:0"), None);
    }
}
