//! Bytes from outside, made fit for a terminal or for JSON.

use std::fmt::Write as _;

/// `text` without anything that could steer a terminal or hide: control characters, bidirectional and zero-width marks,
/// separators of lines, fillers and tags become `\u{…}`.
#[must_use]
pub fn printable(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(
                c,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{115f}'
                    | '\u{1160}'
                    | '\u{180e}'
                    | '\u{3164}'
                    | '\u{feff}'
                    | '\u{ffa0}'
            )
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if hidden {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // Writing to a String cannot fail.
        } else {
            out.push(c);
        }
    }
    out
}

/// A path in an image as CLI.md writes it: UTF-8 as it is, else percent-encoded; the flag says which.
#[must_use]
pub fn encode(path: &[u8]) -> (String, bool) {
    if let Ok(text) = str::from_utf8(path) {
        return (text.to_owned(), false);
    }
    let mut out = String::with_capacity(path.len() + 16);
    for &byte in path {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => {
                let _ = write!(out, "%{byte:02X}"); // Writing to a String cannot fail.
            }
            _ => out.push(char::from(byte)),
        }
    }
    (out, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(printable("a\u{2028}\u{61c}\u{e0041}é"), "a\\u{2028}\\u{61c}\\u{e0041}é");
        assert_eq!(encode("é".as_bytes()), ("é".into(), false));
        assert_eq!(encode(b"a%\xff"), ("a%25%FF".into(), true));
    }
}
