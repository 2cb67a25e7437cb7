//! Names of users and groups, asked for once each.
//!
//! They come from the system's own look-up, which knows directories of users beyond `/etc/passwd`.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User};
use parking_lot::RwLock;

/// Who knows users and groups. A port, so that tests and other namespaces can have their own.
pub trait Names: Send + Sync {
    /// Name of the user with this number.
    fn user(&self, uid: u32) -> Option<String>;
    /// Name of the group with this number.
    fn group(&self, gid: u32) -> Option<String>;
    /// Number of the user with this name.
    fn uid(&self, user: &str) -> Option<u32>;
    /// Number of the group with this name.
    fn gid(&self, group: &str) -> Option<u32>;
}

/// The users and groups of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn user(&self, uid: u32) -> Option<String> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    }

    fn group(&self, gid: u32) -> Option<String> {
        Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name)
    }

    fn uid(&self, user: &str) -> Option<u32> {
        User::from_name(user).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn gid(&self, group: &str) -> Option<u32> {
        Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw())
    }
}

/// Remembers the answers, also that there is none. Shared by threads by reference.
pub struct NameCache {
    source: Box<dyn Names>,
    users: Answers<u32, Arc<str>>,
    groups: Answers<u32, Arc<str>>,
    uids: Answers<Arc<str>, u32>,
    gids: Answers<Arc<str>, u32>,
}

impl Default for NameCache {
    fn default() -> Self {
        Self::new(SystemNames)
    }
}

impl NameCache {
    /// Asks this source.
    pub fn new(source: impl Names + 'static) -> Self {
        Self {
            source: Box::new(source),
            users: Answers::default(),
            groups: Answers::default(),
            uids: Answers::default(),
            gids: Answers::default(),
        }
    }

    /// Name of the user with this number.
    pub fn user(&self, uid: u32) -> Option<Arc<str>> {
        self.users.get(&uid, || self.source.user(uid).map(Into::into))
    }

    /// Name of the group with this number.
    pub fn group(&self, gid: u32) -> Option<Arc<str>> {
        self.groups.get(&gid, || self.source.group(gid).map(Into::into))
    }

    /// Number of the user with this name.
    pub fn uid(&self, user: &Arc<str>) -> Option<u32> {
        self.uids.get(user, || self.source.uid(user))
    }

    /// Number of the group with this name.
    pub fn gid(&self, group: &Arc<str>) -> Option<u32> {
        self.gids.get(group, || self.source.gid(group))
    }
}

struct Answers<K, V>(RwLock<HashMap<K, Option<V>>>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Answers<K, V> {
    fn get(&self, key: &K, ask: impl FnOnce() -> Option<V>) -> Option<V> {
        if let Some(known) = self.0.read().get(key) {
            return known.clone();
        }
        // Two threads may ask the same at once: both get the same answer.
        let answer = ask();
        self.0.write().insert(key.clone(), answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_root() {
        let names = NameCache::default();
        assert_eq!(names.user(0).as_deref(), Some("root"));
        assert_eq!(names.group(0).as_deref(), Some("root"));
        assert_eq!((names.uid(&"root".into()), names.gid(&"root".into())), (Some(0), Some(0)));
        for _ in 0..2 {
            assert_eq!(names.user(3_999_999_999), None);
            assert_eq!(names.uid(&"nobody of this name".into()), None);
        }
    }
}
