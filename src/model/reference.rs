//! Names of images (CLI.md, "Names of images"), as written on the command line and in Dockerfiles.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{Digest, DigestError};

/// Where an image lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A repository of a registry: `host[:port]` and path.
    Registry {
        /// `host` or `host:port`, lower case.
        host: String,
        /// Path components of lower-case letters, digits, separators.
        repository: String,
    },
    /// A directory in OCI image layout.
    Layout(PathBuf),
}

/// Which image at that place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// A tag (moves).
    pub tag: Option<String>,
    /// A manifest digest (does not); wins over the tag.
    pub digest: Option<Digest>,
}

/// A name of an image: `host[:port]/repo[:tag][@sha256:…]` or `oci:DIR[:TAG][@sha256:…]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    /// Where.
    pub location: Location,
    /// Which one there.
    pub selector: Selector,
}

/// Why a text does not name an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("empty image name")]
    Empty,
    /// No registry host: short names are never completed silently.
    #[error(
        "`{0}` names no registry; write HOST/REPOSITORY (`docker.io/library/{0}` for Docker Hub), or map it with `[from]` in reprov.toml or `--from {0}=HOST/REPOSITORY@sha256:...`"
    )]
    NoRegistry(String),
    /// The repository path has a character or shape that registries refuse.
    #[error("`{0}` is not a repository path (lower-case letters, digits, `.`, `_`, `-`, `/`)")]
    Repository(String),
    /// The host part is not one.
    #[error("`{0}` is not a registry host")]
    Host(String),
    /// The tag is not `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    #[error("`{0}` is not a tag (letters, digits, `_`, `.`, `-`; at most 128)")]
    Tag(String),
    /// The digest is not one.
    #[error("bad digest in an image name")]
    Digest(#[from] DigestError),
    /// A transport that this command cannot read.
    #[error("transport `{0}:` is not supported here; use HOST/REPOSITORY or oci:DIR")]
    Transport(String),
}

impl FromStr for ImageName {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        if let Some(rest) = rest.strip_prefix("oci:") {
            let (dir, tag) = split_tag(rest)?;
            if dir.is_empty() {
                return Err(ReferenceError::Empty);
            }
            let location = Location::Layout(PathBuf::from(dir));
            return Ok(Self { location, selector: Selector { tag, digest } });
        }
        for transport in ["oci-archive", "docker-archive", "docker", "docker-daemon", "dir"] {
            let after = rest.strip_prefix(transport).and_then(|after| after.strip_prefix(':'));
            // `docker:5000/app` is a host with a port.
            if after.is_some_and(|after| !(has_host(rest) && after.starts_with(|c: char| c.is_ascii_digit())))
            {
                return Err(ReferenceError::Transport(transport.to_owned()));
            }
        }
        let (path, tag) = split_tag(rest)?;
        if !has_host(path) {
            return Err(ReferenceError::NoRegistry(rest.to_owned()));
        }
        let (host, repository) =
            path.split_once('/').ok_or_else(|| ReferenceError::NoRegistry(rest.to_owned()))?;
        let location =
            Location::Registry { host: check_host(host)?, repository: check_repository(repository)? };
        Ok(Self { location, selector: Selector { tag, digest } })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Registry { host, repository } => write!(f, "{host}/{repository}")?,
            Location::Layout(dir) => write!(f, "oci:{}", dir.display())?,
        }
        if let Some(tag) = &self.selector.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.selector.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl ImageName {
    /// The same place, another manifest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { selector: Selector { digest: Some(digest), ..self.selector.clone() }, ..self.clone() }
    }

    /// `host/repository`, or `oci:DIR`: the place without tag and digest.
    #[must_use]
    pub fn repository(&self) -> String {
        Self { selector: Selector::default(), ..self.clone() }.to_string()
    }
}

/// A name as Docker reads it: `debian` becomes `docker.io/library/debian:latest`. For comparing the two sides of
/// a `[from]` mapping only, never for pulling.
#[must_use]
pub fn normalised(text: &str) -> String {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let path = if has_host(path) {
        path.replacen("index.docker.io/", "docker.io/", 1)
    } else {
        format!("docker.io/{path}")
    };
    let path = match path.strip_prefix("docker.io/") {
        Some(name) if !name.contains('/') => format!("docker.io/library/{name}"),
        _ => path,
    };
    match (tag, digest) {
        (Some(tag), Some(digest)) => format!("{path}:{tag}@{digest}"),
        (None, Some(digest)) => format!("{path}@{digest}"),
        (tag, None) => format!("{path}:{}", tag.unwrap_or("latest")),
    }
}

/// A name as a URI, by digest if it has one: `docker://HOST/REPOSITORY@sha256:…` or `oci:DIR@sha256:…`.
#[must_use]
pub fn uri(name: &ImageName) -> String {
    let tag = if name.selector.digest.is_some() { None } else { name.selector.tag.clone() };
    let name = ImageName { selector: Selector { tag, ..name.selector.clone() }, ..name.clone() };
    match &name.location {
        Location::Registry { .. } => format!("docker://{name}"),
        Location::Layout(_) => name.to_string(),
    }
}

/// Reads what [`uri`] wrote.
///
/// # Errors
/// Those of [`ImageName::from_str`].
pub fn from_uri(uri: &str) -> Result<ImageName, ReferenceError> {
    uri.strip_prefix("docker://").unwrap_or(uri).parse()
}

/// Whether the first component is a host: it has a dot or a port, or is `localhost` (distribution's rule).
fn has_host(path: &str) -> bool {
    path.split_once('/')
        .is_some_and(|(first, _)| first == "localhost" || first.contains('.') || first.contains(':'))
}

fn split_tag(text: &str) -> Result<(&str, Option<String>), ReferenceError> {
    match text.rsplit_once(':') {
        Some((rest, tag)) if !tag.contains('/') => {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let ok = tag.len() <= 128
                && tag.starts_with(word)
                && tag.chars().all(|c| word(c) || c == '.' || c == '-');
            if ok { Ok((rest, Some(tag.to_owned()))) } else { Err(ReferenceError::Tag(tag.to_owned())) }
        }
        _ => Ok((text, None)),
    }
}

fn check_host(host: &str) -> Result<String, ReferenceError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(allowed) {
        return Err(ReferenceError::Host(host.to_owned()));
    }
    Ok(host.to_ascii_lowercase())
}

fn check_repository(path: &str) -> Result<String, ReferenceError> {
    let component = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
    };
    if path.len() > 255 || !path.split('/').all(component) {
        return Err(ReferenceError::Repository(path.to_owned()));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let digest = Digest::of(b"");
        for text in [
            "127.0.0.1:5000/app:1".to_owned(),
            "registry.example.org/a/b-c/d_e".to_owned(),
            format!("localhost/x:t@{digest}"),
            "oci:/tmp/x:latest".to_owned(),
            format!("oci:out@{digest}"),
        ] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("", "empty");
        check("debian:bookworm", "names no registry");
        check("library/debian", "names no registry");
        check("h.example/Upper", "not a repository path");
        check("h.example/a/../b", "not a repository path");
        check("h.example/a:b c", "not a tag");
        check("h.example/a@sha256:12", "bad digest");
        check("docker-archive:x.tar", "not supported");
    }

    #[test]
    fn normalises_as_docker_reads() {
        assert_eq!(normalised("debian"), "docker.io/library/debian:latest");
        assert_eq!(normalised("docker.io/debian:x"), "docker.io/library/debian:x");
        assert_eq!(normalised("foo/bar@sha256:1"), "docker.io/foo/bar@sha256:1");
        assert_eq!(normalised("h:5000/a"), "h:5000/a:latest");
    }
}
