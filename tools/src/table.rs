//! A table, for a terminal and as Markdown.

/// Rows under a header; the first column is names, the others are figures.
#[derive(Debug)]
pub(crate) struct TextTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.header.len());
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns as wide as they need to be: names to the left, figures to the right.
    pub(crate) fn terminal(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.header).chain(&self.rows).collect();
        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            text += &format!("{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                text += &format!("  {cell:>width$}");
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = markdown_row(&self.header);
        text += "|---|";
        text += &"---:|".repeat(self.header.len() - 1);
        text.push('\n');
        for row in &self.rows {
            text += &markdown_row(row);
        }
        text
    }
}

fn markdown_row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TextTable {
        let mut table = TextTable::new(&["", "cpu %", "µs"]);
        table.add(vec!["server-1".to_owned(), "99.5".to_owned(), "1234.5".to_owned()]);
        table.add(vec!["a|b".to_owned(), "1.0".to_owned(), "2.0".to_owned()]);
        table
    }

    #[test]
    fn columns_are_aligned_in_a_terminal() {
        assert_eq!(
            table().terminal(),
            "          cpu %      µs\nserver-1   99.5  1234.5\na|b         1.0     2.0\n"
        );
    }

    #[test]
    fn markdown_keeps_bars_out_of_cells() {
        assert_eq!(
            table().markdown(),
            "|  | cpu % | µs |\n|---|---:|---:|\n| server-1 | 99.5 | 1234.5 |\n| a\\|b | 1.0 | 2.0 |\n"
        );
    }
}
