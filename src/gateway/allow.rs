//! What may be fetched, and where from.

use std::{collections::BTreeMap, sync::Arc};

use hyper::header::HeaderValue;
use url::{Host, Url};

use super::{Access, GatewayError, pinned::Pinned};
use crate::{
    model::{Reason, Repository, RepositoryKind},
    pin::Signers,
    transcript::canonical_url,
};

/// The repositories as prefixes.
#[derive(Debug)]
pub(super) struct Allow {
    rules: Vec<Rule>,
    grants: BTreeMap<String, Grant>,
    learn: bool,
}

#[derive(Debug)]
struct Rule {
    prefix: Url,
    upstream: Url,
    repository: String,
}

/// What holds for all of one repository.
#[derive(Debug)]
struct Grant {
    kind: RepositoryKind,
    /// Goes with requests under the repository's own URL; marked sensitive.
    authorization: Option<HeaderValue>,
    keep: bool,
    signers: Option<Arc<Signers>>,
}

/// Where an allowed request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) upstream: Url,
    pub(super) repository: String,
    pub(super) via: Option<String>,
    /// What the build asked for before it was redirected.
    pub(super) origin: Option<String>,
    pub(super) hops: usize,
}

/// Why a request is not let through: a code, and the end of the sentence the build reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) because: String,
}

impl Refused {
    pub(super) fn new(reason: Reason, because: impl Into<String>) -> Self {
        Self { reason, because: because.into() }
    }
}

impl Allow {
    /// Reads the prefixes of `repositories`, and what of `access` is theirs by name.
    pub(super) fn new(
        repositories: &[Repository],
        access: &BTreeMap<String, Access>,
        learn: bool,
    ) -> Result<Self, GatewayError> {
        let (mut rules, mut grants) = (Vec::new(), BTreeMap::new());
        for repository in repositories {
            let special = access.get(&repository.name);
            let grant = Grant {
                kind: repository.kind,
                authorization: special.map_or(Ok(None), |access| authorization(&repository.name, access))?,
                keep: special.is_some_and(|access| access.keep),
                signers: special.and_then(|access| access.signers.clone()),
            };
            grants.insert(repository.name.clone(), grant);
            let upstream = prefix(&repository.url)?;
            for written in std::iter::once(&repository.url).chain(&repository.replace) {
                rules.push(Rule {
                    prefix: prefix(written)?,
                    upstream: upstream.clone(),
                    repository: repository.name.clone(),
                });
            }
        }
        Ok(Self { rules, grants, learn })
    }

    /// The longest prefix that `url` is under says where it goes.
    pub(super) fn route(&self, url: &Url) -> Result<Route, Refused> {
        let under = self.rules.iter().filter_map(|rule| Some((rule, rule.rest(url)?)));
        let longest = under.min_by_key(|(_, rest)| rest.len());
        let to = |upstream, repository: &str| Route {
            upstream,
            repository: repository.to_owned(),
            via: None,
            origin: None,
            hops: 0,
        };
        match longest {
            Some((rule, rest)) => Ok(to(rule.upstream_of(url, rest), &rule.repository)),
            None if !self.reachable(url) => Err(Refused::new(
                Reason::IpLiteral,
                "names an address that no repository has; use the host's name, or add a [[repository]] table \
                 with exactly this address",
            )),
            None if self.learn => Ok(to(url.clone(), "learned")),
            None => Err(Refused::new(
                Reason::NotAllowed,
                format!(
                    "is not under an allowed repository; add a [[repository]] table whose url is \
                     {}/ or a longer part of it",
                    url.origin().ascii_serialization()
                ),
            )),
        }
    }

    /// The credential for a request to `upstream`: only under the URL of the repository that has it, wherever the
    /// build, a redirect or a `replace` got that URL from.
    pub(super) fn authorization(&self, upstream: &Url) -> Option<&HeaderValue> {
        let own = self.rules.iter().filter(|rule| rule.prefix == rule.upstream);
        let under = own.filter_map(|rule| Some((rule, rule.rest(upstream)?)));
        let (rule, _) = under.min_by_key(|(_, rest)| rest.len())?;
        self.grants.get(&rule.repository)?.authorization.as_ref()
    }

    /// Whether an answer under `repository` must stay on this machine; `carried`: its request had a credential. What a
    /// repository with credentials points to (presigned URLs) is private too.
    pub(super) fn is_private(&self, repository: &str, carried: bool) -> bool {
        let grant = self.grants.get(repository);
        let kept = grant.is_some_and(|grant| grant.keep);
        !kept && (carried || grant.is_some_and(|grant| grant.authorization.is_some()))
    }

    /// Whether yum's conventions hold under `repository`.
    pub(super) fn is_yum(&self, repository: &str) -> bool {
        self.grants.get(repository).is_some_and(|grant| grant.kind == RepositoryKind::Yum)
    }

    /// Who must have signed what comes from `repository`.
    pub(super) fn pinned(&self, repository: &str) -> Option<Pinned> {
        let grant = self.grants.get(repository)?;
        let signers = grant.signers.clone()?;
        Some(Pinned { repository: repository.to_owned(), kind: grant.kind, signers })
    }

    /// Whether a tunnel to the host and port of `origin` can lead to anything allowed.
    pub(super) fn connects(&self, origin: &Url) -> bool {
        let named = |rule: &Rule| rule.prefix.origin() == origin.origin();
        self.rules.iter().any(named) || (self.learn && self.reachable(origin))
    }

    /// Names are; addresses and loopback names only if a repository has exactly them.
    pub(super) fn reachable(&self, url: &Url) -> bool {
        let named = |rule: &Rule| rule.prefix.host() == url.host() || rule.upstream.host() == url.host();
        match url.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let local = name == "localhost" || name.ends_with(".localhost");
                !local || self.rules.iter().any(named)
            }
            Some(_) => self.rules.iter().any(named),
            None => false,
        }
    }
}

impl Rule {
    /// What stands behind the prefix, if `url` is it or below it.
    fn rest<'url>(&self, url: &'url Url) -> Option<&'url str> {
        let rest = url.path().strip_prefix(self.prefix.path().trim_end_matches('/'))?;
        let whole = rest.is_empty() || rest.starts_with('/');
        (url.origin() == self.prefix.origin() && whole).then_some(rest)
    }

    fn upstream_of(&self, url: &Url, rest: &str) -> Url {
        if self.prefix == self.upstream {
            return url.clone();
        }
        let mut upstream = self.upstream.clone();
        upstream.set_path(&format!("{}{rest}", self.upstream.path().trim_end_matches('/')));
        upstream.set_query(url.query());
        upstream
    }
}

fn authorization(repository: &str, access: &Access) -> Result<Option<HeaderValue>, GatewayError> {
    let Some(secret) = &access.authorization else { return Ok(None) };
    let mut value = HeaderValue::from_bytes(secret.expose())
        .map_err(|_| GatewayError::Credential(repository.to_owned()))?; // The cause could show it.
    value.set_sensitive(true);
    Ok(Some(value))
}

fn prefix(url: &str) -> Result<Url, GatewayError> {
    canonical_url(url).map_err(|source| GatewayError::Url { url: url.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn allow(learn: bool) -> Allow {
        let repository = |name: &str, url: &str, replace: &[&str]| Repository {
            replace: replace.iter().map(|&prefix| prefix.to_owned()).collect(),
            ..Repository::plain(name.to_owned(), RepositoryKind::Generic, url.to_owned())
        };
        let repositories = [
            repository("main", "https://mirror.example.org/main", &["http://old.example.org"]),
            repository("inner", "https://mirror.example.org/main/inner", &[]),
            repository("lab", "http://127.0.0.1:8080", &[]),
        ];
        let secret = |text: &str| Some(Secret::new(text));
        let access = [
            ("inner".to_owned(), Access { authorization: secret("Basic eA=="), ..Access::default() }),
            ("lab".to_owned(), Access { authorization: secret("Bearer x"), keep: true, signers: None }),
        ];
        Allow::new(&repositories, &access.into(), learn).unwrap()
    }

    #[track_caller]
    fn check(url: &str, expected: Result<(&str, &str), &str>) {
        let route = allow(false).route(&canonical_url(url).unwrap());
        let seen = route.as_ref().map(|route| (route.repository.as_str(), route.upstream.as_str()));
        assert_eq!(seen.map_err(|refused| refused.reason.code()), expected);
    }

    #[test]
    fn prefixes_end_at_slashes() {
        check("https://mirror.example.org/main/a?b", Ok(("main", "https://mirror.example.org/main/a?b")));
        check("https://mirror.example.org/main", Ok(("main", "https://mirror.example.org/main")));
        check(
            "https://MIRROR.example.org:443/main/inner/a",
            Ok(("inner", "https://mirror.example.org/main/inner/a")),
        );
        check("https://mirror.example.org/mainly", Err("not-allowed"));
        check("https://mirror.example.org/main%2fa", Err("not-allowed"));
        check("https://mirror.example.org/Main/a", Err("not-allowed"));
        check("http://mirror.example.org/main/a", Err("not-allowed"));
        check("https://mirror.example.org:444/main/a", Err("not-allowed"));
        check("https://mirror.example.org.evil.example/main/a", Err("not-allowed"));
        check("https://mirror.example.org@evil.example/main/a", Err("not-allowed"));
    }

    #[test]
    fn replaced_prefixes_go_upstream() {
        check("http://old.example.org/a/b?c=d", Ok(("main", "https://mirror.example.org/main/a/b?c=d")));
        check("http://u:p@old.example.org/a", Ok(("main", "https://mirror.example.org/main/a")));
    }

    #[test]
    fn credentials_go_to_their_repository_only() {
        let allow = allow(false);
        let seen = |url: &str| {
            let value = allow.authorization(&canonical_url(url).unwrap());
            value.map(|value| value.to_str().unwrap())
        };
        assert_eq!(seen("https://mirror.example.org/main/inner/a?b"), Some("Basic eA=="));
        assert_eq!(seen("http://127.0.0.1:8080/"), Some("Bearer x"));
        for url in [
            "https://mirror.example.org/main/a",
            "https://mirror.example.org/main/innermost",
            "http://mirror.example.org/main/inner/a",
            "https://mirror.example.org:444/main/inner/a",
            "https://mirror.example.org.evil.example/main/inner/a",
            "http://127.0.0.1:8081/",
        ] {
            assert_eq!(seen(url), None, "{url}");
        }
        assert!(!format!("{allow:?}").contains("eA=="));
    }

    #[test]
    fn what_credentials_fetched_is_private_unless_it_may_be_kept() {
        let allow = allow(false);
        let private = |repository| [false, true].map(|carried| allow.is_private(repository, carried));
        assert_eq!(private("inner"), [true, true]);
        assert_eq!(private("lab"), [false, false]);
        assert_eq!(private("main"), [false, true]);
        assert_eq!(private("learned"), [false, true]);
    }

    #[test]
    fn addresses_must_be_named_exactly() {
        check("http://127.0.0.1:8080/a", Ok(("lab", "http://127.0.0.1:8080/a")));
        check("http://127.0.0.1:8081/a", Err("not-allowed"));
        check("http://169.254.169.254/a", Err("ip-literal"));
        check("http://2852039166/a", Err("ip-literal"));
        check("http://[::1]/a", Err("ip-literal"));
        check("http://localhost/a", Err("ip-literal"));
    }

    #[test]
    fn learning_lets_names_through_only() {
        let route = |url| allow(true).route(&canonical_url(url).unwrap());
        assert_eq!(route("http://any.example.org/a").unwrap().repository, "learned");
        for url in ["http://169.254.169.254/a", "http://a.localhost/", "http://localhost./"] {
            assert_eq!(route(url).unwrap_err().reason, Reason::IpLiteral, "{url}");
        }
    }

    #[test]
    fn tunnels_only_where_something_is_allowed() {
        let connects = |origin, learn| allow(learn).connects(&canonical_url(origin).unwrap());
        assert!(connects("https://mirror.example.org/", false));
        for origin in
            ["https://mirror.example.org:22/", "https://old.example.org/", "https://127.0.0.1:8080/"]
        {
            assert!(!connects(origin, false), "{origin}");
        }
        assert!(connects("https://any.example.org/", true));
    }
}
