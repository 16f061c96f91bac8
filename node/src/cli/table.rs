//! Aligned columns for people: as wide as their widest cell, counted in characters.
//! Nothing is cut.

/// `rows` under `head`, each column as wide as its widest cell, two blanks apart.
pub(crate) fn render<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let mut width = [0; N];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in width.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let cells = row
            .iter()
            .zip(width)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["longer".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            render(["NAME", "N"], &rows),
            "NAME    N\na       1\nlonger  2\n"
        );
    }
}
