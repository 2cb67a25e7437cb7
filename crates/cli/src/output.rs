//! Printing: tables for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{CliError, CliResult};

/// Writes to standard output. A reader that has gone away is not a failure.
pub fn print(bytes: &[u8]) -> CliResult<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::failure(
            format!("standard output: {error}"),
            "Check where the output goes and whether there is room.",
        )),
        _ => Ok(()),
    }
}

/// One line of text, of which a terminal obeys nothing.
pub fn line(text: &str) -> CliResult<()> {
    print(format!("{}\n", printable(text)).as_bytes())
}

/// A value as JSON in one line.
pub fn json<T: Serialize>(value: &T) -> CliResult<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    print(&text)
}

/// An answer of the server as it came.
pub fn raw_json(body: &[u8]) -> CliResult<()> {
    print(body)?;
    print(b"\n")
}

/// Which way a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with aligned columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// All lines.
    pub fn render(&self) -> String {
        let heads: Vec<String> = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let widths = self.widths(&heads);
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                match align {
                    Align::Left => line.push_str(&format!("{cell}{pad}  ")),
                    Align::Right => line.push_str(&format!("{pad}{cell}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self, heads: &[String]) -> Vec<usize> {
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    /// Prints it.
    pub fn print(&self) -> CliResult<()> {
        print(self.render().as_bytes())
    }
}

/// Names can hold anything; a terminal shall not obey them.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `name: value` lines, aligned.
pub fn facts(pairs: &[(&str, String)]) -> CliResult<()> {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(name, value)| {
        format!("{name}:{} {}\n", " ".repeat(width - name.chars().count()), printable(value))
    });
    print(lines.collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right)]);
        table.row(["a".into(), "1".into()]);
        table.row(["longer\u{1b}".into(), "12345".into()]);
        assert_eq!(table.render(), "NAME      SIZE\na            1\nlonger\u{fffd}  12345\n");
    }
}
