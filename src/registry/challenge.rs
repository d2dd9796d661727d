//! `WWW-Authenticate` (RFC 9110 §11.6.1) as registries send it. Pure.

use std::collections::BTreeMap;

/// One scheme with its parameters; names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `bearer`, `basic`.
    pub scheme: String,
    /// `realm`, `service`, `scope`.
    pub parameters: BTreeMap<String, String>,
}

/// The challenges of one header; stops at what it cannot read.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word_end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        if word.is_empty() {
            return found;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            rest = after;
            continue;
        };
        let (Some((value, after)), Some(challenge)) = (parameter(value.trim_start()), found.last_mut())
        else {
            return found;
        };
        challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
        rest = after;
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let check = |header: &str, expected: &str| {
            let shown = parse(header).into_iter().map(|c| {
                let parameters: Vec<_> = c.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{}({})", c.scheme, parameters.join(" "))
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{header}");
        };
        check(
            r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
            "bearer(realm=https://auth.example/token scope=repository:a/b:pull,push service=r.example)",
        );
        check(r#"Basic realm="a \"b\"", charset=UTF-8"#, r#"basic(charset=UTF-8 realm=a "b")"#);
        check(r#"Negotiate, Bearer realm="x""#, "negotiate() bearer(realm=x)");
        check(r#"bearer realm="unclosed"#, "bearer()");
        check(r#"realm="no scheme""#, "");
        check("", "");
        check("\u{e9}=,\"", "");
    }
}
