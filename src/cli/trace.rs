//! `reprov trace`.

use std::path::PathBuf;

use serde_json::Value;

use super::{
    Context,
    failure::{Exit, Failure},
    global::{Format, image_name},
    koji,
};
use crate::{
    attest::{BuildDefinition, ClaimedSource, Imported, Origin, Provenance},
    job::{
        Ports,
        evidence::{Believed, Evidence, Found, Trust},
        lineage::{self, Ancestor},
        tree,
    },
    model::{Digest, ImageName, ResourceDescriptor, limits, names, rfc3339},
    oci::Manifest,
    report::{import::Rootfs, trace as view, tree::Node},
    signing,
    transcript::Transcript,
};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// The image; with --failed also what was to become one, or a statement's file
    #[arg(required_unless_present = "follow")]
    image: Option<String>,
    /// Whose provenance to believe; without it, any is shown, marked as not verified
    #[arg(long, value_name = "KEY.pub", env = "REPROV_TRACE_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// Print the build log, checked against its digest; with --format json the events
    #[arg(long, conflicts_with = "inputs")]
    log: bool,
    /// Print all that happened in the buildroot, a JSON object a line
    #[arg(long, conflicts_with_all = ["inputs", "log"])]
    events: bool,
    /// Print the events of this line of the Dockerfile alone
    #[arg(long, value_name = "N", requires = "events")]
    line: Option<u32>,
    /// Show the latest failed build to this name whose log was pushed, or the one with this statement's file
    #[arg(long)]
    failed: bool,
    /// Print what a build that runs in this store says, from its beginning to its end (with --format json as events)
    #[arg(
        long,
        value_name = "BUILD",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with_all = ["image", "log", "events", "inputs", "failed"]
    )]
    follow: Option<String>,
    /// List every input
    #[arg(long)]
    inputs: bool,
    /// Fetch every input and blob, however large, and hold each against its digest
    #[arg(long, conflicts_with_all = ["log", "events", "follow", "failed"])]
    deep: bool,
    /// Which manifest of a multi-platform image
    #[arg(long, default_value = "linux/amd64", env = "REPROV_TRACE_PLATFORM")]
    platform: String,
}

impl Args {
    /// Whether the answer can be drawn, as `--format dot`, `svg` and `html` do.
    pub(super) fn drawn(&self) -> bool {
        !(self.log || self.events || self.failed || self.follow.is_some())
    }

    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        if let Some(build) = &self.follow {
            return super::follow::follow(context, build).await;
        }
        let ports = context.ports(context.console.job("trace"))?;
        let image = self.image.as_deref().unwrap_or_default(); // clap asks for it.
        let trust = if self.trust.is_empty() {
            Trust::AnyoneUnsafe
        } else {
            Trust::Keys(signing::load_trust(&self.trust).map_err(Failure::usage)?)
        };
        let shown = self.shown(context);
        if self.failed {
            return super::failed::latest(context, &ports, (image, &trust), shown).await;
        }
        let name = image_name("", image)?;
        let (manifest, bytes) =
            ports.registries.platform_manifest(&name, &self.platform).await.map_err(Failure::unavailable)?;
        let image = name.at(manifest.digest);
        let parsed = Manifest::parse(&bytes).map_err(Failure::unavailable)?;
        if parsed.artifact_type() == Some(names::FAILURE) {
            return super::failed::pushed(context, &ports, (&image, &trust), shown).await;
        }
        let evidence =
            Evidence::gather(&ports, &image, manifest.digest).await.map_err(Failure::unavailable)?;
        let found = evidence.provenance(&ports, &trust, None).await.map_err(Failure::unavailable)?;
        let all = match found {
            Found::Believed(all) => all,
            Found::Refused(reasons) => {
                return Err(Failure::findings(format!("{image}: {}", reasons.join("; "))));
            }
        };
        let believed = &all[0]; // Never empty.
        if let Some(exit) = apart(context, &ports, &evidence, believed, shown).await? {
            return Ok(exit);
        }
        if context.global.format == Format::Koji {
            let known = koji::Known { ports: &ports, name: &name, bytes: &bytes, evidence: &evidence };
            return koji::print(&known, &believed.provenance).await;
        }
        let inputs = self.inputs_of(&ports, &evidence, (&image, &believed.provenance)).await?;
        let bases = match &believed.provenance {
            Origin::Built(provenance) => lineage::bases(&ports, provenance, &evidence, &trust).await,
            Origin::Imported(_) | Origin::Attested(_) => Vec::new(),
        };
        let layers = lineage::digests(&parsed);
        let mut answer = answer(&image, &all, !self.trust.is_empty());
        answer.inputs = inputs;
        let inherited = bases.iter().filter_map(|base| base.of(&layers)).max().unwrap_or_default();
        answer.layers = view::Layers { own: layers.len() - inherited, inherited };
        answer.bases = bases.iter().map(|base| base_line(base, &layers)).collect();
        let looking = self.looking(context, trust);
        Ok(drawn(context, answer, tree::tree(&ports, &image, manifest.digest, &bytes, &looking).await))
    }

    /// How far the tree looks.
    fn looking(&self, context: &Context<'_>, trust: Trust) -> tree::Looking {
        let inputs = self.inputs || self.deep || context.global.format == Format::Html;
        tree::Looking { trust, inputs, deep: self.deep }
    }

    /// What it fetched; only a build of ours has a list of that.
    async fn inputs_of(
        &self,
        ports: &Ports,
        evidence: &Evidence,
        (image, origin): (&ImageName, &Origin),
    ) -> Result<Option<view::InputsLine>, Failure> {
        let why = match origin {
            Origin::Built(provenance) => {
                return self.read_inputs(ports, evidence, provenance).await.map(Some);
            }
            Origin::Imported(_) => "was imported; it has no inputs to list",
            Origin::Attested(_) => "was attested after the fact; what it fetched was not recorded",
        };
        if self.inputs { Err(Failure::usage_text(format!("{image} {why}"))) } else { Ok(None) }
    }

    fn shown(&self, context: &Context<'_>) -> Shown {
        match (self.log, self.events || (self.log && context.global.format == Format::Json)) {
            (_, true) => Shown::Events { line: self.line },
            (true, false) => Shown::Log,
            (false, false) if self.inputs => Shown::Inputs,
            (false, false) => Shown::Answer,
        }
    }

    async fn read_inputs(
        &self,
        ports: &Ports,
        evidence: &Evidence,
        provenance: &Provenance,
    ) -> Result<view::InputsLine, Failure> {
        let missing = || Failure::unavailable("the transcript is not beside the image");
        let digest = provenance.transcript().ok_or_else(missing)?;
        let read = evidence.read(ports, &digest, limits::TRANSCRIPT_SIZE_BYTES_MAX).await;
        let bytes = read.map_err(Failure::unavailable)?.ok_or_else(missing)?;
        let transcript = Transcript::parse(&bytes).map_err(Failure::unavailable)?;
        let list = self.inputs.then(|| {
            let exchanges = transcript.exchanges();
            exchanges
                .map(|exchange| view::Input {
                    url: exchange.url.clone(),
                    status: exchange.status.into(),
                    size: exchange.size,
                    repository: exchange.repository.clone(),
                    digest: Some(exchange.body),
                })
                .collect()
        });
        let bytes = transcript.bodies().values().sum();
        Ok(view::InputsLine { count: transcript.exchanges().len(), bytes, list })
    }
}

/// Prints the answer and its tree, or the tree alone, as a graph, a drawing or a page.
fn drawn(context: &Context<'_>, mut answer: view::Trace, tree: Node) -> Exit {
    let drawn = match context.global.format {
        Format::Dot => Some(tree.dot()),
        Format::Svg => Some(tree.svg()),
        Format::Html => Some(tree.html()),
        Format::Text | Format::Json | Format::Markdown | Format::Junit | Format::Sarif | Format::Koji => None,
    };
    answer.tree = Some(tree);
    context.console.answer(&answer, &drawn.unwrap_or_else(|| answer.text()));
    Exit::Ok
}

/// What of a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Where it came from.
    Answer,
    /// That, with its inputs.
    Inputs,
    /// Its log.
    Log,
    /// Its events, or those of one line.
    Events { line: Option<u32> },
}

/// Prints the log or the events, if that is asked for.
async fn apart(
    context: &Context<'_>,
    ports: &Ports,
    evidence: &Evidence,
    believed: &Believed<Origin>,
    shown: Shown,
) -> Result<Option<Exit>, Failure> {
    match shown {
        Shown::Log => {
            let digest = fetched(ports, evidence, believed, "log").await?;
            super::log::print_log(context, ports, &digest).map(Some)
        }
        Shown::Events { line } => {
            let digest = fetched(ports, evidence, believed, "events").await?;
            super::log::print_events(context, ports, &digest, line).map(Some)
        }
        Shown::Inputs | Shown::Answer => Ok(None),
    }
}

/// Brings the byproduct `name` into the store, checked against the digest in the provenance.
async fn fetched(
    ports: &Ports,
    evidence: &Evidence,
    believed: &Believed<Origin>,
    name: &str,
) -> Result<Digest, Failure> {
    let missing = || Failure::unavailable(format!("its {name} is not beside the image"));
    let named = believed.provenance.byproduct(name);
    let digest = named.and_then(ResourceDescriptor::sha256).ok_or_else(missing)?;
    let there = evidence.fetch(ports, &digest).await.map_err(Failure::unavailable)?;
    if there { Ok(digest) } else { Err(missing()) }
}

/// One line for each definition, in order; the first stands for the others of its definition.
fn provenances(all: &[Believed<Origin>]) -> Vec<view::ProvenanceLine> {
    let mut lines: Vec<view::ProvenanceLine> = Vec::new();
    for believed in all {
        let definition = believed.provenance.definition();
        match lines.iter_mut().find(|line| line.definition == definition) {
            Some(line) => line.builds += 1,
            None => lines.push(view::ProvenanceLine {
                digest: believed.referrer,
                definition,
                finished_on: believed.provenance.times_s().1.map(rfc3339),
                builds: 1,
            }),
        }
    }
    lines
}

/// All that the statements say; layers, bases and inputs take a look elsewhere.
fn answer(image: &ImageName, all: &[Believed<Origin>], verified: bool) -> view::Trace {
    let believed = &all[0];
    let origin = &believed.provenance;
    let (started_s, finished_s) = origin.times_s();
    let mut answer = view::Trace {
        schema: "reprov.trace/v1",
        image: image.to_string(),
        provenance: believed.referrer,
        verified,
        provenances: provenances(all),
        builder: origin.builder_id().to_owned(),
        started_on: started_s.map(rfc3339),
        finished_on: finished_s.map(rfc3339),
        source: None,
        buildroot: None,
        imported: None,
        attested: None,
        layers: view::Layers { own: 0, inherited: 0 },
        bases: Vec::new(),
        repositories: Vec::new(),
        inputs: None,
        log: origin.byproduct("log").and_then(ResourceDescriptor::sha256),
        events: origin.byproduct("events").and_then(ResourceDescriptor::sha256),
        tainted: origin.run().map(|run| run.tainted.clone()).unwrap_or_default(),
        definition: believed.provenance.definition(),
        tree: None,
    };
    match &believed.provenance {
        Origin::Imported(origin) => answer.imported = Some(imported(origin)),
        Origin::Attested(said) => answer.attested = Some(said.as_ref().into()),
        Origin::Built(provenance) => {
            let definition = &provenance.definition;
            answer.source = Some(source(definition));
            answer.buildroot = Some(buildroot(definition));
            answer.repositories.clone_from(&definition.external.repositories);
        }
    }
    answer
}

/// What it was built in.
pub(super) fn buildroot(definition: &BuildDefinition) -> String {
    let (engine, runtime) = (&definition.internal.engine, &definition.internal.runtime);
    let image = definition.role("buildroot").next().map_or("host", |named| named.uri.as_str());
    format!("{image}: {} {}, {} {}", engine.name, engine.version, runtime.name, runtime.version)
}

pub(super) fn source(definition: &BuildDefinition) -> view::Source {
    let external = &definition.external;
    let git = |algorithm: &str| {
        let source = definition.role("source").next();
        source.and_then(|source| source.digest.get(algorithm)).cloned().unwrap_or_default()
    };
    view::Source {
        uri: external.source.uri.clone(),
        commit: git("gitCommit"),
        tree: git("gitTree"),
        dockerfile: external.dockerfile.clone(),
        dirty: external.source.dirty,
        submodules: definition.role("submodule").map(submodule).collect(),
        tags: external.git.iter().flat_map(|git| &git.tags).map(|tag| tag.name.clone()).collect(),
    }
}

fn imported(origin: &Imported) -> view::Imported {
    let text =
        |key: &str| origin.rootfs.annotations.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let packages = origin.run.byproduct("packages").map(|packages| &packages.annotations);
    let unread = packages.and_then(|packages| packages.get("unread")).and_then(Value::as_array);
    view::Imported {
        rootfs: Rootfs {
            digest: origin.rootfs.sha256(),
            size: None,
            form: text("form"),
            compression: text("compression"),
            source: Some(origin.rootfs.uri.clone()).filter(|uri| !uri.is_empty()),
        },
        platform: origin.internal.platform.clone(),
        created: rfc3339(origin.internal.epoch),
        packages: packages.and_then(|packages| packages.get("count")).and_then(Value::as_u64),
        unread: unread.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// A base and all below it; `layers` are those of the image on top.
fn base_line(base: &Ancestor, layers: &[Digest]) -> view::BaseLine {
    let annotation = |key: &str| base.named.annotations.get(key);
    let text = |key: &str| annotation(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    view::BaseLine {
        written: text("written"),
        used: text("used"),
        line: annotation("line").and_then(Value::as_u64).unwrap_or(0),
        digest: base.named.sha256(),
        layers: base.of(layers),
        origin: base.origin.as_ref().ok().map(|believed| origin(base, believed)),
        unknown: base.origin.as_ref().err().cloned(),
    }
}

fn origin(base: &Ancestor, believed: &Believed<Origin>) -> view::Origin {
    let (built, imported) = match &believed.provenance {
        Origin::Built(provenance) => (Some(source(&provenance.definition)), None),
        Origin::Imported(origin) => (None, Some(imported(origin))),
        Origin::Attested(_) => (None, None),
    };
    let claimed = match &believed.provenance {
        Origin::Attested(said) => said.external.source.clone().unwrap_or_default(),
        Origin::Built(_) | Origin::Imported(_) => ClaimedSource::default(),
    };
    let layers = base.layers.clone().unwrap_or_default();
    view::Origin {
        digest: believed.referrer,
        verified: base.verified,
        builder: believed.provenance.builder_id().to_owned(),
        finished_on: believed.provenance.times_s().1.map(rfc3339),
        commit: built.as_ref().map(|source| source.commit.clone()).or(claimed.commit),
        source: built.and_then(|source| source.uri).or(claimed.uri),
        claimed: matches!(believed.provenance, Origin::Attested(_)),
        imported,
        bases: base.bases.iter().map(|base| base_line(base, &layers)).collect(),
    }
}

fn submodule(dependency: &ResourceDescriptor) -> view::Submodule {
    view::Submodule {
        path: dependency.name.clone(),
        uri: Some(dependency.uri.clone()).filter(|uri| !uri.is_empty()),
        commit: dependency.digest.get("gitCommit").cloned().unwrap_or_default(),
    }
}
