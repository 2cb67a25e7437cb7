//! POSIX access control lists in the format of the `system.posix_acl_*` attributes.
//!
//! Parsing, the link between a list and the permission bits, inheritance from a directory's
//! default list. Checks of access are the kernel's.

use crate::error::{Result, refuse};

/// Attribute of the access list.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Attribute of the default list.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ace {
    tag: u16,
    perm: u16,
    id: u32,
}

/// An access control list, known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Ace>);

impl Acl {
    /// Reads the attribute's value; `EINVAL` when it is malformed.
    pub(crate) fn parse(value: &[u8]) -> Result<Self> {
        let Some((version, rest)) = value.split_first_chunk::<4>() else {
            return refuse(libc::EINVAL);
        };
        let (entries, tail) = rest.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !tail.is_empty() {
            return refuse(libc::EOPNOTSUPP);
        }
        let acl = Self(entries.iter().map(ace).collect());
        if acl.is_valid() { Ok(acl) } else { refuse(libc::EINVAL) }
    }

    fn is_valid(&self) -> bool {
        let count = |tag| self.0.iter().filter(|ace| ace.tag == tag).count();
        let known = USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER;
        let sane = self.0.iter().all(|a| a.perm <= 7 && a.tag & known == a.tag && a.tag != 0);
        let ordered = self.0.windows(2).all(|pair| match pair {
            [a, b] => a.tag <= b.tag,
            _ => true,
        });
        let extended = count(USER) + count(GROUP) > 0;
        sane && ordered
            && [USER_OBJ, GROUP_OBJ, OTHER].iter().all(|tag| count(*tag) == 1)
            && (count(MASK) == 1 || (count(MASK) == 0 && !extended))
    }

    /// The attribute's value.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for ace in &self.0 {
            out.extend_from_slice(&ace.tag.to_le_bytes());
            out.extend_from_slice(&ace.perm.to_le_bytes());
            let id = if ace.tag == USER || ace.tag == GROUP { ace.id } else { NO_ID };
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    fn perm(&self, tag: u16) -> Option<u32> {
        self.0.iter().find(|ace| ace.tag == tag).map(|ace| ace.perm.into())
    }

    /// Whether it says no more than permission bits can.
    pub(crate) fn is_minimal(&self) -> bool {
        self.0.iter().all(|ace| matches!(ace.tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// The permission bits that this list stands for.
    pub(crate) fn mode(&self) -> u32 {
        let group = self.perm(MASK).or_else(|| self.perm(GROUP_OBJ)).unwrap_or(0);
        self.perm(USER_OBJ).unwrap_or(0) << 6 | group << 3 | self.perm(OTHER).unwrap_or(0)
    }

    /// Takes over permission bits, as chmod does.
    pub(crate) fn set_mode(&mut self, mode: u32) {
        let group = if self.perm(MASK).is_some() { MASK } else { GROUP_OBJ };
        for ace in &mut self.0 {
            let bits = match ace.tag {
                USER_OBJ => mode >> 6,
                OTHER => mode,
                tag if tag == group => mode >> 3,
                _ => continue,
            };
            ace.perm = (bits & 7) as u16;
        }
    }

    /// The access list of a new object with the wished `mode` under this default list: no
    /// permission beyond either.
    pub(crate) fn inherit(&self, mode: u32) -> Self {
        let mut child = self.clone();
        child.set_mode(mode & self.mode());
        child
    }
}

const fn ace(bytes: &[u8; 8]) -> Ace {
    let [t0, t1, p0, p1, a, b, c, d] = *bytes;
    Ace {
        tag: u16::from_le_bytes([t0, t1]),
        perm: u16::from_le_bytes([p0, p1]),
        id: u32::from_le_bytes([a, b, c, d]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acl(list: &[(u16, u16, u32)]) -> Acl {
        let aces = list.iter().map(|&(tag, perm, id)| Ace { tag, perm, id }).collect();
        Acl::parse(&Acl(aces).encode()).unwrap()
    }

    #[test]
    fn chmod_changes_the_mask_and_not_the_group() {
        let mut list =
            acl(&[(1, 7, NO_ID), (2, 6, 1000), (4, 5, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID)]);
        assert_eq!(list.mode(), 0o770);
        assert!(!list.is_minimal());
        list.set_mode(0o641);
        assert_eq!(list.mode(), 0o641);
        assert_eq!(list.perm(GROUP_OBJ), Some(5));
        assert_eq!(list.perm(MASK), Some(4));
    }

    #[test]
    fn inheritance_grants_nothing_beyond_the_wish() {
        let list = acl(&[(1, 7, NO_ID), (4, 7, NO_ID), (32, 5, NO_ID)]);
        assert_eq!(list.inherit(0o664).mode(), 0o664 & 0o775);
        assert!(list.is_minimal());
    }

    #[test]
    fn malformed_lists_are_refused() {
        assert!(Acl::parse(&[]).is_err());
        assert!(Acl::parse(&[2, 0, 0, 0]).is_err());
        let no_mask = Acl(vec![
            Ace { tag: 1, perm: 7, id: NO_ID },
            Ace { tag: 2, perm: 7, id: 5 },
            Ace { tag: 4, perm: 7, id: NO_ID },
            Ace { tag: 32, perm: 7, id: NO_ID },
        ]);
        assert!(Acl::parse(&no_mask.encode()).is_err());
    }

    proptest! {
        #[test]
        fn hostile_values_do_not_panic(value: Vec<u8>) {
            let _ = Acl::parse(&value);
        }
    }
}
