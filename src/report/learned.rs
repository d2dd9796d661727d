//! What `build --learn` says: the repositories that would allow exactly what was fetched.

use std::{collections::BTreeMap, fmt::Write as _};

use url::Url;

use crate::model::{Repository, RepositoryKind};

/// The repositories that would allow `urls`: for each origin, those of one first path segment share the longest
/// directory they have in common.
#[must_use]
pub fn repositories<'a>(urls: impl IntoIterator<Item = &'a str>) -> Vec<Repository> {
    // Origin → first segment → (path of the prefix, whether packages' own paths say what speaks there).
    let mut origins: BTreeMap<String, BTreeMap<String, (String, RepositoryKind)>> = BTreeMap::new();
    for url in urls.into_iter().filter_map(|url| Url::parse(url).ok()) {
        let path = url.path().trim_end_matches('/');
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let kind = kind(path);
        let groups = origins.entry(url.origin().ascii_serialization()).or_default();
        let group = groups.entry(first).or_insert_with(|| (path.to_owned(), kind));
        group.0 = common(&group.0, path).to_owned();
        if kind != RepositoryKind::Generic {
            group.1 = kind;
        }
    }
    let mut found = Vec::new();
    for (origin, mut groups) in origins {
        if let Some(root) = groups.remove("") {
            groups = BTreeMap::from([(String::new(), root)]); // All of the origin: nothing stands beside it.
        }
        for (path, kind) in groups.into_values() {
            let name = format!("repository-{}", found.len() + 1);
            found.push(Repository::plain(name, kind, format!("{origin}{path}")));
        }
    }
    found
}

/// `[[repository]]` tables for reprov.toml.
#[must_use]
pub fn tables(repositories: &[Repository]) -> String {
    let mut out = String::new();
    for repository in repositories {
        let kind = serde_json::to_string(&repository.kind).unwrap_or_default();
        let url = serde_json::to_string(&repository.url).unwrap_or_default();
        // Writing to a String cannot fail; a JSON string is a TOML string.
        let _ = writeln!(out, "[[repository]]\nname = \"{}\"\nkind = {kind}\nurl = {url}\n", repository.name);
    }
    out
}

/// The longest directory (or the file itself) that both paths lie in.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    if a == b {
        return a;
    }
    let mut end = 0;
    for (part, other) in a.split('/').skip(1).zip(b.split('/').skip(1)) {
        if part != other {
            break;
        }
        end += 1 + part.len();
    }
    &a[..end]
}

/// Guessed from the paths each protocol has; decides nothing.
fn kind(path: &str) -> RepositoryKind {
    let has = |part: &str| path.contains(part);
    if has("/dists/") || has("/pool/") {
        RepositoryKind::Apt
    } else if has("/repodata/") {
        RepositoryKind::Yum
    } else if has("/simple/") {
        RepositoryKind::Pypi
    } else {
        RepositoryKind::Generic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, Repositories};

    #[track_caller]
    fn check(urls: &[&str], expected: &[&str]) {
        let learned = repositories(urls.iter().copied());
        let shown: Vec<&str> = learned.iter().map(|repository| repository.url.as_str()).collect();
        assert_eq!(shown, expected);
        let recipe = Recipe::parse(&tables(&learned)).unwrap();
        assert!(matches!(recipe.repositories, Repositories::Only(read) if read == learned));
    }

    #[test]
    fn groups_by_what_is_common() {
        check(
            &[
                "http://mirror.example.org/debian/dists/x/InRelease",
                "http://mirror.example.org/debian/pool/a/a.deb",
                "https://mirror.example.org/debian/pool/b.deb?x=1",
            ],
            &["http://mirror.example.org/debian", "https://mirror.example.org/debian/pool/b.deb"],
        );
        check(
            &["http://a.example.org:81/one", "http://a.example.org:81/two/x"],
            &["http://a.example.org:81/one", "http://a.example.org:81/two/x"],
        );
        check(&["http://a.example.org/d/", "http://a.example.org/d/x"], &["http://a.example.org/d"]);
        check(&["http://a.example.org/", "http://a.example.org/d/x"], &["http://a.example.org"]);
        check(&["http://a.example.org/ab/c1", "http://a.example.org/ab/c2"], &["http://a.example.org/ab"]);
    }

    #[test]
    fn guesses_kinds_and_quotes() {
        let learned = repositories([
            "http://m.example.org/d/dists/x",
            "http://m.example.org/s/simple/p/",
            "http://m.example.org/q\"\\\u{1b}/x",
        ]);
        let kinds: Vec<_> = learned.iter().map(|repository| repository.kind).collect();
        assert_eq!(kinds, [RepositoryKind::Apt, RepositoryKind::Generic, RepositoryKind::Pypi]);
        assert!(Recipe::parse(&tables(&learned)).is_ok(), "{}", tables(&learned));
    }
}
