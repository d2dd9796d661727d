//! How builders write where things are: git, images, package URLs.

use std::collections::BTreeMap;

use crate::{
    attest::ClaimedSource,
    model::{Digest, reference::normalised},
};

/// The commit that a git URI and its digests name: `git+https://…@refs/…`, `https://….git#ref[:subdir]`,
/// `git://…#commit`. Nothing if it is no git's. Beside it, a subdirectory of the context.
pub(super) fn git(uri: &str, digest: &BTreeMap<String, String>) -> Option<(ClaimedSource, Option<String>)> {
    let bare = uri.strip_prefix("git+").unwrap_or(uri);
    let scheme = bare.split_once("://").map(|(scheme, _)| scheme)?;
    let (place, fragment) = match bare.split_once('#') {
        Some((place, fragment)) => (place, Some(fragment)),
        None => (bare, None),
    };
    let place = place.split('?').next().unwrap_or_default();
    let (place, at) = reference_behind(place);
    let gits = uri.starts_with("git+")
        || matches!(scheme, "git" | "ssh")
        || place.ends_with(".git")
        || digest.contains_key("gitCommit");
    if !gits {
        return None;
    }
    let (named, subdir) = match fragment.map(|fragment| fragment.split_once(':').unwrap_or((fragment, ""))) {
        Some((named, subdir)) => (Some(named), Some(subdir.to_owned()).filter(|subdir| !subdir.is_empty())),
        None => (at, None),
    };
    let named = named.filter(|named| !named.is_empty());
    let commit = ["gitCommit", "sha1"].iter().find_map(|algorithm| digest.get(*algorithm)).cloned();
    let commit = commit.filter(|id| is_commit(id));
    let commit = commit.or_else(|| named.filter(|named| is_commit(named)).map(str::to_owned));
    let reference = named.filter(|named| Some(*named) != commit.as_deref()).map(str::to_owned);
    let source = ClaimedSource { uri: Some(format!("git+{}", public(place))), commit, reference };
    Some((source, subdir))
}

/// Whether this is a whole commit id.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `https://host/repo@refs/heads/main` taken apart; an `@` of a user name is none.
fn reference_behind(place: &str) -> (&str, Option<&str>) {
    let path = place
        .split_once("://")
        .map_or(0, |(scheme, rest)| scheme.len() + 3 + rest.find('/').unwrap_or(rest.len()));
    match place[path..].find('@') {
        Some(at) => (&place[..path + at], Some(&place[path + at + 1..])),
        None => (place, None),
    }
}

/// A URL without whose it is, for what is published or said.
#[must_use]
pub fn public(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // The user of git over ssh is the same for everybody, and needed.
    match host.rsplit_once('@') {
        Some((user, host)) if scheme == "ssh" && !user.contains(':') => {
            format!("{scheme}://{user}@{host}{path}")
        }
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

/// Whether `uri` names an image.
pub(super) fn is_image(uri: &str) -> bool {
    ["pkg:docker/", "pkg:oci/", "oci://", "docker://"].iter().any(|prefix| uri.starts_with(prefix))
}

/// An image under its usual name, `docker://HOST/REPOSITORY@sha256:…`, and the digest that stood in `uri` itself; as
/// written if it cannot be told.
pub(super) fn image(uri: &str, sha256: Option<Digest>) -> (String, Option<Digest>) {
    let Some((name, tag, inner)) = named_image(uri) else { return (uri.to_owned(), None) };
    let digest = sha256.or(inner);
    let used = match (digest, tag) {
        (Some(digest), _) => normalised(&format!("{name}@{digest}")),
        (None, Some(tag)) => normalised(&format!("{name}:{tag}")),
        (None, None) => normalised(&name),
    };
    (format!("docker://{used}"), inner)
}

/// Name, tag and digest of an image's URI.
fn named_image(uri: &str) -> Option<(String, Option<String>, Option<Digest>)> {
    if let Some(rest) = uri.strip_prefix("pkg:docker/").or_else(|| uri.strip_prefix("pkg:oci/")) {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, version) = match path.rsplit_once('@') {
            Some((name, version)) => (decoded(name), Some(decoded(version))),
            None => (decoded(path), None),
        };
        let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let get = |key: &str| query.get(key).map(|value| decoded(value));
        let name = get("repository_url").unwrap_or(name);
        let in_version = version.as_deref().and_then(|version| version.parse::<Digest>().ok());
        let digest = in_version.or_else(|| get("digest").and_then(|digest| digest.parse().ok()));
        let tag = get("tag").or_else(|| version.filter(|_| in_version.is_none()));
        return Some((name, tag, digest));
    }
    let rest = uri.strip_prefix("oci://").or_else(|| uri.strip_prefix("docker://"))?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, digest.parse::<Digest>().ok()),
        None => (rest, None),
    };
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => Some((name.to_owned(), Some(tag.to_owned()), digest)),
        _ => Some((rest.to_owned(), None, digest)),
    }
}

/// Percent-decoded; what is no escape stays.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high * 16 + low);
            rest = &behind[2..];
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "4b220de5058abfd01ff619c9d2ff6b09a049bea0";

    #[track_caller]
    fn check(uri: &str, sha1: Option<&str>, expected: Option<(&str, Option<&str>, Option<&str>)>) {
        let digest = sha1.map(|sha1| ("sha1".to_owned(), sha1.to_owned())).into_iter().collect();
        let found = git(uri, &digest).map(|(source, _)| source);
        let expected = expected.map(|(uri, commit, reference)| ClaimedSource {
            uri: Some(uri.to_owned()),
            commit: commit.map(str::to_owned),
            reference: reference.map(str::to_owned),
        });
        assert_eq!(found, expected, "{uri}");
    }

    #[test]
    fn git_as_builders_write_it() {
        let moby = "git+https://github.com/moby/buildkit.git";
        let tag = Some("refs/tags/v0.11.0");
        check(&format!("{}#refs/tags/v0.11.0", &moby[4..]), Some(COMMIT), Some((moby, Some(COMMIT), tag)));
        check(&format!("{moby}@refs/tags/v0.11.0"), Some(COMMIT), Some((moby, Some(COMMIT), tag)));
        check(&format!("{}#{COMMIT}", &moby[4..]), None, Some((moby, Some(COMMIT), None)));
        check("git://host/x#a14f145244", None, Some(("git+git://host/x", None, Some("a14f145244"))));
        check("git+https://u:p@host/x", Some(COMMIT), Some(("git+https://host/x", Some(COMMIT), None)));
        check("git+ssh://git@host/x@main", None, Some(("git+ssh://git@host/x", None, Some("main"))));
        check("https://github.com/actions/virtual-environments/releases/tag/ubuntu20", None, None);
        check("pkg:docker/alpine@3.17", None, None);
        let (source, subdir) = git("https://host/x.git#main:sub/dir", &BTreeMap::new()).unwrap();
        assert_eq!((source.reference.as_deref(), subdir.as_deref()), (Some("main"), Some("sub/dir")));
    }

    #[test]
    fn images_as_builders_write_them() {
        let digest = Digest::of(b"image");
        let check = |uri: &str, sha256: Option<Digest>, expected: String| {
            assert_eq!(image(uri, sha256).0, expected, "{uri}");
        };
        let hub = format!("docker://docker.io/library/alpine@{digest}");
        check("pkg:docker/alpine@3.17?platform=linux%2Famd64", Some(digest), hub.clone());
        check(&format!("pkg:docker/alpine?digest={digest}"), None, hub);
        check("pkg:docker/ghcr.io/a/b@1", Some(digest), format!("docker://ghcr.io/a/b@{digest}"));
        let oci =
            format!("pkg:oci/b@{}?repository_url=ghcr.io%2Fa%2Fb", digest.to_string().replace(':', "%3A"));
        check(&oci, None, format!("docker://ghcr.io/a/b@{digest}"));
        check("oci://gcr.io/test1/test1", Some(digest), format!("docker://gcr.io/test1/test1@{digest}"));
        check("oci://gcr.io/test1/test1:2", None, "docker://gcr.io/test1/test1:2".to_owned());
        check("pkg:docker/100%@1", None, "docker://docker.io/library/100%:1".to_owned());
    }
}
