//! Columns of text, aligned: the first to the left, the others to the right.

use std::io::{self, Write};

/// Writes a heading and the rows below it; nothing when there are no rows.
pub(super) fn write_table<const N: usize>(
    out: &mut impl Write,
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    // Clients choose topics and identifiers: what they put there must not steer the operator's terminal.
    let shown = |cell: String| cell.replace(char::is_control, "\u{FFFD}");
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(shown)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut widths = heading.map(|name| name.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    writeln!(out)?;
    write_row(out, widths, &heading.map(str::to_owned))?;
    rows.iter().try_for_each(|row| write_row(out, widths, row))
}

fn write_row<const N: usize>(out: &mut impl Write, widths: [usize; N], row: &[String; N]) -> io::Result<()> {
    for (column, (width, cell)) in widths.into_iter().zip(row).enumerate() {
        match column {
            0 => write!(out, "{cell:width$}")?,
            _ => write!(out, "  {cell:>width$}")?,
        }
    }
    writeln!(out)
}
