use std::io::{self, Write};

/// Rows of cells under their heads, in columns as wide as their widest cell.
pub(crate) struct Table {
    heads: Vec<Head>,
    rows: Vec<Vec<String>>,
}

struct Head {
    text: &'static str,
    is_number: bool,
}

impl Table {
    /// Returns a table with these columns; a head that begins with `>` is of a column of numbers.
    pub(crate) fn new(heads: &[&'static str]) -> Table {
        let head = |text: &&'static str| match text.strip_prefix('>') {
            Some(text) => Head {
                text,
                is_number: true,
            },
            None => Head {
                text,
                is_number: false,
            },
        };
        Table {
            heads: heads.iter().map(head).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let heads: Vec<String> = self.heads.iter().map(|head| head.text.to_owned()).collect();
        let widths: Vec<usize> = (0..heads.len())
            .map(|column| {
                let cells = self
                    .rows
                    .iter()
                    .chain([&heads])
                    .filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in [&heads].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, head), width) in row.iter().zip(&self.heads).zip(&widths) {
                if head.is_number {
                    line.push_str(&format!("{cell:>width$}  "));
                } else {
                    line.push_str(&format!("{cell:<width$}  "));
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["RELEASE", ">BYTES", "NOTE"]);
        table.row(["1.0".to_owned(), "5".to_owned(), "é".to_owned()]);
        table.row([
            "2026-autumn".to_owned(),
            "1234567".to_owned(),
            String::new(),
        ]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let expected = "\
RELEASE        BYTES  NOTE
1.0                5  é
2026-autumn  1234567
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
