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
    /// Requests would be answered from what they ask for, or from a repository that is itself replaced.
    #[error(
        "`{replace}` in `replace` of `{replacing}` and `{url}`, the `url` of `{replaced}`, lie one under the other, so \
         requests would be led in a circle; take one of them away"
    )]
    Loop {
        /// The prefix to be replaced.
        replace: String,
        /// The repository that has it.
        replacing: String,
        /// The URL it covers, or lies under.
        url: String,
        /// Whose URL that is.
        replaced: String,
    },
    /// Two indexes that one tool would have to use by default.
    #[error(
        "`{first}` and `{second}` are both configured as the one {kind} index of the steps; configure one"
    )]
    TwoIndexes {
        /// A repository.
        first: String,
        /// Another one.
        second: String,
        /// Their kind.
        kind: &'static str,
    },
    /// Past [`REPOSITORIES_MAX`].
    #[error("more than {REPOSITORIES_MAX} URLs of repositories")]
    TooMany,
    /// NEW is not the name of an image.
    #[error("bad image name in `--from`")]
    Image(#[from] ReferenceError),
}

/// Checks what must hold between repositories: names are plain and differ, no prefix (`url` or `replace`) lies under
/// another, so that each request belongs to one repository, and each tool has at most one default index.
///
/// # Errors
/// [`RepositoryError::Name`], [`RepositoryError::NameTwice`], [`RepositoryError::Overlap`], [`RepositoryError::Loop`],
/// [`RepositoryError::TwoIndexes`], [`RepositoryError::TooMany`].
pub fn check_repositories(repositories: &[Repository]) -> Result<(), RepositoryError> {
    if repositories.iter().map(|repository| 1 + repository.replace.len()).sum::<usize>() > REPOSITORIES_MAX {
        return Err(RepositoryError::TooMany);
    }
    let mut prefixes: Vec<Prefix<'_>> = Vec::new();
    for (index, repository) in repositories.iter().enumerate() {
        check_name(&repository.name)?;
        if repositories[..index].iter().any(|other| other.name == repository.name) {
            return Err(RepositoryError::NameTwice(repository.name.clone()));
        }
        let same = |other: &&Repository| other.configure && other.kind == repository.kind;
        let one = repository.configure && repository.kind != RepositoryKind::Yum; // yum takes any number.
        if let Some(other) = repositories[..index].iter().find(same).filter(|_| one) {
            let (first, second) = (other.name.clone(), repository.name.clone());
            return Err(RepositoryError::TwoIndexes { first, second, kind: repository.kind.name() });
        }
        for (place, text) in std::iter::once(&repository.url).chain(&repository.replace).enumerate() {
            let prefix = Prefix { text, own: place == 0, of: &repository.name };
            if let Some(other) = prefixes.iter().find(|other| prefix.overlaps(other)) {
                return Err(prefix.clashes(other));
            }
            prefixes.push(prefix);
        }
    }
    Ok(())
}

/// One URL of a repository.
struct Prefix<'a> {
    text: &'a str,
    /// Whether it is the `url`, not one in `replace`.
    own: bool,
    of: &'a str,
}

impl Prefix<'_> {
    fn overlaps(&self, other: &Self) -> bool {
        lies_under(self.text, other.text) || lies_under(other.text, self.text)
    }

    fn clashes(&self, other: &Self) -> RepositoryError {
        if self.own == other.own {
            let (inner, outer) =
                if self.text.len() < other.text.len() { (other, self) } else { (self, other) };
            return RepositoryError::Overlap { inner: inner.text.to_owned(), outer: outer.text.to_owned() };
        }
        let (replace, url) = if self.own { (other, self) } else { (self, other) };
        RepositoryError::Loop {
            replace: replace.text.to_owned(),
            replacing: replace.of.to_owned(),
            url: url.text.to_owned(),
            replaced: url.of.to_owned(),
        }
    }
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
    Ok(Repository::plain(name.to_owned(), RepositoryKind::Generic, prefix(url)?))
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
