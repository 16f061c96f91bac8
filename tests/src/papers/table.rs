//! A table of figures: columns with units, and rows. One form for the console and Markdown, one for
//! CSV. It lays out what it is given and judges nothing.

use std::fmt;

/// Columns with units, and rows.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    name: String,
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Column {
    name: String,
    unit: String,
}

/// What stands in a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Nothing was measured, or there is nothing to compare with.
    Empty,
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with so many decimals; CSV has it in full.
    Figure(f64, u8),
}

impl Table {
    /// A table without rows. `name` also names its CSV file; a column is its name and its unit,
    /// which may be empty.
    #[must_use]
    pub fn new(name: &str, title: &str, columns: &[(&str, &str)]) -> Self {
        let column = |(name, unit): &(&str, &str)| Column {
            name: (*name).to_owned(),
            unit: (*unit).to_owned(),
        };
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has not one cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Its name, which is also that of its CSV file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows, in words.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Comma-separated values with a head, as RFC 4180 has them; units stand in the head.
    #[must_use]
    pub fn csv(&self) -> String {
        let head = self.columns.iter().map(Column::head);
        let head: Vec<String> = head.map(|head| quoted(&head)).collect();
        let mut text = head.join(",");
        for row in &self.rows {
            let row: Vec<String> = row.iter().map(|cell| quoted(&cell.full())).collect();
            text.push('\n');
            text.push_str(&row.join(","));
        }
        text.push('\n');
        text
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let head = self.columns.iter().map(Column::head).collect();
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.iter().map(ToString::to_string).collect());
        let lines = std::iter::once(head).chain(rows);
        let escape = |line: Vec<String>| line.iter().map(|cell| cell.replace('|', "\\|")).collect();
        lines.map(escape).collect()
    }
}

/// Markdown whose columns line up in a terminal too; numbers stand to the right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for (index, line) in lines.iter().enumerate() {
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                match self.is_text(column) {
                    true => write!(f, "| {cell:width$} ")?,
                    false => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let end = if self.is_text(column) { '-' } else { ':' };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn is_text(&self, column: usize) -> bool {
        self.rows
            .iter()
            .any(|row| matches!(row[column], Cell::Text(_)))
    }
}

impl Column {
    fn head(&self) -> String {
        match &*self.unit {
            "" => self.name.clone(),
            unit => format!("{} ({unit})", self.name),
        }
    }
}

impl Cell {
    /// A figure, or nothing.
    #[must_use]
    pub fn maybe(figure: Option<f64>, decimals: u8) -> Self {
        figure.map_or(Self::Empty, |figure| Self::Figure(figure, decimals))
    }

    fn full(&self) -> String {
        match self {
            Self::Figure(figure, _) => figure.to_string(),
            other => other.to_string(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            Self::Figure(figure, decimals) => {
                write!(f, "{figure:.decimals$}", decimals = usize::from(*decimals))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(
            "t",
            "A table.",
            &[("N", "nodes"), ("mean", ""), ("what", "")],
        );
        table.row([
            Cell::Count(128),
            Cell::Figure(3.389_5, 2),
            "a, \"b\"|c".into(),
        ]);
        table.row([Cell::Count(7), Cell::maybe(None, 2), "d".into()]);
        table
    }

    #[test]
    fn markdown_lines_up_with_numbers_to_the_right() {
        assert_eq!(
            table().to_string(),
            "| N (nodes) | mean | what      |\n\
             |----------:|-----:|-----------|\n\
             |       128 | 3.39 | a, \"b\"\\|c |\n\
             |         7 |      | d         |\n"
        );
    }

    #[test]
    fn csv_keeps_every_digit_and_quotes_what_needs_it() {
        let csv = "N (nodes),mean,what\n128,3.3895,\"a, \"\"b\"\"|c\"\n7,,d\n";
        assert_eq!(table().csv(), csv);
    }
}
