//! Rows as the table that `show()` and the console sink print.
//!
//! Widths are counted as Spark counts them: in UTF-16 units, wide characters of East Asian scripts twice. Control characters
//! are written as escapes, so that a cell never breaks the layout. Not here: which rows, and how values become text
//! ([`crate::text::show_strings`]).

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::condition::SparkError;
use crate::text::show_strings;
use crate::types::escape_control_characters;
use crate::zone::Zone;

/// The least width of a column.
const WIDTH_MIN: usize = 3;

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// At most this many rows; if there are more, a last line says so.
    pub rows_max: usize,
    /// Longer cells are cut to this length, and all are aligned right; 0 keeps them, aligned left.
    pub truncate: usize,
    /// One line per cell.
    pub vertical: bool,
}

/// Column names and cells as text; a row more than is shown tells that there are more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    /// The first rows of `batches`, of which all have the columns of `schema`, their cells cut and escaped.
    ///
    /// # Errors
    /// A type that has no text.
    pub fn of(schema: &Schema, batches: &[RecordBatch], zone: &Zone, layout: &Layout) -> Result<Self, SparkError> {
        let header = schema.fields().iter().map(|field| escape_control_characters(field.name())).collect();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for batch in batches {
            let wanted = layout.rows_max.saturating_add(1).saturating_sub(rows.len()).min(batch.num_rows());
            let batch = batch.slice(0, wanted);
            let first = rows.len();
            rows.resize_with(first + wanted, || Vec::with_capacity(batch.num_columns()));
            for column in batch.columns() {
                let texts = show_strings(column.as_ref(), zone)?;
                for (row, text) in rows.iter_mut().skip(first).zip(&texts) {
                    row.push(cut(&escape_control_characters(text.unwrap_or("NULL")), layout.truncate));
                }
            }
        }
        Ok(Self { header, rows })
    }

    /// The table as text.
    pub fn text(&self, layout: &Layout) -> String {
        let shown = self.rows.get(..layout.rows_max).unwrap_or(&self.rows);
        let mut out = String::new();
        if layout.vertical {
            self.write_records(shown, &mut out)
        } else {
            self.write_table(shown, layout, &mut out)
        }
        if layout.vertical && shown.is_empty() {
            out.push_str("(0 rows)\n");
        } else {
            self.write_footer(layout, &mut out);
        }
        out
    }

    /// The table as HTML.
    pub fn html(&self, layout: &Layout) -> String {
        let shown = self.rows.get(..layout.rows_max).unwrap_or(&self.rows);
        let line = |cells: &[String], tag: &str| {
            let cells: Vec<String> = cells.iter().map(|cell| html_escaped(cell)).collect();
            format!("<tr><{tag}>{}</{tag}></tr>\n", cells.join(&format!("</{tag}><{tag}>")))
        };
        let mut out = String::from("<table border='1'>\n");
        out.push_str(&line(&self.header, "th"));
        shown.iter().for_each(|row| out.push_str(&line(row, "td")));
        out.push_str("</table>\n");
        self.write_footer(layout, &mut out);
        out
    }

    fn write_footer(&self, layout: &Layout, out: &mut String) {
        if self.rows.len() > layout.rows_max {
            let noun = if layout.rows_max == 1 { "row" } else { "rows" };
            out.push_str(&format!("only showing top {} {noun}\n", layout.rows_max));
        }
    }

    fn write_table(&self, shown: &[Vec<String>], layout: &Layout, out: &mut String) {
        let mut widths: Vec<usize> = self.header.iter().map(|name| width(name).max(WIDTH_MIN)).collect();
        for row in shown {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = (*wide).max(width(cell));
            }
        }
        let dashes: Vec<String> = widths.iter().map(|wide| "-".repeat(*wide)).collect();
        let rule = format!("+{}+\n", dashes.join("+"));
        let write_line = |cells: &[String], out: &mut String| {
            out.push('|');
            for (i, (cell, wide)) in cells.iter().zip(&widths).enumerate() {
                if i > 0 {
                    out.push('|');
                }
                pad(cell, *wide, layout.truncate > 0, out);
            }
            out.push_str("|\n");
        };
        out.push_str(&rule);
        write_line(&self.header, out);
        out.push_str(&rule);
        shown.iter().for_each(|row| write_line(row, out));
        out.push_str(&rule);
    }

    fn write_records(&self, shown: &[Vec<String>], out: &mut String) {
        let widest = |cells: &[String]| cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
        let names = widest(&self.header).max(WIDTH_MIN);
        let values = shown.iter().map(|row| widest(row)).max().unwrap_or(0).max(WIDTH_MIN);
        for (i, row) in shown.iter().enumerate() {
            // Five more: the blanks and the bar between and around both.
            out.push_str(&format!("{:-<1$}\n", format!("-RECORD {i}"), names + values + 5));
            for (name, cell) in self.header.iter().zip(row) {
                out.push(' ');
                pad(name, names, false, out);
                out.push_str(" | ");
                pad(cell, values, false, out);
                out.push_str(" \n");
            }
            if row.is_empty() {
                out.push('\n');
            }
        }
    }
}

/// Writes a cell with blanks up to a width.
fn pad(cell: &str, wide: usize, right: bool, out: &mut String) {
    let blanks = wide.saturating_sub(width(cell));
    if right {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
    out.push_str(cell);
    if !right {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
}

/// Cells that a text takes on a terminal, by Spark's count.
fn width(text: &str) -> usize {
    text.chars().map(|c| c.len_utf16() + usize::from(is_wide(c))).sum()
}

fn is_wide(c: char) -> bool {
    matches!(
        c,
        '\u{1100}'..='\u{115F}'
            | '\u{2E80}'..='\u{A4CF}'
            | '\u{AC00}'..='\u{D7A3}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{FE30}'..='\u{FE6F}'
            | '\u{FF00}'..='\u{FF60}'
            | '\u{FFE0}'..='\u{FFE6}'
    )
}

/// A text no longer than `length` UTF-16 units, with dots at the end if there is room for them; 0 keeps all of it.
fn cut(text: &str, length: usize) -> String {
    let units = |text: &str| text.chars().map(char::len_utf16).sum::<usize>();
    if length == 0 || text.len() <= length || units(text) <= length {
        return text.to_string();
    }
    let (kept, dots) = if length < 4 { (length, "") } else { (length - 3, "...") };
    let mut taken = 0;
    let head = text.chars().take_while(|c| {
        taken += c.len_utf16();
        taken <= kept
    });
    head.chain(dots.chars()).collect()
}

fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(header: &[&str], rows: &[&[&str]], layout: &Layout) -> Cells {
        let own = |cells: &[&str]| cells.iter().map(|c| cut(&escape_control_characters(c), layout.truncate)).collect();
        Cells {
            header: header.iter().map(|c| escape_control_characters(c)).collect(),
            rows: rows.iter().map(|r| own(r)).collect(),
        }
    }

    const CUT: Layout = Layout { rows_max: 20, truncate: 20, vertical: false };

    #[test]
    fn cut_cells_stand_right_and_names_are_never_cut() {
        let long = "a_name_of_more_than_twenty_characters";
        let shown = cells(&["a", long], &[&["1", "twenty characters and more"]], &CUT).text(&CUT);
        let rule = format!("+---+{}+\n", "-".repeat(long.len()));
        assert_eq!(shown, format!("{rule}|  a|{long}|\n{rule}|  1|{:>37}|\n{rule}", "twenty characters..."));
    }

    #[test]
    fn whole_cells_stand_left_and_wide_characters_take_two_places() {
        let layout = Layout { truncate: 0, ..CUT };
        let shown = cells(&["k"], &[&["日本"], &["a\tb"]], &layout).text(&layout);
        assert_eq!(shown, "+----+\n|k   |\n+----+\n|日本|\n|a\\tb|\n+----+\n");
    }

    #[test]
    fn a_row_too_many_is_told() {
        let layout = Layout { rows_max: 1, ..CUT };
        let shown = cells(&["k"], &[&["1"], &["2"]], &layout).text(&layout);
        assert_eq!(shown, "+---+\n|  k|\n+---+\n|  1|\n+---+\nonly showing top 1 row\n");
        assert_eq!(cells(&["k"], &[], &CUT).text(&CUT), "+---+\n|  k|\n+---+\n+---+\n");
    }

    #[test]
    fn records_stand_below_each_other() {
        let layout = Layout { vertical: true, rows_max: 1, ..CUT };
        let shown = cells(&["name", "n"], &[&["alpha", "1"], &["b", "2"]], &layout).text(&layout);
        assert_eq!(shown, "-RECORD 0-----\n name | alpha \n n    | 1     \nonly showing top 1 row\n");
        assert_eq!(cells(&["k"], &[], &layout).text(&layout), "(0 rows)\n");
    }

    #[test]
    fn html_escapes_what_is_markup() {
        let shown = cells(&["a<b"], &[&["&"]], &CUT).html(&CUT);
        assert_eq!(shown, "<table border='1'>\n<tr><th>a&lt;b</th></tr>\n<tr><td>&amp;</td></tr>\n</table>\n");
    }

    #[test]
    fn short_limits_cut_without_dots() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("abcdef", 4), "a...");
        assert_eq!(cut("日本語日本語", 5), "日本...");
    }
}
