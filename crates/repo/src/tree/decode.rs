//! Reads trees node by node, without a value tree in between: directories with hundreds of megabytes of nodes exist.
//!
//! Trees come from repositories that others can write. Whatever the bytes are, the answer is a node or an error that says where;
//! depth is limited, and memory stays in proportion to one node. Names that could lead out of a directory are refused unless the
//! caller asks to see them.

use super::encode::encode_tree;
use super::error::{NameProblem, TreeError, TreeProblem};
use super::node::Node;
use super::read_node::{NodeReader, OUTSIDE};
use crate::json::cursor::{Cursor, Fault};

/// Problems kept by a tolerant decoder. More of them tell nobody more.
const PROBLEMS_MAX: usize = 100;

/// Yields the nodes of a tree. Ends behind the first error.
pub struct TreeDecoder<'t> {
    cursor: Result<Cursor<'t>, Fault>,
    state: State,
    reader: NodeReader<'t>,
    tolerant: bool,
    entry: usize,
    /// Name of the last node. Meaningless before the first one.
    previous: Vec<u8>,
    problems: Vec<TreeProblem>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Nodes,
    Done,
}

impl<'t> TreeDecoder<'t> {
    /// Refuses wrong names and wrong order with [`TreeError::Entry`].
    pub fn new(bytes: &'t [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            state: State::Start,
            reader: NodeReader::new(),
            tolerant: false,
            entry: 0,
            previous: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Yields nodes with wrong names or in wrong order too and tells of them in [`problems`](Self::problems). For checks and repairs:
    /// such names must never be used as names of files.
    pub fn tolerant(bytes: &'t [u8]) -> Self {
        Self { tolerant: true, ..Self::new(bytes) }
    }

    /// What was tolerated so far, at most 100 of them.
    pub fn problems(&self) -> &[TreeProblem] {
        &self.problems
    }

    /// The next node; `None` behind the last one.
    fn step(&mut self) -> Result<Option<Node>, TreeError> {
        let (entry, field) = (self.entry, self.reader.field);
        let cursor = self.cursor.as_mut().map_err(|fault| syntax(*fault, entry, field))?;
        let more = match self.state {
            State::Start => start(cursor),
            State::Nodes => cursor.more(b']'),
            State::Done => return Ok(None),
        };
        if !more.map_err(|fault| syntax(fault, entry, OUTSIDE))? {
            self.state = State::Done;
            finish(cursor).map_err(|fault| syntax(fault, entry, OUTSIDE))?;
            return Ok(None);
        }
        self.state = State::Nodes;
        let node = self.reader.read(cursor);
        let node = node.map_err(|fault| syntax(fault, entry, self.reader.field))?;
        self.judge(&node)?;
        self.entry += 1;
        Ok(Some(node))
    }

    /// Looks at the name and its place.
    fn judge(&mut self, node: &Node) -> Result<(), TreeProblem> {
        let previous = (self.entry > 0).then_some(&self.previous[..]);
        let found = [NameProblem::of_name(&node.name), NameProblem::of_order(previous, &node.name)];
        for problem in found.into_iter().flatten() {
            let problem = TreeProblem { entry: self.entry, name: node.name.clone(), problem };
            if !self.tolerant {
                return Err(problem);
            }
            if self.problems.len() < PROBLEMS_MAX {
                self.problems.push(problem);
            }
        }
        self.previous.clear();
        self.previous.extend_from_slice(&node.name);
        Ok(())
    }
}

impl Iterator for TreeDecoder<'_> {
    type Item = Result<Node, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.state = State::Done;
        }
        step.transpose()
    }
}

/// Reads up to the first node. `false`: there is none, and the list is behind.
fn start(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    cursor.expect(b'{', "expected a tree")?;
    loop {
        if cursor.key()?.raw == OUTSIDE {
            break;
        }
        cursor.skip_value()?;
        cursor.expect(b',', "there is no list of nodes")?;
    }
    if cursor.eat_word("null") {
        return Ok(false);
    }
    cursor.expect(b'[', "expected the list of nodes")?;
    Ok(!cursor.eat(b']'))
}

/// Reads from behind the list to the end.
fn finish(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    while cursor.more(b'}')? {
        if cursor.key()?.raw == OUTSIDE {
            return Err(cursor.fault("a second list of nodes"));
        }
        cursor.skip_value()?;
    }
    cursor.end()
}

fn syntax(fault: Fault, entry: usize, field: &'static str) -> TreeError {
    TreeError::Syntax { position: fault.at, entry, field, reason: fault.reason }
}

/// All nodes of a tree, strictly read.
pub fn decode_tree(bytes: &[u8]) -> Result<Vec<Node>, TreeError> {
    TreeDecoder::new(bytes).collect()
}

/// Whether the tree would be written just like this: nothing is lost when it is read, changed and written, and restic can rewrite it.
pub fn reencodes_identically(bytes: &[u8]) -> Result<bool, TreeError> {
    Ok(encode_tree(&decode_tree(bytes)?)? == bytes)
}
