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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// What `git` is to use: with credentials if some were given, in ssh's short form if written so.
    pub(super) secret: String,
    /// What anybody may see.
    pub(super) public: Url,
}

impl Spec {
    /// Reads a directory, `https://…`, `ssh://…`, `[user@]host:path`, `http://` of a loopback host or `file:///…`;
    /// `git+` may stand before a URL.
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.strip_prefix("git+").filter(|url| url.contains("://")).unwrap_or(text);
        let refuse = |reason| SourceError::Spec { spec: shown(text), reason };
        if text.is_empty() || text.contains('\0') {
            return Err(refuse("write a directory or a URL"));
        }
        if text.starts_with('-') {
            return Err(refuse("it looks like an option; write `./` before a directory"));
        }
        if !text.contains("://") && !is_short(text) {
            return if text.contains("::") {
                Err(refuse("remote helpers are never run; use https, ssh or a local clone"))
            } else {
                Ok(Self::Directory(PathBuf::from(text)))
            };
        }
        let url = parse_url(text).ok_or_else(|| refuse("not a URL"))?;
        match url.scheme() {
            "https" => {}
            "file" if url.host().is_none() => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(refuse("plain http is for loopback hosts; use https")),
            "ssh" => check_ssh(&url, text).map_err(refuse)?,
            _ => return Err(refuse("use https, ssh, file or a directory")),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("no `?` or `#` here; choose with `--rev` and `--context`"));
        }
        let secret = if is_short(text) { text.to_owned() } else { url.to_string() };
        Ok(Self::Remote(Remote { public: without_userinfo(&url), secret }))
    }
}

/// The resource URI (`git+https://…`) of a remote's URL, without credentials; none for a mere path.
#[must_use]
pub fn uri(url: &str) -> Option<String> {
    let url = parse_url(url.strip_prefix("git+").unwrap_or(url))?;
    if !matches!(url.scheme(), "https" | "http" | "ssh" | "git" | "file") {
        return None;
    }
    let mut public = without_userinfo(&url);
    public.set_query(None);
    public.set_fragment(None);
    Some(format!("git+{public}"))
}

/// The URL of a submodule, as `.gitmodules` writes it, where `base` is its superproject's: `./` and `../` count from
/// there, and never lead to another host.
///
/// What can be reached from the network cannot name what is on this machine.
pub(super) fn submodule_url(base: Option<&str>, url: &str) -> Result<String, &'static str> {
    let relative = url.starts_with("./") || url.starts_with("../");
    let url = match base {
        Some(base) if relative => join(base, url).ok_or("its relative URL leads out of its host")?,
        None if relative => return Err("its URL is relative, and nothing says to what"),
        _ => url.to_owned(),
    };
    if reach(&url) < base.map_or(Reach::Network, reach) {
        return Err("its URL is of this machine, that of its superproject is not");
    }
    Ok(url)
}

/// From how far away a URL can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Disk,
    Loopback,
    Network,
}

fn reach(url: &str) -> Reach {
    match Spec::parse(url) {
        Ok(Spec::Directory(_)) => Reach::Disk,
        Ok(Spec::Remote(remote)) if remote.public.scheme() == "file" => Reach::Disk,
        Ok(Spec::Remote(remote)) if is_loopback(&remote.public) => Reach::Loopback,
        _ => Reach::Network,
    }
}

/// `relative` (`./…`, `../…`) from `base`: a URL, ssh's short form, or a path.
fn join(base: &str, relative: &str) -> Option<String> {
    let root = match base.find("://") {
        Some(at) => base[at + 3..].find('/').map_or(base.len(), |slash| at + 3 + slash),
        None if is_short(base) => base.find(':')? + 1,
        None => 0,
    };
    let (root, path) = base.split_at(root);
    let (mut path, mut rest) = (path.trim_end_matches('/'), relative);
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            if path.is_empty() {
                return None;
            }
            (path, rest) = (path.rsplit_once('/').map_or("", |(before, _)| before), after);
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            break;
        }
    }
    if rest.is_empty() || rest.split('/').any(|name| name == "..") {
        return None;
    }
    let slash = if path.is_empty() && root.ends_with(':') { "" } else { "/" };
    Some(format!("{root}{path}{slash}{rest}"))
}

/// Reads a URL, or ssh's short form as the URL that means the same to a forge.
fn parse_url(text: &str) -> Option<Url> {
    if !is_short(text) {
        return Url::parse(text).ok();
    }
    let (login, path) = text.split_once(':')?;
    Url::parse(&format!("ssh://{login}/{}", path.trim_start_matches('/'))).ok()
}

/// Whether it is `[user@]host:path`, git's short form for ssh: a colon before any slash.
fn is_short(text: &str) -> bool {
    text.split_once(':').is_some_and(|(before, path)| {
        let host = before.rsplit('@').next().unwrap_or(before);
        !before.contains('/')
            && !host.is_empty()
            && !path.is_empty()
            && !path.starts_with("//")
            && !path.starts_with(':')
    })
}

/// Refuses what a shell, or ssh's reading of its arguments, could make something else of.
fn check_ssh(url: &Url, text: &str) -> Result<(), &'static str> {
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if url.password().is_some() {
        return Err("ssh takes no password; use a key that its agent has");
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => word(name),
        Some(_) => true,
        None => false,
    };
    let strange = |c: char| c.is_control();
    if !host || !(url.username().is_empty() || word(url.username())) || text.contains(strange) {
        return Err("not a host, or not a user, that ssh can be given");
    }
    if url.path().trim_start_matches('/').is_empty() || text.contains(":-") {
        return Err("it names no repository");
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `url` without credentials; of ssh users, `git` stays: it is a forge's, no person's, and nobody gets in without it.
fn without_userinfo(url: &Url) -> Url {
    let mut public = url.clone();
    // Both fail only where there can be no userinfo to begin with.
    if (url.scheme(), url.username()) != ("ssh", "git") {
        let _ = public.set_username("");
    }
    let _ = public.set_password(None);
    public
}

/// What an error repeats of a source's or submodule's URL.
pub(super) fn shown(text: &str) -> String {
    let public = match Url::parse(text) {
        Ok(url) if text.contains("://") => without_userinfo(&url).to_string(),
        _ => text.to_owned(),
    };
    crate::model::path::printable(&public.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let check = |text: &str, secret: &str, public: &str| {
            let expected = Remote { secret: secret.to_owned(), public: public.parse().unwrap() };
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
        let ssh = "ssh://git@git.example.org/a/b.git";
        check(ssh, ssh, ssh);
        check("git@git.example.org:a/b.git", "git@git.example.org:a/b.git", ssh);
        check("git+ssh://me@[::1]:22/~/a", "ssh://me@[::1]:22/~/a", "ssh://[::1]:22/~/a");
        check("host:/srv/a", "host:/srv/a", "ssh://host/srv/a");
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
        check("git@-oProxyCommand=id:a", "not a host");
        check("ssh://-oProxyCommand=id/a", "not a host");
        check("ssh://%2doProxyCommand=id/a", "not a host");
        check("ssh://-l@git.example.org/a", "not a user");
        check("ssh://git:hunter2@git.example.org/a", "ssh takes no password");
        check("git@git.example.org:a\nb", "not a host");
        check("git@git.example.org:-x", "names no repository");
        check("ssh://git.example.org/", "names no repository");
        check("ssh:///a", "not a host");
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
        check("git@git.example.org:a/b.git", Some("git+ssh://git@git.example.org/a/b.git"));
        check("git.example.org:/a", Some("git+ssh://git.example.org/a"));
        check("me@git.example.org:/a", Some("git+ssh://git.example.org/a"));
        check("ssh://git@git.example.org:22/a", Some("git+ssh://git@git.example.org:22/a"));
        check("git+ssh://git@git.example.org/a", Some("git+ssh://git@git.example.org/a"));
        check("file:///srv/a", Some("git+file:///srv/a"));
        check("/srv/a", None);
        check("../a", None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in r"(git\+|https?://|ssh://|file://|git@|\.\./|\./|[a.:/@\[\]%-]|\PC){0,12}", base in r"(https://u:hunter2@h|git@h:|/)?[a/.]{0,9}") {
            if let Err(error) = Spec::parse(&text) {
                let _ = error.to_string();
            }
            let _ = (uri(&text), shown(&text), submodule_url(Some(&base), &text));
        }

        /// However it climbs, a relative URL stays on its host.
        #[test]
        fn relative_urls_stay(url in r"\.{1,2}/(\.\./|\./|[a/.]){0,12}") {
            if let Ok(url) = submodule_url(Some("https://u:p@git.example.org/a/b"), &url) {
                proptest::prop_assert!(url.starts_with("https://u:p@git.example.org/"), "{}", url);
            }
        }
    }

    #[test]
    fn submodules_count_from_their_superproject() {
        let check = |base: &str, url: &str, expected: Option<&str>| {
            assert_eq!(submodule_url(Some(base), url).ok().as_deref(), expected, "{base} {url}");
        };
        let https = "https://u:p@git.example.org/a/b.git/";
        check(https, "../c.git", Some("https://u:p@git.example.org/a/c.git"));
        check(https, "./c", Some("https://u:p@git.example.org/a/b.git/c"));
        check(https, "../.././x/y", Some("https://u:p@git.example.org/x/y"));
        for out in ["../../../c", "../../../../evil.example/c", "../..", "../a/../../../c", "./"] {
            check(https, out, None);
        }
        check("git@git.example.org:a/b", "../c", Some("git@git.example.org:a/c"));
        check("git@git.example.org:b", "../c", Some("git@git.example.org:c"));
        check("git@git.example.org:b", "../../c", None);
        check("/srv/a", "../c", Some("/srv/c"));
        check("/a", "../../c", None);
        check("file:///srv/a", "../c", Some("file:///srv/c"));
        check(https, "ssh://git@git.example.org/c", Some("ssh://git@git.example.org/c"));
        check(https, "/srv/c", None);
        check(https, "file:///srv/c", None);
        check(https, "http://127.0.0.1/c", None);
        check("http://127.0.0.1:8080/a", "http://localhost/c", Some("http://localhost/c"));
        check("http://127.0.0.1:8080/a", "file:///srv/c", None);
        check("/srv/a", "file:///srv/c", Some("file:///srv/c"));
        assert!(submodule_url(None, "../c").is_err() && submodule_url(None, "/srv/c").is_err());
        assert!(submodule_url(None, "https://git.example.org/c").is_ok());
    }
}
