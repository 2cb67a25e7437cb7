//! Extended attributes: small sets in the inode, others in records of their own.

use crate::acl::{self, Acl};
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, SGID, now};
use crate::keys;
use crate::reading;
use crate::tree::Tree;
use tintype_store::Moment;

/// Bytes of names and values that an inode keeps itself.
const INLINE: usize = 256;
/// Largest value.
const VALUE_MAX: usize = 65_536;

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > 255 || name.contains(&0) {
        return refuse(libc::ERANGE);
    }
    let known = [b"user.".as_slice(), b"trusted.", b"security."];
    if known.contains(&name) {
        // A namespace without a name in it.
        return refuse(libc::EINVAL);
    }
    let prefix = known.iter().any(|p| name.starts_with(p));
    if prefix || name == acl::ACCESS || name == acl::DEFAULT {
        Ok(())
    } else {
        refuse(libc::EOPNOTSUPP)
    }
}

/// The value of an attribute of any moment.
pub(crate) fn get(m: &mut dyn Moment, seed: u64, ino: u64, name: &[u8]) -> Result<Vec<u8>> {
    check_name(name)?;
    let (inode, _) = reading::inode(m, ino)?;
    match reading::xattr(m, seed, ino, &inode, name)? {
        Some(value) => Ok(value.into_vec()),
        None => refuse(libc::ENODATA),
    }
}

/// The names of all attributes, each followed by a zero; `trusted.` ones only for root.
pub(crate) fn list(m: &mut dyn Moment, ino: u64, root: bool) -> Result<Vec<u8>> {
    let (inode, _) = reading::inode(m, ino)?;
    let mut out = Vec::new();
    for (name, _) in reading::xattrs(m, ino, &inode)? {
        if root || !name.starts_with(b"trusted.") {
            out.extend_from_slice(&name);
            out.push(0);
        }
    }
    Ok(out)
}

impl Tree {
    /// Sets an attribute.
    pub(crate) fn set_xattr(
        &self,
        ino: u64,
        name: &[u8],
        value: &[u8],
        flags: u32,
        kill_sgid: bool,
    ) -> Result<()> {
        check_name(name)?;
        if value.len() > VALUE_MAX {
            return refuse(libc::E2BIG);
        }
        self.limits.refresh(&self.store);
        self.edit(|edit| {
            let inode = edit.inode(ino)?.clone();
            check_protected(&inode)?;
            edit.check_flags(ino, &inode, name, flags)?;
            if name == acl::ACCESS || name == acl::DEFAULT {
                edit.set_acl(ino, &inode, name, value, kill_sgid)?;
            } else {
                edit.store_xattr(ino, name, value)?;
            }
            edit.change(ino)?.ctime = now();
            self.check_room(edit)
        })
    }

    /// Removes an attribute.
    pub(crate) fn remove_xattr(&self, ino: u64, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.edit(|edit| {
            check_protected(edit.inode(ino)?)?;
            if !edit.erase_xattr(ino, name)? {
                // Taking away an access control list that is not there is no error, as on other filesystems.
                let list = name == acl::ACCESS || name == acl::DEFAULT;
                return if list { Ok(()) } else { refuse(libc::ENODATA) };
            }
            edit.change(ino)?.ctime = now();
            Ok(())
        })
    }
}

fn check_protected(inode: &Inode) -> Result<()> {
    if inode.has(IMMUTABLE | APPEND) { refuse(libc::EPERM) } else { Ok(()) }
}

impl Edit<'_> {
    fn check_flags(&mut self, ino: u64, inode: &Inode, name: &[u8], flags: u32) -> Result<()> {
        let seed = self.seed();
        let exists = reading::xattr(&mut self.state.line, seed, ino, inode, name)?.is_some();
        if flags & libc::XATTR_CREATE as u32 != 0 && exists {
            return refuse(libc::EEXIST);
        }
        if flags & libc::XATTR_REPLACE as u32 != 0 && !exists {
            return refuse(libc::ENODATA);
        }
        Ok(())
    }

    fn set_acl(
        &mut self,
        ino: u64,
        inode: &Inode,
        name: &[u8],
        value: &[u8],
        kill_sgid: bool,
    ) -> Result<()> {
        if inode.kind() == libc::S_IFLNK {
            return refuse(libc::EOPNOTSUPP);
        }
        if name == acl::DEFAULT && !inode.is_dir() {
            return refuse(libc::EACCES);
        }
        // The bare header is the kernel's way to say "no list".
        if value.len() <= 4 {
            return self.erase_xattr(ino, name).map(drop);
        }
        let list = Acl::parse(value)?;
        if name == acl::DEFAULT {
            return self.store_xattr(ino, name, &list.encode());
        }
        let inode = self.change(ino)?;
        inode.mode = (inode.mode & !0o777) | list.mode();
        if kill_sgid {
            inode.mode &= !SGID;
        }
        if list.is_minimal() {
            self.erase_xattr(ino, name).map(drop)
        } else {
            self.store_xattr(ino, name, &list.encode())
        }
    }

    /// Sets an attribute without any check.
    pub(crate) fn store_xattr(&mut self, ino: u64, name: &[u8], value: &[u8]) -> Result<()> {
        let inode = self.change(ino)?;
        let own = inode.xattrs.iter().position(|x| *x.0 == *name);
        let used: usize = inode.xattrs.iter().map(|x| x.0.len() + x.1.len()).sum();
        let freed = own.and_then(|at| inode.xattrs.get(at)).map_or(0, |x| x.0.len() + x.1.len());
        if used - freed + name.len() + value.len() <= INLINE {
            self.erase_far(ino, name)?;
            let inode = self.change(ino)?;
            match own.and_then(|at| inode.xattrs.get_mut(at)) {
                Some(old) => old.1 = value.into(),
                None => inode.xattrs.push((name.into(), value.into())),
            }
            return Ok(());
        }
        inode.xattrs.retain(|x| *x.0 != *name);
        self.store_far(ino, name, value)
    }

    fn store_far(&mut self, ino: u64, name: &[u8], value: &[u8]) -> Result<()> {
        let key = keys::xattr(ino, keys::xattr_hash(self.seed(), name));
        let mut list = match self.body(key)? {
            Some(body) => reading::decode_xattrs(&body)?,
            None => Vec::new(),
        };
        match list.iter_mut().find(|x| *x.0 == *name) {
            Some(old) => old.1 = value.into(),
            None => {
                list.push((name.into(), value.into()));
                self.change(ino)?.far_xattrs += 1;
            }
        }
        self.put(key, reading::encode_xattrs(&list));
        Ok(())
    }

    /// Removes an attribute; false when there is none.
    pub(crate) fn erase_xattr(&mut self, ino: u64, name: &[u8]) -> Result<bool> {
        let inode = self.change(ino)?;
        let before = inode.xattrs.len();
        inode.xattrs.retain(|x| *x.0 != *name);
        if inode.xattrs.len() < before { Ok(true) } else { self.erase_far(ino, name) }
    }

    fn erase_far(&mut self, ino: u64, name: &[u8]) -> Result<bool> {
        if self.inode(ino)?.far_xattrs == 0 {
            return Ok(false);
        }
        let key = keys::xattr(ino, keys::xattr_hash(self.seed(), name));
        let Some(body) = self.body(key)? else { return Ok(false) };
        let mut list = reading::decode_xattrs(&body)?;
        let before = list.len();
        list.retain(|x| *x.0 != *name);
        if list.len() == before {
            return Ok(false);
        }
        if list.is_empty() {
            self.delete(key);
        } else {
            self.put(key, reading::encode_xattrs(&list));
        }
        self.change(ino)?.far_xattrs -= 1;
        Ok(true)
    }
}
