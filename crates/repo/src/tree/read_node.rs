//! Reads one node, field by field.
//!
//! `null` leaves a field as it is when missing, and of a key that comes twice the last one counts: both as in Go.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::field::{Field, Keys};
use super::hex::read_id;
use super::mode::GoMode;
use super::node::{ExtendedAttribute, Node, NodeKind};
use crate::id::BlobId;
use crate::json::GoTime;
use crate::json::cursor::{Cursor, Fault, RawStr};
use crate::json::{quote, time_read};

/// Go takes values whose last bits are not zero.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Members of objects that are no nodes, for messages.
pub(super) const OUTSIDE: &str = "nodes";

/// Reads nodes and remembers what the next one is likely to repeat.
pub(super) struct NodeReader<'t> {
    /// Key of the field being read, for messages.
    pub field: &'static str,
    keys: Keys,
    user: Option<Arc<str>>,
    group: Option<Arc<str>>,
    time: (&'t str, GoTime),
    /// Members of this node with unknown keys, as text.
    unknown: String,
    /// Space for texts with escapes.
    space: String,
}

type Read<T> = Result<T, Fault>;

impl<'t> NodeReader<'t> {
    pub fn new() -> Self {
        Self {
            field: OUTSIDE,
            keys: Keys::default(),
            user: None,
            group: None,
            time: ("", GoTime::ZERO),
            unknown: String::new(),
            space: String::new(),
        }
    }

    /// Reads one node. On failure `field` says where.
    pub fn read(&mut self, cursor: &mut Cursor<'t>) -> Read<Node> {
        let mut node = Node { kind: NodeKind::Other("".into()), ..Node::default() };
        let mut raw_target = false;
        self.field = OUTSIDE;
        self.unknown.clear();
        cursor.expect(b'{', "expected a node")?;
        if !cursor.eat(b'}') {
            loop {
                self.member(cursor, &mut node, &mut raw_target)?;
                if !cursor.more(b'}')? {
                    break;
                }
            }
        }
        self.field = OUTSIDE;
        if !self.unknown.is_empty() {
            node.unknown = Some(self.unknown.as_str().into());
        }
        Ok(node)
    }

    fn member(
        &mut self,
        cursor: &mut Cursor<'t>,
        node: &mut Node,
        raw_target: &mut bool,
    ) -> Read<()> {
        cursor.peek();
        let start = cursor.at();
        let key = cursor.key()?;
        let Some((name, field)) = self.keys.find(key.text(&mut self.space)) else {
            self.field = "(unknown)";
            cursor.skip_value()?;
            let comma = if self.unknown.is_empty() { "" } else { "," };
            self.unknown.extend([comma, cursor.since(start)]);
            return Ok(());
        };
        self.field = name;
        if cursor.eat_word("null") {
            return Ok(());
        }
        match field {
            Field::Name => node.name = self.name(cursor)?,
            Field::Type => node.kind = NodeKind::from_text(self.text(cursor)?),
            Field::Mode => node.mode = GoMode(small(cursor)?),
            Field::Mtime => node.mtime = self.time(cursor)?,
            Field::Atime => node.atime = self.time(cursor)?,
            Field::Ctime => node.ctime = self.time(cursor)?,
            Field::Uid => node.uid = small(cursor)?,
            Field::Gid => node.gid = small(cursor)?,
            Field::User => {
                node.user = shared(&mut self.user, cursor.string()?.text(&mut self.space))
            }
            Field::Group => {
                node.group = shared(&mut self.group, cursor.string()?.text(&mut self.space))
            }
            Field::Inode => node.inode = cursor.unsigned()?,
            Field::DeviceId => node.device_id = cursor.unsigned()?,
            Field::Size => node.size = cursor.unsigned()?,
            Field::Links => node.links = cursor.unsigned()?,
            // The bytes win over the text, whichever comes first.
            Field::LinkTarget if *raw_target => drop(cursor.string()?),
            Field::LinkTarget => node.linktarget = self.text(cursor)?.as_bytes().to_vec(),
            Field::LinkTargetRaw => {
                node.linktarget = self.bytes(cursor)?;
                *raw_target = true;
            }
            Field::ExtendedAttributes => node.extended_attributes = self.attributes(cursor)?,
            Field::GenericAttributes => node.generic_attributes = Some(generic(cursor)?),
            Field::Device => node.device = cursor.unsigned()?,
            Field::Content => node.content = Some(content(cursor)?),
            Field::Subtree => node.subtree = Some(blob_id(cursor)?),
            Field::Error => {
                node.error =
                    Some(self.text(cursor)?).filter(|text| !text.is_empty()).map(Into::into);
            }
        }
        Ok(())
    }

    fn text<'s>(&'s mut self, cursor: &mut Cursor<'t>) -> Read<&'s str>
    where
        't: 's,
    {
        Ok(cursor.string()?.text(&mut self.space))
    }

    fn name(&mut self, cursor: &mut Cursor<'t>) -> Read<Vec<u8>> {
        let raw = cursor.string()?;
        if !raw.escaped {
            return Ok(raw.raw.as_bytes().to_vec());
        }
        let mut name = Vec::with_capacity(raw.raw.len());
        let text = raw.text(&mut self.space);
        quote::unquote(text, &mut name)
            .ok_or_else(|| cursor.fault("the name is not quoted as it should be"))?;
        Ok(name)
    }

    fn time(&mut self, cursor: &mut Cursor<'t>) -> Read<GoTime> {
        let raw = cursor.string()?;
        if raw.raw == self.time.0 {
            return Ok(self.time.1);
        }
        let time =
            time_read::read(raw.text(&mut self.space)).ok_or_else(|| cursor.fault("not a time"))?;
        self.time = (raw.raw, time);
        Ok(time)
    }

    fn bytes(&mut self, cursor: &mut Cursor<'t>) -> Read<Vec<u8>> {
        let raw = cursor.string()?;
        self.base64(raw).ok_or_else(|| cursor.fault("not base64"))
    }

    fn base64(&mut self, raw: RawStr<'t>) -> Option<Vec<u8>> {
        BASE64.decode(raw.text(&mut self.space)).ok()
    }

    fn attributes(&mut self, cursor: &mut Cursor<'t>) -> Read<Vec<ExtendedAttribute>> {
        list(cursor, |cursor| {
            let mut attribute = ExtendedAttribute::default();
            cursor.expect(b'{', "expected an extended attribute")?;
            if cursor.eat(b'}') {
                return Ok(attribute);
            }
            loop {
                let key = cursor.key()?;
                match key.raw {
                    _ if cursor.eat_word("null") => (),
                    "name" => attribute.name = self.text(cursor)?.as_bytes().to_vec(),
                    "value" => attribute.value = Some(self.bytes(cursor)?),
                    _ => drop(cursor.skip_value()?),
                }
                if !cursor.more(b'}')? {
                    return Ok(attribute);
                }
            }
        })
    }
}

/// A number that fits 32 bits.
fn small(cursor: &mut Cursor<'_>) -> Read<u32> {
    let before = cursor.fault("number too large");
    u32::try_from(cursor.unsigned()?).map_err(|_| before)
}

/// The text, as the same copy as last time if it is the same. Empty is none.
fn shared(last: &mut Option<Arc<str>>, text: &str) -> Option<Arc<str>> {
    if text.is_empty() {
        return None;
    }
    if last.as_deref() != Some(text) {
        *last = Some(text.into());
    }
    last.clone()
}

fn generic(cursor: &mut Cursor<'_>) -> Read<Box<str>> {
    if cursor.peek() != Some(b'{') {
        return Err(cursor.fault("expected an object"));
    }
    Ok(cursor.skip_value()?.into())
}

fn blob_id(cursor: &mut Cursor<'_>) -> Read<BlobId> {
    let before = cursor.fault("expected an id of 64 hexadecimal digits");
    read_id(cursor.string()?.raw).ok_or(before)
}

fn content(cursor: &mut Cursor<'_>) -> Read<Vec<BlobId>> {
    list(cursor, blob_id)
}

fn list<'t, T>(
    cursor: &mut Cursor<'t>,
    mut one: impl FnMut(&mut Cursor<'t>) -> Read<T>,
) -> Read<Vec<T>> {
    cursor.expect(b'[', "expected a list")?;
    let mut all = Vec::new();
    if cursor.eat(b']') {
        return Ok(all);
    }
    loop {
        all.push(one(cursor)?);
        if !cursor.more(b']')? {
            return Ok(all);
        }
    }
}
