//! A command line, taken apart as a shell does it, without one.

/// The words of `line`. Blanks part them; `'…'` quotes all, `"…"` all but `"` and `\\` after a backslash; outside quotes a
/// backslash quotes one character. Nothing is expanded.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            blank if blank.is_whitespace() => words.extend(word.take()),
            '\'' => word.get_or_insert_default().push_str(&quoted(&mut letters)?),
            '"' => word.get_or_insert_default().push_str(&double(&mut letters)?),
            '\\' => word.get_or_insert_default().push(letters.next().ok_or("it ends with a backslash")?),
            '\0' => return Err("it has a NUL in it"),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err("it names no program"),
    }
}

const OPEN: &str = "a quote is not closed";

fn quoted(letters: &mut std::str::Chars<'_>) -> Result<String, &'static str> {
    let mut text = String::new();
    loop {
        match letters.next().ok_or(OPEN)? {
            '\'' => return Ok(text),
            letter => text.push(letter),
        }
    }
}

fn double(letters: &mut std::str::Chars<'_>) -> Result<String, &'static str> {
    let mut text = String::new();
    loop {
        match letters.next().ok_or(OPEN)? {
            '"' => return Ok(text),
            '\\' => match letters.next().ok_or(OPEN)? {
                letter @ ('"' | '\\') => text.push(letter),
                letter => text.extend(['\\', letter]),
            },
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_in_a_shell() {
        let check = |line: &str, expected: &[&str]| assert_eq!(split(line).unwrap(), expected, "{line}");
        check("openssl dgst  -sha256\t-sign k.pem\n", &["openssl", "dgst", "-sha256", "-sign", "k.pem"]);
        check(r#"sh -c 'a "b" | c'"#, &["sh", "-c", "a \"b\" | c"]);
        check(r#"a "b \"c\" \d" e\ f ''"#, &["a", "b \"c\" \\d", "e f", ""]);
        check("a $HOME `id` *", &["a", "$HOME", "`id`", "*"]);
        check("a'b'\"c\"", &["abc"]);
    }

    #[test]
    fn what_is_no_command_says_why() {
        for line in ["", "  ", "'a", "\"a", "a\\", "a \"b\\", "'' a", "a\0"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
