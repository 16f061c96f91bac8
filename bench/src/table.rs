//! Markdown tables whose columns line up in a terminal too.
//!
//! Lays out text it is given; it formats no figures but for [`figure`], which every table shares so
//! that the same value looks the same everywhere.

use std::fmt;

/// A table: a head and rows of the same width.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(ToString::to_string).collect()],
        }
    }

    /// Adds a row; bars in it are escaped, missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .map(|cell| cell.replace('|', "\\|"))
            .collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no rows but the head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A figure with about three significant digits: `0.0123`, `4.57`, `45.7`, `457`, `45700`.
#[must_use]
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_bars_are_escaped() {
        let mut table = Table::new(&["a", "name"]);
        table.row(["µs".into(), "x|y".into()]);
        table.row(["1".into()]);
        assert_eq!(
            table.to_string(),
            "| a   | name |\n|-----|------|\n| µs  | x\\|y |\n| 1   |      |\n"
        );
    }

    #[test]
    fn figures_keep_three_digits() {
        let shown: Vec<String> = [0.0, 0.0123, 0.5, 4.567, 45.67, 456.7].map(figure).into();
        assert_eq!(shown, ["0", "0.0123", "0.50", "4.57", "45.7", "457"]);
    }
}
