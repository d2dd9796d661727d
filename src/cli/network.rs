//! How the outside is reached: `--config`, with the environment above its `[network]` and podman's files in place of its
//! mirrors.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IgnoredAny};

use super::{failure::Failure, global::Global};
use crate::{
    model::{
        Network, Proxies, Secret,
        limits::{AUTH_FILE_SIZE_BYTES_MAX, read_bounded},
    },
    registry::RegistriesConf,
};

/// What podman calls its file of mirrors and short names.
const REGISTRIES_CONF: &str = "registries.conf";

/// The file that `--config` names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Config {
    network: Written,
    // As in registries.conf; `RegistriesConf` reads them.
    registry: IgnoredAny,
    aliases: IgnoredAny,
    unqualified_search_registries: IgnoredAny,
}

/// `[network]` as written.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Written {
    /// URL of the proxy for everything.
    proxy: Option<String>,
    /// What is reached without.
    no_proxy: Option<String>,
    /// A file of authorities (PEM) believed beside the system's.
    ca: Option<PathBuf>,
}

impl Global {
    /// How registries and mirrors are reached.
    pub(super) fn network(&self) -> Result<Network, Failure> {
        let written = self.written()?;
        let roots = written.ca.as_ref().map(|path| read(path)).transpose()?;
        let proxies = proxies(&written, |name| std::env::var(name).ok());
        Ok(Network { proxies, roots: roots.into_iter().collect() })
    }

    /// Mirrors and short names: those of `--config` if it has any, else podman's.
    pub(super) fn registries_conf(&self) -> Result<RegistriesConf, Failure> {
        if let Some(path) = &self.config {
            let own = conf(path)?;
            if !own.is_empty() {
                return Ok(own);
            }
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(named) = set("CONTAINERS_REGISTRIES_CONF") {
            return conf(&named);
        }
        let home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let roots = std::iter::once(PathBuf::from("/etc")).chain(home);
        let mut places: Vec<_> = roots.map(|root| root.join("containers")).collect();
        // A user's own file stands for the system's and what lies beside that.
        if places.len() > 1 && places[1].join(REGISTRIES_CONF).is_file() {
            places.remove(0);
        }
        let main = places[0].join(REGISTRIES_CONF);
        let read =
            main.is_file().then_some(main).into_iter().chain(places.iter().flat_map(|dir| drop_ins(dir)));
        read.map(|path| conf(&path)).try_fold(RegistriesConf::default(), |all, next| Ok(all.under(next?)))
    }

    fn written(&self) -> Result<Written, Failure> {
        let Some(path) = &self.config else { return Ok(Written::default()) };
        let config: Config = toml::from_str(&read(path)?)
            .map_err(|error| Failure::usage_text(format!("--config `{}`: {error}", path.display())))?;
        Ok(config.network)
    }

    /// What `git` needs of the caller's environment to reach a remote, by https or ssh.
    pub(super) fn git_environment(&self) -> Result<Vec<(String, String)>, Failure> {
        let kept = ["HOME", "USER", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR"];
        let kept = kept.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let mut env: BTreeMap<_, _> = kept.collect();
        let written = self.written()?;
        if let Some(ca) = &written.ca {
            env.insert("GIT_SSL_CAINFO".to_owned(), ca.display().to_string());
        }
        let proxies = proxies(&written, |name| std::env::var(name).ok());
        for (name, proxy) in [("http_proxy", &proxies.http), ("https_proxy", &proxies.https)] {
            env.extend(proxy.iter().map(|url| (name.to_owned(), url.text().into_owned())));
        }
        if !proxies.none_for.is_empty() {
            env.insert("no_proxy".to_owned(), proxies.none_for);
        }
        Ok(env.into_iter().collect())
    }
}

fn conf(path: &Path) -> Result<RegistriesConf, Failure> {
    let parsed = RegistriesConf::parse(&read(path)?);
    parsed.map_err(|error| Failure::usage(error).hint(format!("in `{}`", path.display())))
}

/// The files beside `registries.conf` in `dir`, by name.
fn drop_ins(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("registries.conf.d"));
    let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, Failure> {
    let read = std::fs::File::open(path)
        .and_then(|file| read_bounded(file, AUTH_FILE_SIZE_BYTES_MAX, "the file"))
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    read.map_err(|error| Failure::usage_text(format!("cannot read `{}`: {error}", path.display())))
}

/// The proxies that `variable` names, by the rules of curl, else those that are written: small letters win,
/// `all_proxy` stands for what has none of its own, and `HTTP_PROXY` in capitals counts only where no web server could
/// have set it.
fn proxies(written: &Written, variable: impl Fn(&str) -> Option<String>) -> Proxies {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_uppercase()));
    let all = either("all_proxy").or_else(|| written.proxy.clone());
    let http = set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| set("REQUEST_METHOD").is_none()));
    Proxies {
        http: http.or_else(|| all.clone()).map(Secret::new),
        https: either("https_proxy").or(all).map(Secret::new),
        none_for: either("no_proxy").or_else(|| written.no_proxy.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, variables: &[(&str, &str)], expected: (Option<&str>, Option<&str>, &str)) {
        let config: Config = toml::from_str(written).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = proxies(&config.network, variable);
        let text = |url: &Option<Secret>| url.as_ref().map(|url| url.text().into_owned());
        let found = (text(&found.http), text(&found.https), found.none_for);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        assert_eq!(found, (owned(expected.0), owned(expected.1), expected.2.to_owned()));
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let file = "[network]\nproxy = \"http://f\"\nno-proxy = \"x\"\n";
        check("", &[], (None, None, ""));
        check(file, &[], (Some("http://f"), Some("http://f"), "x"));
        check(
            file,
            &[("https_proxy", "http://e"), ("NO_PROXY", "y")],
            (Some("http://f"), Some("http://e"), "y"),
        );
        check(file, &[("ALL_PROXY", "http://a")], (Some("http://a"), Some("http://a"), "x"));
        check("", &[("https_proxy", "http://s"), ("HTTPS_PROXY", "http://b")], (None, Some("http://s"), ""));
        check("", &[("HTTP_PROXY", "http://b")], (Some("http://b"), None, ""));
        check("", &[("HTTP_PROXY", "http://b"), ("REQUEST_METHOD", "GET")], (None, None, ""));
        check("", &[("https_proxy", "")], (None, None, ""));
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<Config>("[network]\nproxies = \"x\"\n").is_err());
        assert!(toml::from_str::<Config>("[netwerk]\n").is_err());
        toml::from_str::<Config>("unqualified-search-registries = []\n[aliases]\n[[registry]]\n").unwrap();
    }
}
