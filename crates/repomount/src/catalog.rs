//! The folders above the snapshots: by id, time, host and tag. Values only; who reads snapshots is `stock`.
//!
//! Names are restic's: `ids/ID`, `snapshots/TIME`, `hosts/HOST/TIME`, `tags/TAG/TIME`, with a link `latest` beside the times. Two of one time
//! are told apart by `-1`, `-2`, ...; a name that was given stays, whatever comes later. Hosts and tags are texts of others: what
//! cannot be a name is written in another way.

use std::collections::BTreeMap;

use tintype_repo::{BlobId, Moment, SnapshotFile, SnapshotId};
use xxhash_rust::xxh3::xxh3_64;

/// The link to the newest snapshot.
pub const LATEST: &str = "latest";
/// The longest name in bytes that filesystems have.
const NAME_MAX: usize = 255;

/// A folder above the snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Menu {
    /// The root.
    Top,
    /// By id.
    Ids,
    /// By time.
    Times,
    /// The hosts.
    Hosts,
    /// One host's.
    Host(String),
    /// The tags.
    Tags,
    /// Those with a tag.
    Tag(String),
}

impl Menu {
    /// The folder above.
    pub fn above(&self) -> Self {
        match self {
            Self::Host(_) => Self::Hosts,
            Self::Tag(_) => Self::Tags,
            _ => Self::Top,
        }
    }

    /// Where it is, for inode numbers.
    pub fn path(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Ids => "ids".to_owned(),
            Self::Times => "snapshots".to_owned(),
            Self::Hosts => "hosts".to_owned(),
            Self::Tags => "tags".to_owned(),
            Self::Host(name) => format!("hosts/{name}"),
            Self::Tag(name) => format!("tags/{name}"),
        }
    }
}

/// What stands in such a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Another folder.
    Menu(Menu),
    /// A snapshot.
    Snapshot(SnapshotId),
    /// The link to the newest: its target.
    Latest(String),
}

/// What has to be known of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub id: SnapshotId,
    /// When it was made.
    pub time: Moment,
    /// Its root.
    pub tree: BlobId,
    host: String,
    tags: Vec<String>,
}

impl Shown {
    /// Of a snapshot.
    pub fn of(snapshot: &SnapshotFile) -> Self {
        let mut tags: Vec<_> = snapshot.tags.iter().map(|tag| as_name(tag)).collect();
        tags.sort_unstable();
        tags.dedup();
        let SnapshotFile { id, time, tree, .. } = *snapshot;
        Self { id, time, tree, host: as_name(&snapshot.hostname), tags }
    }
}

/// The snapshots of one folder.
#[derive(Clone, Debug, Default)]
struct Names {
    names: BTreeMap<String, SnapshotId>,
    given: BTreeMap<SnapshotId, String>,
    newest: Option<SnapshotId>,
}

impl Names {
    /// Gives a name, the one that it had if it had one.
    fn add(&mut self, id: SnapshotId, wanted: &str, before: Option<&Self>) {
        let old = before.and_then(|before| before.given.get(&id)).cloned();
        let taken = |name: &String| {
            self.names.contains_key(name) || before.is_some_and(|old| old.names.contains_key(name))
        };
        let numbered = || (1u64..).map(|n| format!("{wanted}-{n}"));
        let mut fresh = std::iter::once(wanted.to_owned()).chain(numbered());
        let name = old.or_else(|| fresh.find(|name| !taken(name))).unwrap_or_default();
        self.names.insert(name.clone(), id);
        self.given.insert(id, name);
        self.newest = Some(id);
    }

    fn latest(&self) -> Option<&String> {
        self.given.get(self.newest.as_ref()?)
    }

    fn rows(&self, with_latest: bool) -> Vec<(String, Row)> {
        let rows = self.names.iter().map(|(name, id)| (name.clone(), Row::Snapshot(*id)));
        let latest = self.latest().filter(|_| with_latest).cloned();
        rows.chain(latest.map(|target| (LATEST.to_owned(), Row::Latest(target)))).collect()
    }

    fn find(&self, name: &str, with_latest: bool) -> Option<Row> {
        match self.names.get(name) {
            Some(id) => Some(Row::Snapshot(*id)),
            None if with_latest && name == LATEST => self.latest().cloned().map(Row::Latest),
            None => None,
        }
    }
}

/// All folders at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Another number whenever something changed.
    pub generation: u32,
    shown: BTreeMap<SnapshotId, Shown>,
    ids: Names,
    times: Names,
    hosts: BTreeMap<String, Names>,
    tags: BTreeMap<String, Names>,
}

impl Catalog {
    /// Of these snapshots; those of `before` keep their names.
    pub fn new(mut all: Vec<Shown>, before: &Self) -> Self {
        all.sort_by_key(|one| (one.time, one.id));
        let mut new = Self { generation: before.generation.wrapping_add(1), ..Self::default() };
        for one in all {
            let (id, time) = (one.id, time_name(one.time));
            new.ids.add(id, &one.id.0.short(), Some(&before.ids));
            new.times.add(id, &time, Some(&before.times));
            let names = new.hosts.entry(one.host.clone()).or_default();
            names.add(id, &time, before.hosts.get(&one.host));
            for tag in &one.tags {
                let names = new.tags.entry(tag.clone()).or_default();
                names.add(id, &time, before.tags.get(tag));
            }
            new.shown.insert(id, one);
        }
        new
    }

    /// A snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Option<&Shown> {
        self.shown.get(&id)
    }

    /// When the newest was made.
    pub fn newest(&self) -> Option<Moment> {
        self.shown.get(self.times.newest.as_ref()?).map(|one| one.time)
    }

    fn names(&self, menu: &Menu) -> Option<&Names> {
        match menu {
            Menu::Ids => Some(&self.ids),
            Menu::Times => Some(&self.times),
            Menu::Host(name) => self.hosts.get(name),
            Menu::Tag(name) => self.tags.get(name),
            Menu::Top | Menu::Hosts | Menu::Tags => None,
        }
    }

    /// All that stands in a folder; nothing when it is gone.
    pub fn rows(&self, menu: &Menu) -> Vec<(String, Row)> {
        let menus = |all: &BTreeMap<String, Names>, make: fn(String) -> Menu| {
            all.keys().map(|name| (name.clone(), Row::Menu(make(name.clone())))).collect()
        };
        match menu {
            Menu::Top => [Menu::Hosts, Menu::Ids, Menu::Times, Menu::Tags]
                .map(|menu| (menu.path(), Row::Menu(menu)))
                .into(),
            Menu::Hosts => menus(&self.hosts, Menu::Host),
            Menu::Tags => menus(&self.tags, Menu::Tag),
            other => self.names(other).map(|n| n.rows(*other != Menu::Ids)).unwrap_or_default(),
        }
    }

    /// What has this name in a folder.
    pub fn find(&self, menu: &Menu, name: &str) -> Option<Row> {
        let one = |known: bool, menu: Menu| known.then_some(Row::Menu(menu));
        match menu {
            Menu::Top => self.rows(menu).into_iter().find(|(own, _)| own == name).map(|(_, r)| r),
            Menu::Hosts => one(self.hosts.contains_key(name), Menu::Host(name.to_owned())),
            Menu::Tags => one(self.tags.contains_key(name), Menu::Tag(name.to_owned())),
            other => self.names(other)?.find(name, *other != Menu::Ids),
        }
    }
}

/// A time as restic names it: without parts of seconds.
fn time_name(time: Moment) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        None => text,
        Some((seconds, rest)) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{seconds}{zone}")
        }
    }
}

/// A text of others as a name.
fn as_name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if matches!(c, '/' | '\0') { '_' } else { c }).collect();
    if matches!(name.as_str(), "" | "." | "..") {
        return format!("_{name}");
    }
    if name.len() <= NAME_MAX {
        return name;
    }
    let end = (0..=NAME_MAX - 17).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}~{:016x}", name.get(..end).unwrap_or_default(), xxh3_64(text.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tintype_repo::Id;

    use super::*;

    fn shown(id: u8, time: &str, host: &str, tags: &[&str]) -> Shown {
        let mut file = SnapshotFile::new(time.parse().unwrap(), BlobId::default());
        file.id = SnapshotId(Id([id; 32]));
        file.hostname = host.to_owned();
        file.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Shown::of(&file)
    }

    fn names(catalog: &Catalog, menu: &Menu) -> Vec<String> {
        catalog.rows(menu).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn snapshots_stand_where_restic_has_them() {
        let all = vec![
            shown(2, "2026-01-02T03:04:05.5+02:00", "b", &["x", "y", "x"]),
            shown(1, "2026-01-01T00:00:00Z", "a", &["x"]),
        ];
        let catalog = Catalog::new(all, &Catalog::default());
        assert_eq!(names(&catalog, &Menu::Top), ["hosts", "ids", "snapshots", "tags"]);
        assert_eq!(names(&catalog, &Menu::Ids), ["01010101", "02020202"]);
        let times = ["2026-01-01T00:00:00Z", "2026-01-02T03:04:05+02:00", "latest"];
        assert_eq!(names(&catalog, &Menu::Times), times);
        assert_eq!(names(&catalog, &Menu::Hosts), ["a", "b"]);
        assert_eq!(
            names(&catalog, &Menu::Tag("y".into())),
            ["2026-01-02T03:04:05+02:00", "latest"]
        );
        let latest = catalog.find(&Menu::Tag("x".into()), LATEST);
        assert_eq!(latest, Some(Row::Latest("2026-01-02T03:04:05+02:00".into())));
        assert_eq!(catalog.find(&Menu::Ids, LATEST), None);
        assert_eq!(catalog.find(&Menu::Host("c".into()), LATEST), None);
    }

    #[test]
    fn a_name_stays_with_its_snapshot() {
        let (one, two) = (shown(5, "2026-01-01", "h", &[]), shown(3, "2026-01-01", "h", &[]));
        let first = Catalog::new(vec![one.clone()], &Catalog::default());
        let both = Catalog::new(vec![one.clone(), two.clone()], &first);
        let of = |catalog: &Catalog, name: &str| match catalog.find(&Menu::Times, name) {
            Some(Row::Snapshot(id)) => Some(id),
            _ => None,
        };
        assert_eq!(of(&both, "2026-01-01T00:00:00Z"), Some(one.id));
        assert_eq!(of(&both, "2026-01-01T00:00:00Z-1"), Some(two.id));
        let left = Catalog::new(vec![two.clone()], &both);
        assert_eq!(of(&left, "2026-01-01T00:00:00Z-1"), Some(two.id));
        assert_eq!(of(&left, "2026-01-01T00:00:00Z"), None);
        assert_ne!(left.generation, both.generation);
    }

    #[test]
    fn texts_of_others_become_names() {
        assert_eq!(as_name("a/b\0c"), "a_b_c");
        assert_eq!((as_name(""), as_name("..")), ("_".to_owned(), "_..".to_owned()));
        let (a, b) = ("ä".repeat(300), format!("{}b", "ä".repeat(300)));
        assert!(as_name(&a).len() <= NAME_MAX && as_name(&a) != as_name(&b));
    }
}
