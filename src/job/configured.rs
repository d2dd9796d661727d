//! How RUN steps are set up to use a repository as their tool's index (`configure`): variables, and files under
//! `/dev/.gw` that the shim mounts. A function of the definition, so that a rebuild does the same.

use std::collections::BTreeMap;

use url::Url;

use super::SharedCheckout;
use crate::{
    model::{Digest, Repository, RepositoryKind, SignerFile, limits::SIGNER_SIZE_BYTES_MAX},
    pin::{PinError, Signers},
    source::SourceError,
};

/// Why a pinned key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// It is not in the source.
    #[error("repository `{repository}`: there is no `{path}` in the source at that commit")]
    Missing {
        /// Whose key.
        repository: String,
        /// Where it should be.
        path: String,
    },
    /// The source has another one than was recorded.
    #[error("repository `{repository}`: `{path}` is not the recorded {digest}")]
    Other {
        /// Whose key.
        repository: String,
        /// Where it is.
        path: String,
        /// What it was.
        digest: Digest,
    },
    /// It is none.
    #[error("repository `{repository}`: cannot pin to `{path}`")]
    Key {
        /// Whose key.
        repository: String,
        /// Where it is.
        path: String,
        /// Why not.
        source: PinError,
    },
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Reads the keys at `path` of `checkout` that pin `repository`.
///
/// # Errors
/// [`SignerError`].
pub fn signers(
    checkout: &SharedCheckout,
    repository: &str,
    path: &str,
) -> Result<(SignerFile, Signers), SignerError> {
    let (repository, path) = (repository.to_owned(), path.to_owned());
    let Some(bytes) = checkout.lock().read(&path, SIGNER_SIZE_BYTES_MAX)? else {
        return Err(SignerError::Missing { repository, path });
    };
    match Signers::parse(&bytes) {
        Ok(signers) => Ok((SignerFile { path, digest: Digest::of(&bytes) }, signers)),
        Err(source) => Err(SignerError::Key { repository, path, source }),
    }
}

/// The keys at `path` of `checkout`, if their file is the recorded one.
///
/// # Errors
/// [`SignerError`].
pub fn recorded_signers(
    checkout: &SharedCheckout,
    repository: &str,
    (path, digest): (&str, &Digest),
) -> Result<Signers, SignerError> {
    let (found, signers) = signers(checkout, repository, path)?;
    if found.digest != *digest {
        let (repository, path) = (repository.to_owned(), path.to_owned());
        return Err(SignerError::Other { repository, path, digest: *digest });
    }
    Ok(signers)
}

/// Variables of every step; what image or Dockerfile set wins, as for all of them.
#[must_use]
pub fn environment(repositories: &[Repository]) -> BTreeMap<String, String> {
    let configured = repositories.iter().filter(|repository| repository.configure);
    let variables = configured.flat_map(|Repository { kind, url, .. }| match kind {
        RepositoryKind::Pypi => {
            let plain = plain_http(url);
            let unsafe_host = plain
                .iter()
                .flat_map(|host| ["PIP_TRUSTED_HOST", "UV_INSECURE_HOST"].map(|key| (key, host.clone())));
            ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"]
                .map(|key| (key, url.clone()))
                .into_iter()
                .chain(unsafe_host)
                .collect()
        }
        RepositoryKind::Npm => vec![("npm_config_registry", format!("{url}/"))],
        RepositoryKind::Go => vec![("GOPROXY", url.clone())],
        _ => Vec::new(),
    });
    variables.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The host of a URL without TLS, which pip and uv take only if they are told; between step and gateway there is none
/// anyway.
fn plain_http(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Files under `/dev/.gw` (path, bytes, mode): the directory that stands in for `/etc/yum.repos.d`.
///
/// # Errors
/// [`SignerError`] if a key that they name is not in `checkout` as recorded.
pub fn files(
    checkout: &SharedCheckout,
    repositories: &[Repository],
) -> Result<Vec<(String, Vec<u8>, u32)>, SignerError> {
    let mut files = Vec::new();
    for repository in repositories.iter().filter(|it| it.configure && it.kind == RepositoryKind::Yum) {
        let Repository { name, url, key, .. } = repository;
        if let Some(SignerFile { path, digest }) = key {
            let signers = recorded_signers(checkout, name, (path, digest))?;
            let wrong = |source| SignerError::Key { repository: name.clone(), path: path.clone(), source };
            files.push((format!("keys/{name}.asc"), signers.armored().map_err(wrong)?.into_bytes(), 0o644));
        }
        files.push((format!("yum.repos.d/{name}.repo"), repo(name, url, key.is_some()).into_bytes(), 0o644));
    }
    Ok(files)
}

/// A repository as yum and dnf read it (dnf.conf(5)); signatures are checked, whatever their default.
fn repo(name: &str, url: &str, pinned: bool) -> String {
    let key = if pinned { format!("gpgkey=file:///dev/.gw/keys/{name}.asc\n") } else { String::new() };
    format!("[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\n{key}sslcacert=/dev/.gw/ca.pem\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: RepositoryKind, url: &str, configure: bool) -> Repository {
        Repository { configure, ..Repository::plain("main".into(), kind, url.into()) }
    }

    #[test]
    fn each_tool_has_its_variables() {
        let check = |kind, url: &str, expected: &[(&str, &str)]| {
            let found = environment(&[of(kind, url, true)]);
            let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(found, expected);
            assert_eq!(environment(&[of(kind, url, false)]), BTreeMap::new());
        };
        let https = "https://mirror.example.org/simple";
        check(RepositoryKind::Pypi, https, &[("PIP_INDEX_URL", https), ("UV_DEFAULT_INDEX", https)]);
        let http = "http://mirror.example.org:81/simple";
        let host = "mirror.example.org:81";
        check(
            RepositoryKind::Pypi,
            http,
            &[
                ("PIP_INDEX_URL", http),
                ("PIP_TRUSTED_HOST", host),
                ("UV_DEFAULT_INDEX", http),
                ("UV_INSECURE_HOST", host),
            ],
        );
        check(
            RepositoryKind::Npm,
            "https://m.example.org",
            &[("npm_config_registry", "https://m.example.org/")],
        );
        check(RepositoryKind::Go, "https://m.example.org", &[("GOPROXY", "https://m.example.org")]);
        check(RepositoryKind::Yum, "https://m.example.org", &[]);
    }

    #[test]
    fn a_yum_repository_always_has_its_signatures_checked() {
        let text = repo("main", "http://mirror.example.org/os", true);
        assert!(text.contains("\ngpgcheck=1\ngpgkey=file:///dev/.gw/keys/main.asc\n"), "{text}");
        let text = repo("main", "http://mirror.example.org/os", false);
        assert!(text.contains("\ngpgcheck=1\n") && !text.contains("gpgkey"), "{text}");
    }
}
