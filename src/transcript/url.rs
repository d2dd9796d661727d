//! URLs in one form, and without secrets.

use url::{Url, form_urlencoded};

use crate::model::limits::URL_SIZE_BYTES_MAX;

/// Why a text is no URL a build may ask for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Past the bound.
    #[error("URL is longer than {URL_SIZE_BYTES_MAX} bytes")]
    Long,
    /// Characters that must be escaped, which readers would guess at differently.
    #[error("URL holds a space, backslash, control or non-ASCII character; escape it")]
    Characters,
    /// Not absolute, no host, a bad port.
    #[error("URL is not an absolute http or https URL")]
    Syntax,
    /// `..`, written out or hidden in escapes.
    #[error("URL climbs with `..`")]
    Climbs,
}

/// Reads `text` into its one form: lower-case scheme and host, no default port, no fragment, `.` segments
/// resolved; escapes are left as they are.
///
/// # Errors
/// If it is not an absolute http(s) URL, holds characters that must be escaped, or has a `..` segment once its
/// escaped slashes, backslashes, dots and percent signs are read (`..%2f`, `%252e%252e/`).
pub fn canonical_url(text: &str) -> Result<Url, UrlError> {
    if text.len() > URL_SIZE_BYTES_MAX {
        return Err(UrlError::Long);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(UrlError::Characters);
    }
    if climbs(text) {
        return Err(UrlError::Climbs);
    }
    // The URL standard would read `http:///host` and `http:host` as `http://host`.
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Syntax)?;
    let mut url = Url::parse(text).map_err(|_| UrlError::Syntax)?;
    let named = matches!(url.scheme(), "http" | "https") && scheme.eq_ignore_ascii_case(url.scheme());
    if !named || rest.starts_with('/') || !url.has_host() {
        return Err(UrlError::Syntax);
    }
    url.set_fragment(None);
    Ok(url)
}

fn climbs(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let mut plain = path.to_ascii_lowercase();
    // Each round shortens the text or is the last one.
    loop {
        let round = plain.replace("%25", "%").replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
        if round == plain {
            return plain.split('/').any(|segment| segment == "..");
        }
        plain = round;
    }
}

/// `url` as text, its userinfo and the values of known secret parameters replaced by `redacted-N`, N = their
/// order (WIRE.md §3). Redacting twice changes nothing.
#[must_use]
pub fn redact_url(url: &Url) -> String {
    let mut url = url.clone();
    let mut count = 0;
    let mut next = || {
        count += 1;
        format!("redacted-{count}")
    };
    if !url.username().is_empty() || url.password().is_some() {
        // Both calls fail only for URLs without a host, and http URLs have one.
        let _ = url.set_password(None);
        let _ = url.set_username(&next());
    }
    let Some(query) = url.query() else { return url.into() };
    let redacted = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if secret(name) => format!("{name}={}", next()),
            _ => pair.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("&");
    if redacted != query {
        url.set_query(Some(&redacted));
    }
    url.into()
}

fn secret(name: &str) -> bool {
    const PREFIXES: [&str; 2] = ["x-amz-", "x-goog-"];
    const NAMES: [&str; 13] = [
        "access_key",
        "access_token",
        "api_key",
        "apikey",
        "auth",
        "auth_token",
        "jwt",
        "password",
        "private_token",
        "secret",
        "sig",
        "signature",
        "token",
    ];
    let Some((name, _)) = form_urlencoded::parse(name.as_bytes()).next() else { return false };
    let name = name.to_ascii_lowercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(canonical_url(text).unwrap().as_str(), expected);
    }

    #[track_caller]
    fn refuse(text: &str) {
        assert!(canonical_url(text).is_err(), "{text}");
    }

    #[track_caller]
    fn redact(text: &str, expected: &str) {
        let once = redact_url(&canonical_url(text).unwrap());
        assert_eq!(once, expected);
        assert_eq!(redact_url(&canonical_url(&once).unwrap()), expected, "twice");
    }

    #[test]
    fn one_form() {
        check("HTTP://Mirror.Example.ORG:80/a/./b#c", "http://mirror.example.org/a/b");
        check("https://mirror.example.org:443", "https://mirror.example.org/");
        check("https://mirror.example.org:444/%7e?q=%2F..", "https://mirror.example.org:444/%7e?q=%2F..");
        check("https://registry.example.org/@scope%2fname", "https://registry.example.org/@scope%2fname");
        check("http://127.1/", "http://127.0.0.1/");
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for path in [
            "/../x",
            "/a/..",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..%2fb",
            "/a%2f..%2Fb",
            "/%252e%252e/",
            "/a/..%5cb",
        ] {
            refuse(&format!("http://mirror.example.org{path}"));
        }
        refuse("http://mirror.example.org/a b");
        refuse("http://mirror.example.org\\@127.0.0.1/");
        refuse("http://mirror.example.org/é");
        refuse("ftp://mirror.example.org/");
        refuse("/only/a/path");
        refuse("http:///x");
        refuse(&format!("http://mirror.example.org/{}", "a".repeat(URL_SIZE_BYTES_MAX)));
    }

    #[test]
    fn redacts_secrets_in_order() {
        redact("http://u:p@mirror.example.org/a", "http://redacted-1@mirror.example.org/a");
        redact(
            "https://mirror.example.org/a?X-Amz-Date=1&b=2&x%2Damz-Signature=3&sig=4",
            "https://mirror.example.org/a?X-Amz-Date=redacted-1&b=2&x%2Damz-Signature=redacted-2&sig=redacted-3",
        );
        redact(
            "http://u@mirror.example.org/a?Token=x&token&signal=1",
            "http://redacted-1@mirror.example.org/a?Token=redacted-2&token&signal=1",
        );
    }
}
