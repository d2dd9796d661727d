//! Patterns over URIs: `*` stands for any run of characters, but never for a part of a host's name.

use std::fmt;

/// A pattern that was read. `*` alone matches everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern. In the host of a URI a `*` may only stand first, before a dot (`https://*.example.org/x`), so
    /// that no host of somebody else fits.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing; write `*` for anything".to_owned());
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            let fixed = host.strip_prefix("*.").unwrap_or(host);
            if scheme.contains('*') {
                return Err("write the scheme out".to_owned());
            }
            if fixed.contains('*') {
                let end = "end the host with `/` before a `*`, or begin it with `*.`";
                return Err(format!("`{host}` would match hosts of others; {end}"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether everything fits.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether `text` fits. A text with `..` between slashes fits `*` alone: nobody knows where it leads.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.is_any() {
            return true;
        }
        if self.0.contains('*') && climbs(text) {
            return false;
        }
        let host_end = |uri: &str| {
            uri.split_once("://")
                .map(|(scheme, rest)| scheme.len() + 3 + rest.find(['/', '?', '#']).unwrap_or(rest.len()))
        };
        match (host_end(&self.0), host_end(text)) {
            // The first `*` may not run past the host.
            (Some(own), Some(other)) => {
                let (own_host, own_path) = self.0.split_at(own);
                let (host, path) = text.split_at(other);
                fits(own_host, host) && fits(own_path, path)
            }
            (Some(_), None) => false,
            (None, _) => fits(&self.0, text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a path goes up again, in any spelling a server may understand.
fn climbs(text: &str) -> bool {
    let plain = text.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace('\\', "/");
    plain.split(['/', '?', '#']).any(|part| part == "..")
}

/// Greedy matching with one point to come back to: linear in practice, never exponential.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from, mut back) = (0, 0, None);
    while from < text.len() {
        if pattern.get(at) == Some(&b'*') {
            back = Some((at, from));
            at += 1;
        } else if pattern.get(at) == Some(&text[from]) {
            at += 1;
            from += 1;
        } else if let Some((star, begun)) = back {
            back = Some((star, begun + 1));
            at = star + 1;
            from = begun + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
    }

    #[test]
    fn matches() {
        check("git+https://git.example.org/*", "git+https://git.example.org/a/b.git", true);
        check("git+https://git.example.org/*", "git+https://git.example.org.evil.example/a", false);
        check("git+https://git.example.org/a/*", "git+https://git.example.org/a/../b", false);
        check("git+https://git.example.org/a/*", "git+https://git.example.org/a/%2E%2e/b", false);
        check("git+https://git.example.org/a", "git+https://git.example.org/a.git", false);
        check("https://*.example.org/x", "https://a.b.example.org/x", true);
        check("https://*.example.org/x", "https://evil.example/.example.org/x", false);
        check("https://*.example.org/x", "https://evil.example?.example.org/x", false);
        check("https://git.example.org/*", "https://git.example.org@evil.example/", false);
        check("refs/tags/v*", "refs/tags/v1.2", true);
        check("refs/tags/v*", "refs/heads/refs/tags/v1", false);
        check("*", "anything/../at all", true);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
    }

    #[test]
    fn refuses_hosts_of_others() {
        for text in ["", "https://*", "https://git.example.org*", "*://x/y", "https://a*.example.org/"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn is_never_slow() {
        let pattern = Pattern::parse(&"a*".repeat(50)).unwrap();
        assert!(!pattern.matches(&format!("b{}", "a".repeat(20_000))));
        assert!(
            Pattern::parse(&format!("{}b", "a*".repeat(50)))
                .unwrap()
                .matches(&format!("{}b", "a".repeat(20_000)))
        );
    }
}
