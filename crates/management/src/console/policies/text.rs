//! Policy texts for reading: numbered lines, with the words that matter told apart.

use serde::Serialize;

/// Words that are marked on one page. What is longer is shown as it is: nobody reads it here, and a page has to end.
const MARKED: usize = 30_000;

#[derive(Serialize)]
pub(super) struct Text {
    pub name: String,
    pub lines: Vec<Line>,
    /// The whole text: to be copied, and shown where it is too long to be marked.
    pub plain: String,
}

#[derive(Serialize)]
pub(super) struct Line {
    pub number: usize,
    pub anchor: String,
    pub parts: Vec<Part>,
}

/// Some letters; the class is empty for most.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub class: &'static str,
    pub text: String,
}

/// The texts of one page, by name.
pub(super) fn texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Text> {
    let mut room = MARKED;
    files.into_iter().map(|(name, plain)| text(name, plain, &mut room)).collect()
}

fn text(name: &str, plain: &str, room: &mut usize) -> Text {
    let mut lines = Vec::new();
    for (line, number) in plain.lines().zip(1..) {
        let parts = parts(line);
        let Some(left) = room.checked_sub(parts.len() + 1) else {
            lines.clear();
            break;
        };
        *room = left;
        let anchor = anchor(name, u64::try_from(number).unwrap_or_default());
        lines.push(Line { number, anchor, parts });
    }
    Text { name: name.to_owned(), lines, plain: plain.to_owned() }
}

/// Where a line of a file stands on the page of its version.
pub(super) fn anchor(file: &str, line: u64) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    format!("{}-{line}", file.chars().map(plain).collect::<String>())
}

/// Comments, texts in quotes, annotations, and the words that make a policy.
fn parts(line: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (length, class) = match first {
            '/' if rest.starts_with("//") => (rest.len(), "remark"),
            '"' => (quoted(rest), "quoted"),
            '@' => (1 + word(rest.get(1..).unwrap_or_default()), "note"),
            first if first.is_alphabetic() || first == '_' => {
                let length = word(rest);
                let known = matches!(rest.get(..length), Some("permit" | "forbid" | "when" | "unless"));
                (length, if known { "key" } else { "" })
            }
            first => (first.len_utf8(), ""),
        };
        let (text, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match parts.last_mut() {
            Some(last) if last.class == class => last.text.push_str(text),
            _ => parts.push(Part { class, text: text.to_owned() }),
        }
        rest = after;
    }
    parts
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// Up to the end of the quotes, or of the line.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(line: &str) -> String {
        let part = |part: Part| match part.class {
            "" => part.text,
            class => format!("<{class}:{}>", part.text),
        };
        parts(line).into_iter().map(part).collect()
    }

    #[test]
    fn words_quotes_and_remarks_are_told_apart() {
        for (line, expected) in [
            ("permit (principal);", "<key:permit> (principal);"),
            ("@id(\"a // b\") // c \"d\"", "<note:@id>(<quoted:\"a // b\">) <remark:// c \"d\">"),
            ("permitted when_x", "permitted when_x"),
            ("\"a\\\"b\" when \"open", "<quoted:\"a\\\"b\"> <key:when> <quoted:\"open>"),
            ("ünless // ü", "ünless <remark:// ü>"),
            ("", ""),
            ("@", "<note:@>"),
        ] {
            assert_eq!(marked(line), expected);
            assert_eq!(parts(line).into_iter().map(|part| part.text).collect::<String>(), line);
        }
    }

    #[test]
    fn a_text_that_nobody_reads_is_not_marked() {
        let long = "permit \"a\" ".repeat(MARKED);

        let texts = texts([("short", "permit;\n"), ("long", &long), ("short again", "when\n")]);

        let marked: Vec<usize> = texts.iter().map(|text| text.lines.len()).collect();
        assert_eq!(marked, [1, 0, 1]);
        assert!(texts.iter().all(|text| !text.plain.is_empty()));
    }

    #[test]
    fn a_place_can_stand_in_an_address_whatever_the_file_is_called() {
        assert_eq!(anchor("a b/\"<.cedar", 7), "a_b___.cedar-7");
    }
}
