//! The two channels: data goes to stdout, talk goes to stderr.
//!
//! A reader that went away (`| head`) is not an error of ours.

use std::io::Write as _;

use crate::exit::{Exit, Failure};

/// A line of data, on the way to more.
pub fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The data a command was asked for: if it cannot be written, the command has failed.
pub fn data(text: &str) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::internal(
            anyhow::anyhow!("the output cannot be written: {error}"),
        )),
        _ => Ok(Exit::Completed),
    }
}

/// A line for the person at the terminal.
pub fn talk(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Left-aligned columns, three spaces apart, as kubectl prints them.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:<width$}   ", width = *width));
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns_and_ends_lines_without_blanks() {
        let rows = vec![
            vec!["a".to_owned(), "RUNNING".to_owned()],
            vec!["long-name".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "STATE"], &rows),
            "NAME        STATE\na           RUNNING\nlong-name"
        );
    }
}
