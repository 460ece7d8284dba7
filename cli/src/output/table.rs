//! Tables and lists for people: aligned by what a terminal shows, not by bytes.

use unicode_width::UnicodeWidthStr as _;

use super::escape;
use super::paint::Paint;

/// A cell: text from anywhere, and how to paint it.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    colour: Colour,
}

/// How a cell is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Not at all.
    Plain,
    /// Less important.
    Dim,
    /// Well.
    Good,
    /// Needs attention.
    Attention,
    /// Went wrong.
    Bad,
}

impl Cell {
    /// A cell with text, which is escaped here.
    pub fn new(text: &str, colour: Colour) -> Self {
        Self {
            text: escape::text(text),
            colour,
        }
    }

    /// The text, or a dash where there is none.
    pub fn or_dash(text: Option<&str>) -> Self {
        match text {
            Some(text) if !text.is_empty() => Self::from(text),
            _ => Self::new("-", Colour::Dim),
        }
    }

    fn painted(&self, paint: Paint) -> String {
        match self.colour {
            Colour::Plain => self.text.clone(),
            Colour::Dim => paint.dim(&self.text),
            Colour::Good => paint.green(&self.text),
            Colour::Attention => paint.yellow(&self.text),
            Colour::Bad => paint.red(&self.text),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Colour::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// Renders rows under headings. The last column is not padded.
pub fn table(headings: &[&str], rows: &[Vec<Cell>], paint: Paint) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    let mut text = String::new();
    let headings = headings
        .iter()
        .map(|heading| (paint.bold(heading), heading.width()));
    line(&mut text, headings, &widths);
    for row in rows {
        let cells = row
            .iter()
            .map(|cell| (cell.painted(paint), cell.text.width()));
        line(&mut text, cells, &widths);
    }
    text
}

fn line(
    text: &mut String,
    cells: impl ExactSizeIterator<Item = (String, usize)>,
    widths: &[usize],
) {
    let last = cells.len().saturating_sub(1);
    for (number, ((shown, width), column)) in cells.zip(widths).enumerate() {
        text.push_str(&shown);
        if number < last {
            text.push_str(&" ".repeat(column.saturating_sub(width) + 2));
        }
    }
    text.push('\n');
}

/// Renders keys with their values, one per line; an indented key belongs to the one before.
pub fn pairs(rows: &[(&str, Cell)], paint: Paint) -> String {
    let width = rows.iter().map(|(key, _)| key.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (key, cell) in rows {
        let gap = " ".repeat(width - key.width() + 2);
        text.push_str(&format!("{}{gap}{}", paint.bold(key), cell.painted(paint)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_foreign_text_is_escaped() {
        let rows = [
            vec!["a".into(), Cell::new("running", Colour::Good), "x".into()],
            vec!["日本".into(), Cell::or_dash(None), "\x1b[2J\n".into()],
            vec!["é".into(), Cell::or_dash(Some("")), "é".into()],
        ];
        insta::assert_snapshot!(table(&["NAME", "STATE", "REPO"], &rows, Paint::plain()), @r"
        NAME  STATE    REPO
        a     running  x
        日本  -        \u{1b}[2J\n
        é     -        é
        ");
        let painted = table(&["NAME", "STATE", "REPO"], &rows[..1], Paint::coloured());
        insta::assert_snapshot!(painted.replace('\x1b', "^"), @r"
        ^[1mNAME^[0m  ^[1mSTATE^[0m    ^[1mREPO^[0m
        a     ^[32mrunning^[0m  x
        ");
        assert_eq!(table(&["A", "B"], &[], Paint::plain()), "A  B\n");
    }

    #[test]
    fn pairs_line_up() {
        let rows = [
            ("state", Cell::from("running")),
            ("repository", "/a b".into()),
        ];
        insta::assert_snapshot!(pairs(&rows, Paint::plain()), @r"
        state       running
        repository  /a b
        ");
        assert_eq!(pairs(&[], Paint::plain()), "");
    }
}
