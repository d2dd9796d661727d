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
        let said = std::mem::take(&mut self.held);
        let mut shown = self.bytes(&said);
        if !shown.ends_with(b"\n") {
            let longest = self.values.first().map_or(0, |value| value.len() - 1);
            self.held = shown.split_off(shown.len().saturating_sub(longest));
        }
        shown
    }

    /// What was held back.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// A text without them.
    pub(super) fn text(&self, text: String) -> String {
        if self.values.is_empty() {
            return text;
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.values.iter().fold(bytes.to_vec(), |bytes, value| {
            if bytes.contains_str(value) { bytes.replace(value, MASK) } else { bytes }
        })
    }
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
    fn without_secrets_nothing_is_held_back() {
        assert_eq!(masks(&[]).output(b"half a line"), b"half a line");
    }
}
