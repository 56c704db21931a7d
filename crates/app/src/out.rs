//! What commands print: data on stdout, messages on stderr, for people first and for programs on request.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::environment;
use crate::exit::{Exit, Failure};

#[derive(Debug, Clone, Copy)]
pub struct Out {
    pub json: bool,
    pub columns: usize,
}

impl Out {
    pub fn new(json: bool) -> Self {
        Self { json, columns: environment::columns() }
    }

    /// One line, or several, of data.
    pub fn line(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        write_stdout(text.as_ref(), true)
    }

    /// Data as it is, without a line end of ours.
    pub fn raw(&self, text: &str) -> anyhow::Result<()> {
        write_stdout(text, false)
    }

    /// One JSON document on one line.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// A message for people; programs that read stdout do not see it.
    pub fn note(&self, text: impl AsRef<str>) {
        // Nobody reads stderr any more: nothing is lost by going on.
        let _gone = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    /// The result of an act: the JSON for programs, the sentence for people.
    pub fn done(&self, value: &Value, sentence: impl AsRef<str>) -> anyhow::Result<()> {
        if self.json { self.json(value) } else { self.line(sentence) }
    }

    pub fn table(&self, table: &Table, value: &Value) -> anyhow::Result<()> {
        if self.json {
            return self.json(value);
        }
        if table.rows.is_empty() {
            self.note(table.empty);
            return Ok(());
        }
        self.raw(&table.render(self.columns))
    }
}

fn write_stdout(text: &str, line_end: bool) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let end = if line_end { "\n" } else { "" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        // `cardea … | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Rows under headings. Where they do not fit beside each other, each row becomes a small list.
#[derive(Debug, Clone)]
pub struct Table {
    pub headings: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    /// What to say, and what to do first, when there are no rows.
    pub empty: &'static str,
}

impl Table {
    pub fn render(&self, columns: usize) -> String {
        let widths = self.widths();
        let gaps = widths.len().saturating_sub(1).saturating_mul(2);
        if widths.iter().sum::<usize>().saturating_add(gaps) <= columns {
            self.side_by_side(&widths)
        } else {
            self.one_by_one(columns)
        }
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |text| text.chars().count());
        self.headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                self.rows.iter().map(|row| cell(row, column)).fold(heading.chars().count(), usize::max)
            })
            .collect()
    }

    fn side_by_side(&self, widths: &[usize]) -> String {
        let mut out = String::new();
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_uppercase()).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }

    fn one_by_one(&self, columns: usize) -> String {
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            for (heading, cell) in self.headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
                let lead = format!("{heading}: ");
                out.push_str(&wrapped(&lead, cell, columns));
            }
        }
        out
    }
}

/// `lead` and `text`, broken into lines of at most `columns`, later lines indented by two.
fn wrapped(lead: &str, text: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut line = lead.to_owned();
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let begun = line.trim_end().chars().count() > 2;
            let room = columns.saturating_sub(line.chars().count());
            if rest.len() <= room {
                line.extend(rest.drain(..));
                line.push(' ');
                break;
            }
            if begun {
                out.push_str(line.trim_end());
                out.push('\n');
                line = "  ".to_owned();
            } else {
                line.extend(rest.drain(..room.max(1).min(rest.len())));
                out.push_str(&line);
                out.push('\n');
                line = "  ".to_owned();
            }
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// The last thing a failing command says.
pub fn report(error: &anyhow::Error, json: bool) -> Exit {
    let failure = error.downcast_ref::<Failure>();
    let exit = failure.map_or(Exit::Failed, |failure| failure.exit);
    let message = format!("{error:#}");
    let hint = failure.and_then(|failure| failure.hint.clone());
    let mut stderr = io::stderr().lock();
    let _gone = if json {
        let body = serde_json::json!({"error": message, "hint": hint, "exit": exit.code()});
        writeln!(stderr, "{body}")
    } else {
        let colour = environment::stderr_is_terminal() && !environment::no_color();
        let lead = if colour { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        let hint = hint.map(|hint| format!("\n  {}", hint.replace('\n', "\n  "))).unwrap_or_default();
        writeln!(stderr, "{lead}: {message}{hint}")
    };
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            headings: vec!["client", "grants", "state"],
            rows: vec![
                vec!["hello-app".into(), "client_credentials authorization_code".into(), "enabled".into()],
                vec!["x".into(), "client_credentials".into(), String::new()],
            ],
            empty: "no clients yet",
        }
    }

    #[test]
    fn a_table_stands_side_by_side_where_it_fits() {
        insta::assert_snapshot!(table().render(80));
    }

    #[test]
    fn a_table_becomes_lists_where_it_does_not() {
        let text = table().render(40);

        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_word_longer_than_the_line_is_cut_not_lost() {
        let text = wrapped("id: ", &"x".repeat(100), 40);

        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.matches('x').count(), 100);
    }
}
