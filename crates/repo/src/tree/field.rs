//! The keys of a node in the order in which they are written.

/// One field of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Type,
    Mode,
    Mtime,
    Atime,
    Ctime,
    Uid,
    Gid,
    User,
    Group,
    Inode,
    DeviceId,
    Size,
    Links,
    LinkTarget,
    LinkTargetRaw,
    ExtendedAttributes,
    GenericAttributes,
    Device,
    Content,
    Subtree,
    Error,
}

const ORDER: [(&str, Field); 22] = [
    ("name", Field::Name),
    ("type", Field::Type),
    ("mode", Field::Mode),
    ("mtime", Field::Mtime),
    ("atime", Field::Atime),
    ("ctime", Field::Ctime),
    ("uid", Field::Uid),
    ("gid", Field::Gid),
    ("user", Field::User),
    ("group", Field::Group),
    ("inode", Field::Inode),
    ("device_id", Field::DeviceId),
    ("size", Field::Size),
    ("links", Field::Links),
    ("linktarget", Field::LinkTarget),
    ("linktarget_raw", Field::LinkTargetRaw),
    ("extended_attributes", Field::ExtendedAttributes),
    ("generic_attributes", Field::GenericAttributes),
    ("device", Field::Device),
    ("content", Field::Content),
    ("subtree", Field::Subtree),
    ("error", Field::Error),
];

/// Finds fields by key. Keys come in order nearly always, so the search starts behind the last one found.
#[derive(Default)]
pub(super) struct Keys {
    next: usize,
}

impl Keys {
    /// The field and its key. `None`: a key unknown here.
    pub fn find(&mut self, key: &str) -> Option<(&'static str, Field)> {
        let (before, behind) = ORDER.split_at_checked(self.next).unwrap_or((&ORDER, &[]));
        let place = |known: &[(&str, Field)]| known.iter().position(|(name, _)| *name == key);
        let at = place(behind).map(|at| at + before.len()).or_else(|| place(before))?;
        self.next = at + 1;
        ORDER.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_is_found() {
        let mut keys = Keys::default();
        for _ in 0..2 {
            for (key, field) in ORDER.iter().chain(ORDER.iter().rev()) {
                assert_eq!(keys.find(key), Some((*key, *field)));
            }
            assert_eq!(keys.find("path"), None);
        }
    }
}
