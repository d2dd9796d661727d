//! Flags of every command, and the edges they configure.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum, builder::FalseyValueParser};

use super::{Context, failure::Failure};
use crate::{
    job::Ports,
    model::{ImageName, ReferenceError},
    progress::Progress,
    registry::{Options, Registries},
    store::Store,
};

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// A graph for graphviz (`trace` alone).
    Dot,
    /// A drawing, as SVG (`trace` alone).
    Svg,
    /// A page for a browser (`trace` and `report`).
    Html,
    /// koji's content-generator metadata (`trace` alone).
    Koji,
    /// Markdown (`report` alone).
    Markdown,
    /// `JUnit`'s XML (`report` alone).
    Junit,
    /// SARIF 2.1.0 (`report` alone).
    Sarif,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// How the answer is written to standard output
    #[arg(long, global = true, value_enum, default_value = "text", env = "REPROV_FORMAT")]
    pub(super) format: Format,
    /// Say nothing but the answer and errors (-v wins)
    #[arg(short, long, global = true, env = "REPROV_QUIET", value_parser = FalseyValueParser::new())]
    pub(super) quiet: bool,
    /// Show the engine's output as it comes, and every drift with what differs
    #[arg(short, long, global = true, env = "REPROV_VERBOSE", value_parser = FalseyValueParser::new())]
    pub(super) verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value = "auto", env = "REPROV_COLOR")]
    pub(super) color: Color,
    /// The cache; may be deleted at any time [default: `$XDG_CACHE_HOME/reprov`]
    #[arg(long, global = true, value_name = "DIR", env = "REPROV_STORE")]
    pub(super) store: Option<PathBuf>,
    /// How to reach the outside: a TOML file with [network], and mirrors and short names as in registries.conf
    #[arg(long, global = true, value_name = "FILE", env = "REPROV_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Registry credentials (docker's config.json or podman's auth.json)
    #[arg(long, global = true, value_name = "FILE", env = "REPROV_AUTHFILE")]
    pub(super) authfile: Option<PathBuf>,
    /// A registry that speaks plain HTTP (loopback always may)
    #[arg(long, global = true, value_name = "HOST", env = "REPROV_PLAIN_HTTP", value_delimiter = ',')]
    pub(super) plain_http: Vec<String>,
    /// A certificate authority (PEM) believed for one registry
    #[arg(long, global = true, value_name = "HOST=FILE", env = "REPROV_REGISTRY_CA", value_delimiter = ',')]
    pub(super) registry_ca: Vec<String>,
}

impl Global {
    /// Where the cache is.
    pub(super) fn store_dir(&self) -> Result<PathBuf, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(dir) = &self.store {
            return Ok(dir.clone());
        }
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        cache.map(|cache| cache.join("reprov")).ok_or_else(|| {
            Failure::usage_text(
                "neither HOME nor XDG_CACHE_HOME is set; name the cache with --store DIR".into(),
            )
        })
    }

    /// The store, made if need be.
    pub(super) fn open_store(&self) -> Result<Store, Failure> {
        Store::open(self.store_dir()?).map_err(Failure::unavailable)
    }

    /// The door to registries and layouts.
    pub(super) fn registries(&self) -> Result<Registries, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker_config = if let Some(file) = &self.authfile {
            vec![file.clone()]
        } else {
            let podman = set("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
            let docker = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
            podman.into_iter().chain(docker.map(|dir| dir.join("config.json"))).collect()
        };
        let mut ca = Vec::new();
        for pair in &self.registry_ca {
            let (host, file) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage_text(format!("--registry-ca `{pair}` is not HOST=FILE")))?;
            let pem = std::fs::read(file)
                .map_err(|error| Failure::usage(error).hint(format!("--registry-ca {pair}")))?;
            ca.push((host.to_owned(), pem));
        }
        let conf = self.registries_conf()?;
        Ok(Registries::new(Options {
            docker_config,
            programs: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect())
                .unwrap_or_default(),
            plain_http: self.plain_http.clone(),
            conf,
            network: self.network()?,
            ca,
            ..Options::default()
        }))
    }
}

impl Context<'_> {
    /// The edges a job works through, telling `progress`.
    pub(super) fn ports(&self, progress: Arc<dyn Progress>) -> Result<Ports, Failure> {
        Ok(Ports {
            store: self.global.open_store()?,
            registries: Arc::new(self.global.registries()?),
            network: self.global.network()?,
            progress,
            cancel: self.cancel.clone(),
        })
    }
}

/// Reads a name of an image; `what` stands before it in the error.
pub(super) fn image_name(what: &str, text: &str) -> Result<ImageName, Failure> {
    text.parse().map_err(|error| match error {
        // The remedy of the Dockerfile (`[from]`) does not help here.
        ReferenceError::NoRegistry(_) => Failure::usage_text(format!(
            "{what}`{text}` names no registry; write HOST/REPOSITORY:TAG or oci:DIR:TAG"
        )),
        error => Failure::usage_text(format!("{what}`{text}`: {error}")),
    })
}
