//! Modes as Go's `os.FileMode` holds them: other bits than `st_mode`.

use std::fmt;

use super::node::NodeKind;

/// Permissions and type in Go's bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GoMode(pub u32);

impl fmt::Debug for GoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoMode({:#o} of {:#x})", self.permissions(), self.0)
    }
}

/// Bits of `st_mode` and Go's bits that stand for permissions beyond 0o777: setuid, setgid, sticky.
const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
const TYPE_MASK: u32 = 0o170_000;
const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const CHAR_DEVICE: u32 = 1 << 21;
const IRREGULAR: u32 = 1 << 19;

impl GoMode {
    /// From `st_mode`, with the type.
    pub fn from_st_mode(st_mode: u32) -> Self {
        let special = SPECIAL.iter().filter(|(unix, _)| st_mode & unix != 0);
        let bits = special.fold(st_mode & 0o777, |bits, (_, go)| bits | go);
        let kind = match NodeKind::from_st_mode(st_mode) {
            NodeKind::Dir => DIR,
            NodeKind::Symlink => SYMLINK,
            NodeKind::Device => DEVICE,
            NodeKind::CharDevice => DEVICE | CHAR_DEVICE,
            NodeKind::Fifo => FIFO,
            NodeKind::Socket => SOCKET,
            NodeKind::File => 0,
            NodeKind::Irregular | NodeKind::Other(_) => IRREGULAR,
        };
        Self(bits | kind)
    }

    /// The permissions as `chmod` takes them: 0 to 0o7777. A node's type is in its `kind`, never taken from the mode.
    pub fn permissions(self) -> u32 {
        let special = SPECIAL.iter().filter(|(_, go)| self.0 & go != 0);
        special.fold(self.0 & 0o777, |bits, (unix, _)| bits | unix)
    }
}

impl NodeKind {
    /// The type in `st_mode`.
    pub fn from_st_mode(st_mode: u32) -> Self {
        match st_mode & TYPE_MASK {
            0o040_000 => Self::Dir,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::Device,
            0o020_000 => Self::CharDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => Self::Irregular,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_go() {
        let go = |st_mode| GoMode::from_st_mode(st_mode).0;
        assert_eq!(go(0o100_644), 420);
        assert_eq!(go(0o040_755), 0x8000_0000 | 0o755);
        assert_eq!(go(0o041_777), 0x8010_0000 | 0o777);
        assert_eq!(go(0o106_755), 0x00c0_0000 | 0o755);
        assert_eq!(go(0o120_777), 0x0800_0000 | 0o777);
        assert_eq!(go(0o020_600), 0x0420_0000 | 0o600);
        assert_eq!(go(0o060_600), 0x0400_0000 | 0o600);
        assert_eq!(go(0o010_600), 0x0200_0000 | 0o600);
        assert_eq!(go(0o140_600), 0x0100_0000 | 0o600);
        for permissions in 0..=0o7777 {
            assert_eq!(GoMode::from_st_mode(0o100_000 | permissions).permissions(), permissions);
        }
    }
}
