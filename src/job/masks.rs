//! Values of secrets, kept out of what is written down about a build.

use bstr::ByteSlice as _;

use super::execute::Secrets;

/// Shorter lines of a secret are not looked for: they would be found everywhere.
const SIZE_BYTES_MIN: usize = 4;
/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// The lines of all secrets, the longest first. What a step makes of one (base64, a digest) is not recognised.
#[derive(Debug, Default)]
pub(super) struct Masks {
    values: Vec<Vec<u8>>,
    /// The end of a line that has not ended: a value may go on in what comes next.
    held: Vec<u8>,
}

impl Masks {
    pub(super) fn of(secrets: &Secrets) -> Self {
        let lines = secrets.values().flat_map(|secret| secret.expose().lines());
        let lines = lines.map(|line| line.trim().to_owned());
        let mut values: Vec<_> = lines.filter(|line| line.len() >= SIZE_BYTES_MIN).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values, held: Vec::new() }
    }

    /// What may be shown of the output after the piece `said` has come.
    pub(super) fn output(&mut self, said: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(said);
        let mut said = std::mem::take(&mut self.held);
        let found = self.found(&said);
        let begun = if said.ends_with(b"\n") { said.len() } else { self.begun(&said) };
        let within = found.iter().find(|(start, end)| (*start..*end).contains(&begun));
        self.held = said.split_off(within.map_or(begun, |(start, _)| *start));
        masked(&said, &found)
    }

    /// What was held back.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        masked(&held, &self.found(&held))
    }

    /// A text without them.
    pub(super) fn text(&self, text: String) -> String {
        let found = self.found(text.as_bytes());
        if found.is_empty() {
            text
        } else {
            String::from_utf8_lossy(&masked(text.as_bytes(), &found)).into_owned()
        }
    }

    /// Where values stand, in order; those that overlap as one.
    fn found(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let places = self.values.iter().flat_map(|value| {
            (0..bytes.len()).scan(0, move |from, _| {
                let start = *from + bytes.get(*from..)?.find(value)?;
                *from = start + 1;
                Some((start, start + value.len()))
            })
        });
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        places.dedup_by(|next, last| {
            let overlaps = next.0 < last.1;
            last.1 = if overlaps { last.1.max(next.1) } else { last.1 };
            overlaps
        });
        places
    }

    /// Where the first value begins that may go on behind the end; the end if none does.
    fn begun(&self, bytes: &[u8]) -> usize {
        let longest = self.values.first().map_or(0, Vec::len);
        let begins = |at: &usize| self.values.iter().any(|value| value.starts_with(&bytes[*at..]));
        (bytes.len().saturating_sub(longest)..bytes.len()).find(begins).unwrap_or(bytes.len())
    }
}

/// `bytes` with the places in `found` that lie in it masked.
fn masked(bytes: &[u8], found: &[(usize, usize)]) -> Vec<u8> {
    let (mut out, mut shown) = (Vec::with_capacity(bytes.len()), 0);
    for (start, end) in found.iter().filter(|(_, end)| *end <= bytes.len()) {
        out.extend_from_slice(&bytes[shown..*start]);
        out.extend_from_slice(MASK);
        shown = *end;
    }
    out.extend_from_slice(&bytes[shown..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn masks(values: &[&str]) -> Masks {
        let secret = |(id, value): (usize, &&str)| (id.to_string(), Secret::new(*value));
        Masks::of(&values.iter().enumerate().map(secret).collect())
    }

    #[test]
    fn every_line_of_a_secret_is_masked() {
        let mut masks = masks(&["first line\r\nsecond\n", "abc"]);
        assert_eq!(masks.output(b"a first line, a second, abc\n"), b"a ***, a ***, abc\n");
        assert_eq!(masks.text("second".to_owned()), "***");
        assert_eq!(masks.output(b"\xffsecond\n"), b"\xff***\n");
    }

    #[test]
    fn a_secret_in_two_pieces_of_a_long_line_is_masked() {
        let mut masks = masks(&["password"]);
        let mut shown = masks.output(b"it is pass");
        shown.extend(masks.output(b"word and p"));
        shown.extend(masks.output(b"ass"));
        shown.extend(masks.rest());
        assert_eq!(shown.as_bstr(), "it is *** and pass");
        assert!(!masks.output(b"passwor").contains_str("passwor"));
    }

    #[test]
    fn one_secret_within_another_hides_no_part_of_it() {
        let mut shorter_first = masks(&["pass-and-word", "pass"]);
        let mut shown = shorter_first.output(b"it is pass-and-");
        shown.extend(shorter_first.output(b"word, or pass"));
        shown.extend(shorter_first.rest());
        assert_eq!(shown.as_bstr(), "it is ***, or ***");
        let overlapping = masks(&["zabc", "abcd", "aaaa"]);
        assert_eq!(overlapping.text("a zabcd, aaaaaa".to_owned()), "a ***, ***");
    }

    #[test]
    fn without_secrets_nothing_is_held_back() {
        assert_eq!(masks(&[]).output(b"half a line"), b"half a line");
    }
}
