//! `reprov trace`.

use std::{io::Write, path::PathBuf};

use serde_json::Value;

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
};
use crate::{
    job::{
        Ports,
        evidence::{Believed, Evidence, Found, Trust},
    },
    model::{Blobs, ImageName, ResourceDescriptor, limits, rfc3339},
    report::trace as view,
    signing,
    transcript::Transcript,
};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image
    image: String,
    /// Whose provenance to believe; without it, any is shown, marked as not verified
    #[arg(long, value_name = "KEY.pub", env = "REPROV_TRACE_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// Print the build log
    #[arg(long, conflicts_with = "inputs")]
    log: bool,
    /// List every input
    #[arg(long)]
    inputs: bool,
    /// Which manifest of a multi-platform image
    #[arg(long, default_value = "linux/amd64", env = "REPROV_TRACE_PLATFORM")]
    platform: String,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let ports = context.ports(context.console.job("trace"))?;
        let name = image_name("", &self.image)?;
        let trust = if self.trust.is_empty() {
            Trust::AnyoneUnsafe
        } else {
            Trust::Keys(signing::load_trust(&self.trust).map_err(Failure::usage)?)
        };
        let (manifest, _) =
            ports.registries.platform_manifest(&name, &self.platform).await.map_err(Failure::unavailable)?;
        let image = name.at(manifest.digest);
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
        if self.log {
            return print_log(context, &ports, &evidence, believed).await;
        }
        let inputs = self.read_inputs(&ports, &evidence, believed).await?;
        let answer = answer(&image, &all, !self.trust.is_empty(), inputs);
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }

    async fn read_inputs(
        &self,
        ports: &Ports,
        evidence: &Evidence,
        believed: &Believed,
    ) -> Result<view::InputsLine, Failure> {
        let missing = || Failure::unavailable("the transcript is not beside the image");
        let digest = believed.provenance.transcript().ok_or_else(missing)?;
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

async fn print_log(
    context: &Context<'_>,
    ports: &Ports,
    evidence: &Evidence,
    believed: &Believed,
) -> Result<Exit, Failure> {
    let missing = || Failure::unavailable("the log is not beside the image");
    let digest = believed.provenance.byproduct("log").ok_or_else(missing)?;
    if !evidence.fetch(ports, &digest).await.map_err(Failure::unavailable)? {
        return Err(missing());
    }
    let mut log = ports.store.open(&digest).map_err(Failure::unavailable)?;
    let copied = context.console.apart(|| {
        let mut out = std::io::stdout().lock();
        std::io::copy(&mut log, &mut out).and_then(|_| out.flush())
    });
    match copied {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::unavailable(error)),
        _ => Ok(Exit::Ok),
    }
}

/// One line for each definition, in order; the first stands for the others of its definition.
fn provenances(all: &[Believed]) -> Vec<view::ProvenanceLine> {
    let mut lines: Vec<view::ProvenanceLine> = Vec::new();
    for believed in all {
        let definition = believed.provenance.definition.digest();
        match lines.iter_mut().find(|line| line.definition == definition) {
            Some(line) => line.builds += 1,
            None => lines.push(view::ProvenanceLine {
                digest: believed.referrer,
                definition,
                finished_on: rfc3339(believed.provenance.run.finished_on_s),
                builds: 1,
            }),
        }
    }
    lines
}

fn answer(image: &ImageName, all: &[Believed], verified: bool, inputs: view::InputsLine) -> view::Trace {
    let believed = &all[0];
    let provenance = &believed.provenance;
    let definition = &provenance.definition;
    let (external, internal) = (&definition.external, &definition.internal);
    let source = definition.role("source").next();
    let git =
        |algorithm: &str| source.and_then(|source| source.digest.get(algorithm)).cloned().unwrap_or_default();
    let bases = definition.role("base").map(|base| {
        let text =
            |key: &str| base.annotations.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = base.annotations.get("line").and_then(Value::as_u64).unwrap_or(0);
        view::BaseLine { written: text("written"), used: text("used"), line, digest: base.sha256() }
    });
    view::Trace {
        schema: "reprov.trace/v1",
        image: image.to_string(),
        provenance: believed.referrer,
        verified,
        provenances: provenances(all),
        builder: provenance.run.builder_id.clone(),
        started_on: rfc3339(provenance.run.started_on_s),
        finished_on: rfc3339(provenance.run.finished_on_s),
        source: view::Source {
            uri: external.source.uri.clone(),
            commit: git("gitCommit"),
            tree: git("gitTree"),
            dockerfile: external.dockerfile.clone(),
            dirty: external.source.dirty,
            submodules: definition.role("submodule").map(submodule).collect(),
            tags: external.git.iter().flat_map(|git| &git.tags).map(|tag| tag.name.clone()).collect(),
        },
        buildroot: format!(
            "{}: {} {}, {} {}",
            definition.role("buildroot").next().map_or("host", |named| named.uri.as_str()),
            internal.engine.name,
            internal.engine.version,
            internal.runtime.name,
            internal.runtime.version
        ),
        bases: bases.collect(),
        repositories: external.repositories.clone(),
        inputs,
        log: provenance.byproduct("log"),
        tainted: provenance.run.tainted.clone(),
        definition: definition.digest(),
    }
}

fn submodule(dependency: &ResourceDescriptor) -> view::Submodule {
    view::Submodule {
        path: dependency.name.clone(),
        uri: Some(dependency.uri.clone()).filter(|uri| !uri.is_empty()),
        commit: dependency.digest.get("gitCommit").cloned().unwrap_or_default(),
    }
}
