//! `registries.conf` (containers-registries.conf(5), version 2): where images are really read from, and what short
//! names stand for. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{ImageName, Location, ReferenceError, Selector, path::printable};

/// What one or more such files say. Keys that reprov does not know are another program's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistriesConf {
    /// Registries that a short name may belong to.
    #[serde(rename = "unqualified-search-registries")]
    search: Option<Vec<String>>,
    /// Places that are found elsewhere.
    #[serde(rename = "registry")]
    rules: Vec<Rule>,
    /// Short name → full name.
    aliases: BTreeMap<String, String>,
}

/// Where what lies under a prefix is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Rule {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    #[serde(rename = "mirror-by-digest-only")]
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

/// A place that may have the same images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default, rename = "pull-from-mirror")]
    pull: Pull,
}

/// For which names a mirror is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pull {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// Why a text is no such file.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// No TOML, or values of another type.
    #[error("not a registries.conf: {0}")]
    Syntax(String),
    /// A place that cannot be one.
    #[error("`{0}` is not a place of images; write HOST or HOST/REPOSITORY")]
    Place(String),
}

/// Places of one repository, in the order they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) mirrors: Vec<Source>,
    /// The one that is also written to.
    pub(super) primary: Source,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) host: String,
    pub(super) repository: String,
    /// `insecure`: spoken to in plain HTTP. TLS that nobody vouches for is not spoken.
    pub(super) plain: bool,
}

impl RegistriesConf {
    /// Reads one file.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let conf: Self = toml::from_str(text).map_err(|error| ConfError::Syntax(error.to_string()))?;
        conf.checked()
    }

    /// Itself, if every place it names can be one.
    ///
    /// # Errors
    /// [`ConfError::Place`].
    pub fn checked(mut self) -> Result<Self, ConfError> {
        for rule in &mut self.rules {
            let own = (rule.prefix.is_empty() || !rule.location.is_empty()).then_some(&rule.location);
            for written in rule.mirror.iter().map(|mirror| &mirror.location).chain(own) {
                place(written, "/x")?;
            }
            if rule.prefix.is_empty() {
                rule.prefix.clone_from(&rule.location);
            }
        }
        Ok(self)
    }

    /// Puts a file that is read later (`registries.conf.d`) over this one: its list of registries and its rules for a
    /// prefix replace those before, its aliases are added.
    #[must_use]
    pub fn under(mut self, later: Self) -> Self {
        self.rules.retain(|rule| later.rules.iter().all(|other| other.prefix != rule.prefix));
        self.rules.extend(later.rules);
        self.aliases.extend(later.aliases);
        Self { search: later.search.or(self.search), ..self }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Full names that the short `name` (`debian:bookworm`) may stand for: its alias, else one a search registry.
    #[must_use]
    pub fn full_names(&self, name: &str) -> Vec<String> {
        let end = name.find('@').unwrap_or(name.len());
        let tag = name[..end].rfind(':').filter(|colon| !name[*colon..end].contains('/'));
        let (path, rest) = name.split_at(tag.unwrap_or(end));
        if let Some(full) = self.aliases.get(path) {
            return vec![format!("{full}{rest}")];
        }
        let full = |host: &String| match host.as_str() {
            "docker.io" if !path.contains('/') => format!("{host}/library/{name}"),
            _ => format!("{host}/{name}"),
        };
        self.search.iter().flatten().map(full).collect()
    }

    /// Where `host/repository` is read from; none if it is blocked.
    pub(super) fn sources(
        &self,
        host: &str,
        repository: &str,
        by_digest: bool,
    ) -> Result<Option<Sources>, ConfError> {
        let name = format!("{host}/{repository}");
        let own = |plain| Source { host: host.to_owned(), repository: repository.to_owned(), plain };
        let Some((rule, rest)) = self.rule(&name) else {
            return Ok(Some(Sources { mirrors: Vec::new(), primary: own(false) }));
        };
        if rule.blocked {
            return Ok(None);
        }
        let wanted = |mirror: &&Mirror| match mirror.pull {
            Pull::All => by_digest || !rule.mirror_by_digest_only,
            Pull::DigestOnly => by_digest,
            Pull::TagOnly => !by_digest,
        };
        let found = |location: &str, plain| {
            place(location, rest).map(|(host, repository)| Source { host, repository, plain })
        };
        let mirrors =
            rule.mirror.iter().filter(wanted).map(|mirror| found(&mirror.location, mirror.insecure));
        let insecure = rule.insecure;
        let primary = if rule.location.is_empty() { own(insecure) } else { found(&rule.location, insecure)? };
        Ok(Some(Sources { mirrors: mirrors.collect::<Result<_, _>>()?, primary }))
    }

    /// The rule with the longest prefix of `name`, and what follows it; one for a host goes before one for a domain.
    fn rule<'a>(&self, name: &'a str) -> Option<(&Rule, &'a str)> {
        let fits = |rule: &Rule| {
            let rest = match rule.prefix.strip_prefix('*') {
                Some(domain) => {
                    let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
                    host.ends_with(domain).then_some(rest)?
                }
                None => name.strip_prefix(rule.prefix.as_str())?,
            };
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        let found = self.rules.iter().filter_map(|rule| Some((rule, fits(rule)?)));
        found.max_by_key(|(rule, _)| (!rule.prefix.starts_with('*'), rule.prefix.len()))
    }
}

/// `rest`, empty or with its slash, below the place `text`.
fn place(text: &str, rest: &str) -> Result<(String, String), ConfError> {
    let wrong = || ConfError::Place(printable(&text.chars().take(100).collect::<String>()));
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let path = format!("{path}{rest}");
    // A host without a dot (`registry/x`) is one here: nothing else can stand there.
    let known =
        format!("{host}{}/{}", if host.contains(':') { "" } else { ":0" }, path.trim_start_matches('/'));
    let name: ImageName = known.parse().map_err(|_| wrong())?;
    match name.location {
        Location::Registry { repository, .. } if !host.is_empty() && name.selector == Selector::default() => {
            Ok((host.to_ascii_lowercase(), repository))
        }
        _ => Err(wrong()),
    }
}

/// Whether `text` names no registry, so that [`RegistriesConf::full_names`] may know what it stands for.
#[must_use]
pub fn is_short(text: &str) -> bool {
    matches!(text.parse::<ImageName>(), Err(ReferenceError::NoRegistry(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        unqualified-search-registries = ["registry.example.org", "docker.io"]
        short-name-mode = "enforcing"
        [aliases]
        "debian" = "registry.example.org/base/debian"
        [[registry]]
        prefix = "docker.io"
        location = "hub.example.org"
        [[registry.mirror]]
        location = "cache.example.org:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "other.example.org"
        pull-from-mirror = "digest-only"
        [[registry]]
        location = "docker.io/secret"
        blocked = true
        [[registry]]
        prefix = "*.example.net"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "cache.example.org/net"
    "#;

    fn check_sources(name: &str, by_digest: bool, expected: &[&str]) {
        let conf = RegistriesConf::parse(FILE).unwrap();
        let (host, repository) = name.split_once('/').unwrap();
        let found = conf.sources(host, repository, by_digest).unwrap();
        let shown = |Source { host, repository, plain }| {
            format!("{}{host}/{repository}", if plain { "http:" } else { "" })
        };
        let found: Vec<_> = found
            .into_iter()
            .flat_map(|sources| sources.mirrors.into_iter().chain([sources.primary]))
            .map(shown)
            .collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn the_longest_prefix_decides() {
        let (cache, hub) = ("http:cache.example.org:5000/hub/library/x", "hub.example.org/library/x");
        check_sources("docker.io/library/x", false, &[cache, hub]);
        check_sources("docker.io/library/x", true, &[cache, "other.example.org/library/x", hub]);
        check_sources("docker.io/secret/x", true, &[]);
        check_sources(
            "docker.io/secretive/x",
            false,
            &["http:cache.example.org:5000/hub/secretive/x", "hub.example.org/secretive/x"],
        );
        check_sources("a.b.example.net/x", false, &["a.b.example.net/x"]);
        check_sources("a.example.net/x", true, &["cache.example.org/net/x", "a.example.net/x"]);
        check_sources("example.net/x", true, &["example.net/x"]);
        check_sources("docker.io.example.org/x", true, &["docker.io.example.org/x"]);
    }

    #[test]
    fn insecure_is_what_lies_under_the_prefix_and_nothing_else() {
        let rules = "[[registry]]\nprefix = \"r.example/dev\"\ninsecure = true\n\
            [[registry]]\nprefix = \"*.example.net\"\ninsecure = true\n";
        let conf = RegistriesConf::parse(rules).unwrap();
        let plain = |host: &str, path: &str| conf.sources(host, path, true).unwrap().unwrap().primary.plain;
        assert!(plain("r.example", "dev/a") && plain("a.example.net", "x"));
        assert!(!plain("r.example", "prod/a") && !plain("example.net", "x"));
    }

    #[test]
    fn short_names_have_an_alias_or_are_searched() {
        let conf = RegistriesConf::parse(FILE).unwrap();
        let check = |name: &str, expected: &[&str]| assert_eq!(conf.full_names(name), expected, "{name}");
        check("debian:bookworm", &["registry.example.org/base/debian:bookworm"]);
        check("debian@sha256:12", &["registry.example.org/base/debian@sha256:12"]);
        check("x:1", &["registry.example.org/x:1", "docker.io/library/x:1"]);
        check("a/x", &["registry.example.org/a/x", "docker.io/a/x"]);
        assert!(is_short("debian:bookworm") && is_short("a/x") && !is_short("h.example/a"));
    }

    #[test]
    fn later_files_win() {
        let later =
            "unqualified-search-registries = []\n[[registry]]\nprefix = \"docker.io\"\nblocked = true\n";
        let conf = RegistriesConf::parse(FILE).unwrap().under(RegistriesConf::parse(later).unwrap());
        assert_eq!(conf.sources("docker.io", "library/x", false).unwrap(), None);
        assert!(conf.full_names("x").is_empty());
        assert_eq!(conf.full_names("debian").len(), 1);
        assert!(RegistriesConf::parse("").unwrap().is_empty());
    }

    #[test]
    fn refuses() {
        let check = |text: &str, expected: &str| {
            let error = RegistriesConf::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("registry = 1", "not a registries.conf");
        check("[[registry]]\nprefix = \"h\"\nlocation = \"h/../x\"", "`h/../x` is not a place");
        check("[[registry]]\nblocked = true", "is not a place");
        check("[[registry]]\nprefix = \"h\"\n[[registry.mirror]]\nlocation = \"a b\"", "`a b`");
        check("[[registry]]\nprefix = \"h\"\n[[registry.mirror]]\nlocation = \"h/x:tag\"", "`h/x:tag`");
    }
}
