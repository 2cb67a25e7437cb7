//! The entries of one directory, in the order of its tree; only those that a directory can hold.
//!
//! A small directory is a list of nodes. A large one is packed: pieces of some entries, compressed (`spill` says where they lie), and the
//! hashes of all names in order, so that a name is found with one piece unpacked. The pieces of late reading are kept unpacked.

use std::collections::{HashSet, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use parking_lot::Mutex;
use tintype_repo::{EntryName, Node, NodeKind, TreeDecoder, TreeError, decode_tree, encode_tree};
use xxhash_rust::xxh3::xxh3_64;

use crate::numbers::ENTRIES_MAX;
use crate::spill::Pieces;

/// Entries that stand unpacked.
const SMALL: usize = 1024;
/// Entries of a piece.
const PIECE: usize = 128;
/// Pieces that stay unpacked.
const UNPACKED: usize = 4;
/// The longest name in bytes that the kernel takes from a directory.
const NAME_MAX: usize = 1024;
/// Entries that are not shown and of which is told.
const HIDDEN: usize = 20;
/// What a node weighs in memory beside its texts, in bytes.
const NODE: usize = 512;

/// The entries.
pub struct Listing {
    count: u32,
    form: Form,
    /// Entries that are not shown, at most some of them: name and reason.
    pub hidden: Vec<String>,
}

enum Form {
    Small(Vec<Arc<Node>>),
    Packed { pieces: Pieces, names: Vec<(u32, u32)>, unpacked: Mutex<VecDeque<(usize, Piece)>> },
}

type Piece = Arc<[Arc<Node>]>;

impl Listing {
    /// Of the plain bytes of a tree.
    ///
    /// # Errors
    /// The bytes are not a tree.
    pub fn read(tree: &[u8]) -> Result<Self> {
        let mut packer = Packer::default();
        let mut names = Known::default();
        for (at, node) in TreeDecoder::tolerant(tree).enumerate() {
            let node = node.map_err(Error::other)?;
            match refusal(&node) {
                None if names.is_new(tree, at, &node.name).map_err(Error::other)? => {
                    packer.push(node)?;
                }
                None => packer.hide(&node, "its name comes twice"),
                Some(reason) => packer.hide(&node, &reason),
            }
        }
        packer.finish()
    }

    /// Number of entries.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// An entry by its number.
    ///
    /// # Errors
    /// There is none, or it cannot be unpacked.
    pub fn get(&self, number: u32) -> Result<Arc<Node>> {
        let number = number as usize;
        let found = match &self.form {
            Form::Small(nodes) => nodes.get(number).cloned(),
            Form::Packed { .. } => self.piece(number / PIECE)?.get(number % PIECE).cloned(),
        };
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// An entry by its name.
    ///
    /// # Errors
    /// It cannot be unpacked.
    pub fn find(&self, name: &[u8]) -> Result<Option<(u32, Arc<Node>)>> {
        let named = |(_, node): &(u32, Arc<Node>)| node.name == name;
        match &self.form {
            Form::Small(nodes) => Ok((0..).zip(nodes.iter().cloned()).find(named)),
            Form::Packed { names, .. } => {
                let hash = hash(name);
                let from = names.partition_point(|(other, _)| *other < hash);
                let alike = names.iter().skip(from).take_while(|(other, _)| *other == hash);
                for (_, number) in alike {
                    let found = (*number, self.get(*number)?);
                    if named(&found) {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    fn piece(&self, number: usize) -> Result<Piece> {
        let Form::Packed { pieces, unpacked, .. } = &self.form else {
            return Err(ErrorKind::NotFound.into());
        };
        let known = unpacked.lock().iter().find(|(own, _)| *own == number).map(|(_, p)| p.clone());
        if let Some(piece) = known {
            return Ok(piece);
        }
        let tree = zstd::decode_all(pieces.get(number)?.as_slice())?;
        let nodes = decode_tree(&tree).map_err(Error::other)?;
        let piece: Piece = nodes.into_iter().map(Arc::new).collect();
        let mut unpacked = unpacked.lock();
        unpacked.truncate(UNPACKED - 1);
        unpacked.push_front((number, Arc::clone(&piece)));
        Ok(piece)
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let hidden = self.hidden.iter().map(String::len).sum::<usize>();
        hidden
            + match &self.form {
                Form::Small(nodes) => nodes.iter().map(|node| weight_of(node)).sum(),
                Form::Packed { pieces, names, .. } => {
                    pieces.weight() + names.len() * 8 + UNPACKED * PIECE * NODE
                }
            }
    }
}

fn weight_of(node: &Node) -> usize {
    let attributes = node.extended_attributes.iter();
    let attributes = attributes.map(|a| 64 + a.name.len() + a.value.as_ref().map_or(0, Vec::len));
    let content = node.content.as_ref().map_or(0, |content| content.len() * 32);
    NODE + node.name.len() + node.linktarget.len() + content + attributes.sum::<usize>()
}

fn hash(name: &[u8]) -> u32 {
    (xxh3_64(name) >> 32) as u32
}

/// Why an entry cannot be shown.
fn refusal(node: &Node) -> Option<String> {
    match (EntryName::new(&node.name), &node.kind) {
        (Err(_), _) => Some("no directory can hold such a name".to_owned()),
        (Ok(_), _) if node.name.len() > NAME_MAX => Some("its name is too long".to_owned()),
        (Ok(_), NodeKind::Irregular | NodeKind::Other(_)) => {
            Some(format!("its type is `{}`", node.kind.as_str()))
        }
        _ => None,
    }
}

/// Names that came. While they come in order, which honest trees are in, nothing has to be remembered.
#[derive(Default)]
struct Known {
    last: Option<Vec<u8>>,
    all: Option<HashSet<Vec<u8>>>,
}

impl Known {
    /// Is it the first of its name? `at`: its place in the tree.
    fn is_new(
        &mut self,
        tree: &[u8],
        at: usize,
        name: &[u8],
    ) -> std::result::Result<bool, TreeError> {
        if let Some(all) = &mut self.all {
            return Ok(all.insert(name.to_vec()));
        }
        if self.last.as_deref().is_none_or(|last| last < name) {
            self.last = Some(name.to_vec());
            return Ok(true);
        }
        let before = TreeDecoder::tolerant(tree).take(at);
        let mut all: HashSet<_> =
            before.map(|node| node.map(|node| node.name)).collect::<std::result::Result<_, _>>()?;
        let new = all.insert(name.to_vec());
        self.all = Some(all);
        Ok(new)
    }
}

/// Collects entries.
#[derive(Default)]
struct Packer {
    nodes: Vec<Arc<Node>>,
    pieces: Pieces,
    names: Vec<(u32, u32)>,
    packed: u32,
    hidden: Vec<String>,
}

impl Packer {
    fn push(&mut self, node: Node) -> Result<()> {
        if self.packed as usize + self.nodes.len() >= ENTRIES_MAX as usize {
            self.hide(&node, "there are too many entries");
            return Ok(());
        }
        self.nodes.push(Arc::new(node));
        let full = if self.packed > 0 { PIECE } else { SMALL };
        if self.nodes.len() > full { self.pack(PIECE) } else { Ok(()) }
    }

    fn hide(&mut self, node: &Node, reason: &str) {
        if self.hidden.len() < HIDDEN {
            self.hidden.push(format!("`{}`: {reason}", node.name.escape_ascii()));
        }
    }

    /// Packs pieces as long as more than `left` entries remain.
    fn pack(&mut self, left: usize) -> Result<()> {
        let mut from = 0;
        while self.nodes.len() > from + left {
            let to = self.nodes.len().min(from + PIECE);
            let nodes = self.nodes.get_mut(from..to).unwrap_or_default();
            // Within a piece the encoder wants the order of names, which not every tree has.
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            let tree = encode_tree(nodes.iter().map(|node| &**node)).map_err(Error::other)?;
            self.pieces.push(&zstd::bulk::compress(&tree, 1)?);
            let hashes = nodes.iter().map(|node| hash(&node.name));
            self.names.extend(hashes.zip(self.packed..));
            self.packed += (to - from) as u32;
            from = to;
        }
        self.nodes.drain(..from);
        Ok(())
    }

    fn finish(mut self) -> Result<Listing> {
        let (mut form, mut count) = (None, self.nodes.len() as u32);
        if self.packed > 0 {
            self.pack(0)?;
            self.names.sort_unstable();
            self.names.shrink_to_fit();
            count = self.packed;
            let unpacked = Mutex::new(VecDeque::with_capacity(UNPACKED));
            form = Some(Form::Packed { pieces: self.pieces, names: self.names, unpacked });
        }
        let form = form.unwrap_or(Form::Small(self.nodes));
        Ok(Listing { count, form, hidden: self.hidden })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn node(name: &str, size: u64) -> Node {
        Node { name: name.into(), size, content: Some(vec![]), ..Node::default() }
    }

    fn joined(nodes: &[Node]) -> Vec<u8> {
        let bodies: Vec<String> = nodes
            .iter()
            .map(|node| {
                let tree = String::from_utf8(encode_tree([node]).unwrap()).unwrap();
                tree.trim_start_matches("{\"nodes\":[").trim_end_matches("]}\n").to_owned()
            })
            .collect();
        format!("{{\"nodes\":[{}]}}\n", bodies.join(",")).into_bytes()
    }

    #[test]
    fn directories_of_all_sizes_are_read() {
        for count in [0, 1, SMALL as u32, SMALL as u32 + 1, 1300, 5000] {
            let name = |number: u32| format!("n{number:06}");
            let nodes: Vec<_> = (0..count).map(|n| node(&name(n), u64::from(n))).collect();
            let listing = Listing::read(&encode_tree(&nodes).unwrap()).unwrap();
            assert_eq!(listing.len(), count);
            assert_eq!(matches!(listing.form, Form::Packed { .. }), count as usize > SMALL);
            for number in (0..count).step_by(7).chain(count.checked_sub(1)) {
                assert_eq!(*listing.get(number).unwrap(), nodes[number as usize]);
                let (found, node) = listing.find(name(number).as_bytes()).unwrap().unwrap();
                assert_eq!((found, node.size), (number, u64::from(number)));
            }
            assert!(listing.find(b"other").unwrap().is_none());
            assert!(listing.get(count).is_err());
        }
    }

    #[test]
    fn a_large_directory_weighs_little() {
        let name = |number: u32| format!("file-{number:08}");
        let nodes: Vec<_> = (0..200_000).map(|n| node(&name(n), u64::from(n) << 20)).collect();
        let listing = Listing::read(&encode_tree(&nodes).unwrap()).unwrap();
        assert!(listing.weight() < 8 << 20, "{}", listing.weight());
        assert_eq!(listing.find(name(123_456).as_bytes()).unwrap().unwrap().0, 123_456);
    }

    #[test]
    fn the_first_of_a_name_is_shown() {
        for more in [0, 3000] {
            let mut nodes = vec![node("b", 1), node("a", 2), node("b", 3), node("a", 4)];
            nodes.extend((0..more).rev().map(|n| node(&format!("x{n:05}"), 9)));
            let listing = Listing::read(&joined(&nodes)).unwrap();
            assert_eq!((listing.len(), listing.hidden.len()), (2 + more, 2));
            assert_eq!(listing.find(b"a").unwrap().unwrap().1.size, 2);
            assert_eq!(listing.find(b"b").unwrap().unwrap().1.size, 1);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_shown() {
        let json = |names: &[&str]| {
            let node =
                |name: &&str| format!("{{\"name\":\"{name}\",\"type\":\"file\",\"content\":[]}}");
            let nodes: Vec<_> = names.iter().map(node).collect();
            format!("{{\"nodes\":[{}]}}", nodes.join(",")).into_bytes()
        };
        let long = "l".repeat(2000);
        let hostile = ["", ".", "..", "a/b", "/etc", "z\\u0000", &long];
        let listing = Listing::read(&json(&hostile)).unwrap();
        assert_eq!((listing.len(), listing.hidden.len()), (0, hostile.len()));
        assert!(Listing::read(b"{\"nodes\":[{]}").is_err());
        let odd = br#"{"nodes":[{"name":"w","type":"whiteout"},{"name":"f","type":"file","content":[]}]}"#;
        assert_eq!(Listing::read(odd).unwrap().len(), 1);
    }
}
