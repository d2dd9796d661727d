//! A repository of a registry as URLs. Pure.

use std::net::IpAddr;

use url::Url;

use super::RegistryError;

/// One repository of one registry.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `host[:port]` as the user wrote it.
    pub host: String,
    /// Its path.
    pub repository: String,
    /// `scheme://endpoint/v2/REPOSITORY/`.
    base: Url,
}

impl Place {
    /// Plain HTTP for loopback hosts and where it is `plain`, else HTTPS.
    pub(super) fn new(host: &str, repository: &str, plain: bool) -> Result<Self, RegistryError> {
        let scheme = if plain || is_loopback(host) { "http" } else { "https" };
        // Docker Hub's API lives on a host of its own.
        let endpoint = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let base = Url::parse(&format!("{scheme}://{endpoint}/v2/{repository}/"))
            .map_err(|_| RegistryError::answer(host, "not a registry host"))?;
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), base })
    }

    /// The URL of `rest` (`manifests/latest`) in this repository.
    pub(super) fn url(&self, rest: &str) -> Url {
        self.base.join(rest).unwrap_or_else(|_| self.base.clone()) // Tags and digests always join.
    }

    /// The URL that only tells whether a login is wanted.
    pub(super) fn root(&self) -> Url {
        self.url("/v2/")
    }

    /// `host[:port]` that is really spoken to.
    pub(super) fn endpoint(&self) -> &str {
        &self.base[url::Position::BeforeHost..url::Position::AfterPort]
    }

    /// Whether `url` is on the registry itself, so may see the credentials.
    pub(super) fn owns(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }

    pub(super) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// `host/repository` and `reference`, for messages.
    pub(super) fn name(&self, reference: &str) -> String {
        let mark = if reference.starts_with("sha256:") { '@' } else { ':' };
        format!("{}/{}{mark}{reference}", self.host, self.repository)
    }
}

/// Whether `host[:port]` is this machine: `localhost`, 127.0.0.0/8, `[::1]`.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn urls() {
        let check = |host: &str, rest: &str, expected: &str| {
            let place = Place::new(host, "a/b", host == "plain.example:5000").unwrap();
            assert_eq!(place.url(rest).as_str(), expected);
            assert!(place.owns(&place.url(rest)) && place.owns(&place.root()));
        };
        check("r.example.org", "manifests/v1", "https://r.example.org/v2/a/b/manifests/v1");
        check("plain.example:5000", "tags/list", "http://plain.example:5000/v2/a/b/tags/list");
        check("docker.io", "manifests/v1", "https://registry-1.docker.io/v2/a/b/manifests/v1");
        let digest = Digest::of(b"");
        check("[::1]:5000", &format!("blobs/{digest}"), &format!("http://[::1]:5000/v2/a/b/blobs/{digest}"));
        assert!(Place::new("a:b:c", "r", false).is_err());
    }

    #[test]
    fn endpoint_keeps_its_port() {
        let check = |host: &str, expected: &str| {
            assert_eq!(Place::new(host, "r", false).unwrap().endpoint(), expected);
        };
        check("127.0.0.1:5000", "127.0.0.1:5000");
        check("[::1]:5000", "[::1]:5000");
        check("docker.io", "registry-1.docker.io");
    }

    #[test]
    fn loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "128.0.0.1", "127.0.0.1.example.org", "[::2]:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
