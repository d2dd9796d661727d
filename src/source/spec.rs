//! What SOURCE on the command line means (pure).

use std::path::PathBuf;

use url::{Host, Url};

use super::SourceError;

/// SOURCE, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spec {
    Directory(PathBuf),
    Remote(Remote),
}

/// A URL that `git` fetches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// With credentials, if some were given.
    pub(super) secret: Url,
    /// Without.
    pub(super) public: Url,
}

impl Spec {
    /// Reads a directory, `https://…`, `http://` of a loopback host or `file:///…`; `git+` may stand before a URL.
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.strip_prefix("git+").filter(|url| url.contains("://")).unwrap_or(text);
        let refuse = |reason| SourceError::Spec { spec: shown(text), reason };
        if text.is_empty() || text.contains('\0') {
            return Err(refuse("write a directory or a URL"));
        }
        if text.starts_with('-') {
            return Err(refuse("it looks like an option; write `./` before a directory"));
        }
        if scp_like(text).is_some() {
            return Err(refuse("ssh is not supported in this release; use https or a local clone"));
        }
        if !text.contains("://") {
            return if text.contains("::") {
                Err(refuse("remote helpers are never run; use https or a local clone"))
            } else {
                Ok(Self::Directory(PathBuf::from(text)))
            };
        }
        let url = Url::parse(text).map_err(|_| refuse("not a URL"))?;
        match url.scheme() {
            "https" => {}
            "file" if url.host().is_none() => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(refuse("plain http is for loopback hosts; use https")),
            "ssh" => return Err(refuse("ssh is not supported in this release; use https or a local clone")),
            _ => return Err(refuse("use https, file or a directory")),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("no `?` or `#` here; choose with `--rev` and `--context`"));
        }
        Ok(Self::Remote(Remote { public: without_userinfo(&url), secret: url }))
    }
}

/// The resource URI (`git+https://…`) of a remote's URL, without credentials; none for a mere path.
pub(super) fn uri(url: &str) -> Option<String> {
    let url = match scp_like(url) {
        Some((host, path)) => Url::parse(&format!("ssh://{host}/{}", path.trim_start_matches('/'))).ok()?,
        None => Url::parse(url).ok()?,
    };
    if !matches!(url.scheme(), "https" | "http" | "ssh" | "git" | "file") {
        return None;
    }
    let mut public = without_userinfo(&url);
    public.set_query(None);
    public.set_fragment(None);
    Some(format!("git+{public}"))
}

/// `[user@]host:path`, git's short form for ssh: a colon before any slash.
fn scp_like(text: &str) -> Option<(&str, &str)> {
    let (before, path) = text.split_once(':')?;
    if before.contains('/') || path.starts_with("//") || path.starts_with(':') || path.is_empty() {
        return None;
    }
    let host = before.rsplit('@').next().unwrap_or(before);
    (!host.is_empty()).then_some((host, path))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn without_userinfo(url: &Url) -> Url {
    let mut public = url.clone();
    // Both fail only where there can be no userinfo to begin with.
    let _ = public.set_username("");
    let _ = public.set_password(None);
    public
}

/// What an error repeats of SOURCE.
fn shown(text: &str) -> String {
    let public = Url::parse(text).map_or_else(|_| text.to_owned(), |url| without_userinfo(&url).to_string());
    crate::model::path::printable(&public.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let check = |text: &str, secret: &str, public: &str| {
            let expected = Remote { secret: secret.parse().unwrap(), public: public.parse().unwrap() };
            assert_eq!(Spec::parse(text).unwrap(), Spec::Remote(expected));
        };
        check(
            "https://git.example.org/a.git",
            "https://git.example.org/a.git",
            "https://git.example.org/a.git",
        );
        check(
            "git+https://u:p@git.example.org/a",
            "https://u:p@git.example.org/a",
            "https://git.example.org/a",
        );
        check("http://127.0.0.1:80/a", "http://127.0.0.1/a", "http://127.0.0.1/a");
        check("file:///srv/a", "file:///srv/a", "file:///srv/a");
        for text in [".", "a/b", "/srv/a", "./-x", "./a:b", "a b"] {
            assert_eq!(Spec::parse(text).unwrap(), Spec::Directory(text.into()));
        }
    }

    #[test]
    fn refuses() {
        let check = |text: &str, expected: &str| {
            let error = Spec::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        check("", "write a directory");
        check("--upload-pack=x", "looks like an option");
        check("git+-://x", "looks like an option");
        check("git@git.example.org:a/b", "ssh is not supported");
        check("ssh://git@git.example.org/a", "ssh is not supported");
        check("http://u:hunter2@git.example.org/a", "plain http");
        check("http://127.0.0.1.evil.example/a", "plain http");
        check("ext::sh -c id", "remote helpers");
        check("git://git.example.org/a", "use https");
        check("file://host/share", "use https");
        check("https://git.example.org/a#main", "choose with `--rev`");
    }

    #[test]
    fn uris_have_no_credentials() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(uri(url).as_deref(), expected, "{url}");
        check("https://u:p@git.example.org/a.git?t=1", Some("git+https://git.example.org/a.git"));
        check("git@git.example.org:a/b.git", Some("git+ssh://git.example.org/a/b.git"));
        check("git.example.org:/a", Some("git+ssh://git.example.org/a"));
        check("ssh://git@git.example.org:22/a", Some("git+ssh://git.example.org:22/a"));
        check("file:///srv/a", Some("git+file:///srv/a"));
        check("/srv/a", None);
        check("../a", None);
    }
}
