//! Rules every list of repositories keeps, wherever it comes from.

use url::Url;

use crate::model::{
    ImageName, ReferenceError, Repository, RepositoryKind,
    limits::{PATH_SIZE_BYTES_MAX, REPOSITORIES_MAX},
    reference::normalised,
};

/// Why a repository cannot be allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Not `NAME=URL` or `OLD=NEW`.
    #[error("`{text}` is not {form}")]
    Form {
        /// As written.
        text: String,
        /// What it should look like.
        form: &'static str,
    },
    /// Not a plain word.
    #[error("`{0}` is not a repository's name (letters, digits, `.`, `_`, `-`; at most 64)")]
    Name(String),
    /// Two repositories of one name.
    #[error("two repositories are named `{0}`; rename one")]
    NameTwice(String),
    /// Not a prefix of URLs.
    #[error("`{url}` cannot be allowed: {reason}")]
    Url {
        /// As written, without what may be a password.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// One prefix is under another: requests there would belong to both.
    #[error("`{inner}` lies under `{outer}`; keep one of them")]
    Overlap {
        /// The longer one.
        inner: String,
        /// The shorter one.
        outer: String,
    },
    /// Past [`REPOSITORIES_MAX`].
    #[error("more than {REPOSITORIES_MAX} URLs of repositories")]
    TooMany,
    /// NEW is not the name of an image.
    #[error("bad image name in `--from`")]
    Image(#[from] ReferenceError),
}

/// Checks what must hold between repositories: names are plain and differ, and no prefix lies under another.
///
/// # Errors
/// [`RepositoryError::Name`], [`RepositoryError::NameTwice`], [`RepositoryError::Overlap`], [`RepositoryError::TooMany`].
pub fn check_repositories(repositories: &[Repository]) -> Result<(), RepositoryError> {
    if repositories.iter().map(|repository| 1 + repository.replace.len()).sum::<usize>() > REPOSITORIES_MAX {
        return Err(RepositoryError::TooMany);
    }
    let mut prefixes: Vec<&str> = Vec::new();
    for (index, repository) in repositories.iter().enumerate() {
        check_name(&repository.name)?;
        if repositories[..index].iter().any(|other| other.name == repository.name) {
            return Err(RepositoryError::NameTwice(repository.name.clone()));
        }
        for url in std::iter::once(&repository.url).chain(&repository.replace) {
            for other in &prefixes {
                let (inner, outer) =
                    if url.len() < other.len() { (*other, url.as_str()) } else { (url.as_str(), *other) };
                if lies_under(inner, outer) {
                    return Err(RepositoryError::Overlap {
                        inner: inner.to_owned(),
                        outer: outer.to_owned(),
                    });
                }
            }
            prefixes.push(url);
        }
    }
    Ok(())
}

/// Whether a request for `inner` is a request under `outer`.
fn lies_under(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_name(name: &str) -> Result<(), RepositoryError> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain =
        name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(word);
    if plain { Ok(()) } else { Err(RepositoryError::Name(name.chars().take(100).collect())) }
}

/// A URL as a prefix: absolute, `http` or `https`, nothing but host, port and path; no trailing slash.
pub(super) fn prefix(text: &str) -> Result<String, RepositoryError> {
    let refuse = |reason| RepositoryError::Url { url: without_userinfo(text), reason };
    if text.len() > PATH_SIZE_BYTES_MAX {
        return Err(refuse("too long"));
    }
    let url = Url::parse(text).map_err(|_| refuse("not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("only http and https can be recorded"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || text.contains('@') && !url.path().contains('@')
    {
        return Err(refuse("credentials never belong into a recipe"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a prefix has no query or fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn without_userinfo(text: &str) -> String {
    let shown: String = text.chars().take(200).collect();
    match shown.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}{}", &rest[authority.len()..])
        }
        None => shown,
    }
}

/// Reads `--allow NAME=URL`.
///
/// # Errors
/// [`RepositoryError`]: another form, name or URL.
pub fn parse_allow(text: &str) -> Result<Repository, RepositoryError> {
    let form = || RepositoryError::Form { text: text.to_owned(), form: "NAME=URL" };
    let (name, url) = text.split_once('=').ok_or_else(form)?;
    check_name(name)?;
    Ok(Repository {
        name: name.to_owned(),
        kind: RepositoryKind::Generic,
        url: prefix(url)?,
        replace: Vec::new(),
    })
}

/// Reads `--from OLD=NEW`: OLD normalised, and NEW.
///
/// # Errors
/// [`RepositoryError`]: another form, or NEW is not the name of an image.
pub fn parse_from(text: &str) -> Result<(String, ImageName), RepositoryError> {
    let form = || RepositoryError::Form { text: text.to_owned(), form: "OLD=NEW" };
    let (old, new) = text.split_once('=').ok_or_else(form)?;
    if old.is_empty() || old.contains(char::is_whitespace) {
        return Err(form());
    }
    Ok((normalised(old), new.parse()?))
}
