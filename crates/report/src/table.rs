//! Aligned columns: numbers right, names left; the last column is never padded, so that nothing trails.

use crate::Style;

/// Rows of text under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    align: Align,
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// An empty table; `columns` are names with their alignment.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| Column { name, align: *align }).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, each line ended, nothing without rows. Columns in which no row has anything are left out.
    pub(crate) fn text(&self, style: &Style) -> String {
        if self.is_empty() {
            return String::new();
        }
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|&i| self.rows.iter().any(|row| !row[i].is_empty())).collect();
        let widths: Vec<usize> = shown.iter().map(|&i| self.width(i)).collect();
        let mut text = String::new();
        let names: Vec<&str> = shown.iter().map(|&i| self.columns[i].name).collect();
        text.push_str(&style.dim(&self.line(&names, &shown, &widths)));
        text.push('\n');
        for row in &self.rows {
            let cells: Vec<&str> = shown.iter().map(|&i| row[i].as_str()).collect();
            text.push_str(&self.line(&cells, &shown, &widths));
            text.push('\n');
        }
        text
    }

    /// Where the last column begins, in characters.
    pub(crate) fn last_column_at(&self) -> usize {
        let shown = (0..self.columns.len() - 1).filter(|&i| self.rows.iter().any(|row| !row[i].is_empty()));
        shown.map(|i| self.width(i) + 2).sum()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(self.columns[column].name.chars().count())
    }

    fn line(&self, cells: &[&str], shown: &[usize], widths: &[usize]) -> String {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let pad = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            match self.columns[shown[at]].align {
                Align::Right => line.extend([pad.as_str(), cell]),
                Align::Left => line.extend([cell, pad.as_str()]),
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_nothing_trails() {
        let mut table = Table::new(&[("count", Align::Right), ("gone", Align::Right), ("type", Align::Left)]);
        table.row(vec!["1,234,567".into(), String::new(), "list".into()]);
        table.row(vec!["3".into(), String::new(), "日本".into()]);
        assert_eq!(table.text(&Style::default()), "    count  type\n1,234,567  list\n        3  日本\n");
    }
}
