//! Writes trees: `{"nodes":[...]}` and a line feed, byte for byte as Go's `encoding/json` does it for restic.
//!
//! Everything goes straight into one buffer; a backup writes each directory anew to learn its id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{NameProblem, TreeError, TreeProblem};
use super::hex::push_id;
use super::node::{ExtendedAttribute, Node};
use crate::json::GoTime;
use crate::json::number::push_decimal;
use crate::json::quote::push_quoted;
use crate::json::string::push_string;

const START: &[u8] = b"{\"nodes\":[";
const END: &[u8] = b"]}\n";

/// Writes one tree, node after node.
pub struct TreeEncoder {
    out: Vec<u8>,
    /// Name of the last node. Meaningless before the first one.
    last: Vec<u8>,
    count: usize,
}

impl Default for TreeEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeEncoder {
    /// An empty tree.
    pub fn new() -> Self {
        Self::in_buffer(Vec::with_capacity(4096))
    }

    /// An empty tree in a buffer that had another use; what it holds is dropped.
    pub fn in_buffer(mut out: Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(START);
        Self { out, last: Vec::new(), count: 0 }
    }

    /// Nodes written so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Appends a node. Its name must be one that a directory can hold and come behind the last one's; otherwise nothing is written.
    pub fn push(&mut self, node: &Node) -> Result<(), TreeError> {
        let previous = (self.count > 0).then_some(&self.last[..]);
        let problem = NameProblem::of_name(&node.name)
            .or_else(|| NameProblem::of_order(previous, &node.name));
        if let Some(problem) = problem {
            return Err(TreeProblem { entry: self.count, name: node.name.clone(), problem }.into());
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        push_node(&mut self.out, node);
        self.last.clear();
        self.last.extend_from_slice(&node.name);
        self.count += 1;
        Ok(())
    }

    /// The blob's plain bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(END);
        self.out
    }
}

/// The tree of these nodes, which must be sorted by name.
pub fn encode_tree<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> Result<Vec<u8>, TreeError> {
    let mut encoder = TreeEncoder::new();
    for node in nodes {
        encoder.push(node)?;
    }
    Ok(encoder.finish())
}

fn push_node(out: &mut Vec<u8>, node: &Node) {
    out.extend_from_slice(b"{\"name\":");
    push_quoted(out, &node.name);
    out.extend_from_slice(b",\"type\":");
    push_string(out, node.kind.as_str().as_bytes());
    number_unless_zero(out, b",\"mode\":", u64::from(node.mode.0));
    push_times(out, node);
    number(out, b",\"uid\":", u64::from(node.uid));
    number(out, b",\"gid\":", u64::from(node.gid));
    text_unless_empty(out, b",\"user\":", node.user.as_deref().unwrap_or_default());
    text_unless_empty(out, b",\"group\":", node.group.as_deref().unwrap_or_default());
    number_unless_zero(out, b",\"inode\":", node.inode);
    number_unless_zero(out, b",\"device_id\":", node.device_id);
    number_unless_zero(out, b",\"size\":", node.size);
    number_unless_zero(out, b",\"links\":", node.links);
    push_link_target(out, &node.linktarget);
    push_attributes(out, &node.extended_attributes);
    if let Some(raw) = &node.generic_attributes {
        out.extend_from_slice(b",\"generic_attributes\":");
        out.extend_from_slice(raw.as_bytes());
    }
    number_unless_zero(out, b",\"device\":", node.device);
    push_content(out, node);
    text_unless_empty(out, b",\"error\":", node.error.as_deref().unwrap_or_default());
    if let Some(members) = &node.unknown {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'}');
}

fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    push_decimal(out, value);
}

fn number_unless_zero(out: &mut Vec<u8>, key: &[u8], value: u64) {
    if value != 0 {
        number(out, key, value);
    }
}

fn text_unless_empty(out: &mut Vec<u8>, key: &[u8], text: &str) {
    if !text.is_empty() {
        out.extend_from_slice(key);
        push_string(out, text.as_bytes());
    }
}

/// The three times. Most nodes have one and the same more than once, which is copied then.
fn push_times(out: &mut Vec<u8>, node: &Node) {
    out.extend_from_slice(b",\"mtime\":\"");
    let start = out.len();
    node.mtime.push_text(out);
    let mtime = start..out.len();
    let mut push = |key: &[u8], time: &GoTime| {
        out.extend_from_slice(key);
        if *time == node.mtime {
            out.extend_from_within(mtime.clone());
        } else {
            time.push_text(out);
        }
    };
    push(b"\",\"atime\":\"", &node.atime);
    push(b"\",\"ctime\":\"", &node.ctime);
    out.push(b'"');
}

/// The target as text, and as bytes too where the text loses something.
fn push_link_target(out: &mut Vec<u8>, target: &[u8]) {
    if target.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"linktarget\":");
    push_string(out, target);
    if std::str::from_utf8(target).is_err() {
        out.extend_from_slice(b",\"linktarget_raw\":");
        push_base64(out, target);
    }
}

fn push_attributes(out: &mut Vec<u8>, attributes: &[ExtendedAttribute]) {
    let mut start: &[u8] = b",\"extended_attributes\":[{\"name\":";
    for attribute in attributes {
        out.extend_from_slice(start);
        start = b",{\"name\":";
        push_string(out, &attribute.name);
        out.extend_from_slice(b",\"value\":");
        match &attribute.value {
            Some(value) => push_base64(out, value),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    if !attributes.is_empty() {
        out.push(b']');
    }
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let space = out.get_mut(start..).unwrap_or_default();
    // The space is as large as the text by construction.
    let written = BASE64.encode_slice(bytes, space).unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

fn push_content(out: &mut Vec<u8>, node: &Node) {
    out.extend_from_slice(b",\"content\":");
    match &node.content {
        None => out.extend_from_slice(b"null"),
        Some(content) => {
            out.push(b'[');
            for (place, id) in content.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                push_id(out, id);
            }
            out.push(b']');
        }
    }
    if let Some(tree) = &node.subtree {
        out.extend_from_slice(b",\"subtree\":");
        push_id(out, tree);
    }
}
