//! Text for people in 80 columns: labels in a column of their own, what they say wrapped beside them.

use unicode_width::UnicodeWidthChar as _;

/// How wide a terminal is at least.
pub(super) const COLUMNS: usize = 80;
/// How wide a label is, with the spaces after it.
const LABEL: usize = 10;

/// How many columns a character takes; at least one, so that marks which take none cannot pile up.
fn columns_of(c: char) -> usize {
    c.width().unwrap_or(1).max(1)
}

/// How many columns `text` takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// `text` in at most `max` columns: what is too much is taken out of its middle.
pub(super) fn middle_cut(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let half = (max - 1) / 2;
    let start = prefix(text, half);
    let back: String = text.chars().rev().collect();
    let end: String = prefix(&back, half).chars().rev().collect();
    format!("{start}…{end}")
}

/// `text` in at most `max` columns, without what is too much at its end.
pub(super) fn cut(text: &str, max: usize) -> String {
    if columns(text) <= max { text.to_owned() } else { format!("{}…", prefix(text, max - 1).trim_end()) }
}

/// As much of the beginning of `text` as fits.
fn prefix(text: &str, max: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += columns_of(*c);
        used > max
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

/// A line that begins after `indent` spaces; where it is too long it goes on `hanging` further in.
pub(super) fn line(out: &mut String, indent: usize, hanging: usize, text: &str) {
    let mut lines = wrap(text, COLUMNS - indent, COLUMNS - indent - hanging).into_iter();
    out.push_str(&format!("{:indent$}{}\n", "", lines.next().unwrap_or_default()));
    out.extend(lines.map(|line| format!("{:1$}{line}\n", "", indent + hanging)));
}

/// A label and what it says. What has no space to be broken at, and does not fit beside the label, stands below it.
pub(super) fn field(out: &mut String, indent: usize, label: &str, text: &str) {
    let label = format!("{label:<width$}", width = LABEL.max(label.len() + 2));
    let beside = COLUMNS - indent - LABEL;
    let longest = text.split([' ', '@']).map(columns).max().unwrap_or_default();
    let below = COLUMNS - indent - 2;
    if longest > beside && longest <= below {
        out.push_str(&format!("{:indent$}{}\n", "", label.trim_end()));
        out.extend(wrap(text, below, below).iter().map(|line| format!("{:1$}{line}\n", "", indent + 2)));
    } else {
        line(out, indent, LABEL, &format!("{label}{text}"));
    }
}

/// `text` in lines of at most `first`, then `rest` columns: broken at spaces, else after a character that joins words, else
/// anywhere.
fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut left = first;
    for (index, word) in text.split(' ').enumerate() {
        let mut word = word;
        if index > 0 {
            if columns(word) < left {
                lines.last_mut().expect("there is one from the start").push(' ');
                left -= 1;
            } else if columns(word) <= rest {
                lines.push(String::new());
                left = rest;
            } else if left > 1 {
                lines.last_mut().expect("there is one from the start").push(' ');
                left -= 1;
            }
        }
        // Not by its columns: a word of a megabyte would be counted once a line.
        while prefix(word, left).len() < word.len() {
            let part = broken(word, left);
            lines.last_mut().expect("there is one from the start").push_str(part);
            word = &word[part.len()..];
            lines.push(String::new());
            left = rest;
        }
        lines.last_mut().expect("there is one from the start").push_str(word);
        left -= columns(word);
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The part of a long word that fits, up to a joint if one is not far from its end.
fn broken(word: &str, max: usize) -> &str {
    let part = prefix(word, max);
    if let Some(at) = part.rfind('@') {
        return &part[..=at]; // A digest stays in one piece.
    }
    let joint = part.rfind(['/', ',', '=', ':', '&', '?']).map_or(0, |at| at + 1);
    if joint * 2 > part.len() { &part[..joint] } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_cuts() {
        assert_eq!(wrap("a bc def", 4, 3), ["a bc", "def"]);
        assert_eq!(wrap("abcdef gh", 4, 3), ["abcd", "ef", "gh"]);
        assert_eq!(wrap("host/repo:1@sha256:0123", 14, 14), ["host/repo:1@", "sha256:0123"]);
        assert_eq!(wrap("宽宽宽", 4, 4), ["宽宽", "宽"]);
        assert_eq!(wrap("", 4, 4), [""]);
        assert_eq!(wrap("a  b", 9, 9), ["a  b"]);
        assert_eq!(middle_cut("abcdefghij", 7), "abc…hij");
        assert_eq!(cut("abcdefghij", 7), "abcdef…");
        assert_eq!(wrap(&"x".repeat(1 << 20), 80, 78).len(), 13_444, "in no more time than its length");
        let zalgo = "\u{301}".repeat(200);
        assert!(wrap(&zalgo, 80, 80).len() == 3, "marks without width take a column each");
    }

    #[test]
    fn labels() {
        let mut out = String::new();
        field(&mut out, 2, "cause", "mtime");
        field(&mut out, 2, "attested", &"d".repeat(71));
        field(&mut out, 2, "not varied", "uid: no");
        field(&mut out, 2, "text", &"word ".repeat(20));
        insta::assert_snapshot!(out, @r"
          cause     mtime
          attested
            ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
          not varied  uid: no
          text      word word word word word word word word word word word word word
                    word word word word word word word
        ");
    }
}
