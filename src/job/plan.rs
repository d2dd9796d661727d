//! What a definition means for the engine: Dockerfile read, references pinned, text lowered, steps counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bstr::BString;

use super::{
    SharedCheckout,
    bases::Base,
    track::{Instruction, Reach, Tracked},
};
use crate::{
    attest::BuildDefinition,
    dockerfile::{
        self, BaseConfig, BuildArgs, Dockerfile, DockerfileError, ImageReference, Keyword, Lowered, Pin,
        Scope, StageSteps, Step,
    },
    model::{Digest, limits::DOCKERFILE_SIZE_BYTES_MAX},
    recipe,
};

/// Why a definition cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is no Dockerfile.
    #[error("there is no `{0}` in the source at that commit")]
    NoDockerfile(String),
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// It cannot be read, or the engine at hand cannot run it.
    #[error("cannot use `{path}`")]
    Dockerfile {
        /// Which.
        path: String,
        /// Where and why.
        source: DockerfileError,
    },
    /// The definition names no base for a reference.
    #[error("line {line}: no base image is recorded for `{written}`")]
    NoBase {
        /// Where.
        line: usize,
        /// What.
        written: String,
    },
    /// The timeout is not a time.
    #[error(transparent)]
    Timeout(#[from] recipe::TimeoutError),
}

/// A Dockerfile and what it refers to.
#[derive(Debug)]
pub struct Reading {
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage to build.
    pub target: usize,
    /// Build arguments and platform.
    pub args: BuildArgs,
    /// Every image reference up to the target.
    pub references: Vec<ImageReference>,
    /// Which of them the target stands on, through the stages between; none for `scratch`.
    pub final_reference: Option<usize>,
}

/// Reads the Dockerfile at `path` of `checkout`.
///
/// # Errors
/// [`PlanError`].
pub fn read(
    checkout: &SharedCheckout,
    path: &str,
    target: Option<&str>,
    build_args: &BTreeMap<String, String>,
    platform: &str,
) -> Result<Reading, PlanError> {
    let bytes = checkout.lock().read(path, DOCKERFILE_SIZE_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| PlanError::NoDockerfile(path.to_owned()))?;
    let wrong = |source| PlanError::Dockerfile { path: path.to_owned(), source };
    let dockerfile = Dockerfile::parse(&bytes).map_err(wrong)?;
    let target = dockerfile.target(target).map_err(wrong)?;
    let args = BuildArgs { values: build_args.clone(), platform: platform.to_owned() };
    let references = dockerfile.references(target, &args).map_err(wrong)?;
    let scope = Scope { target, args: args.clone(), ..Scope::default() };
    let (_, final_reference) = chain(&dockerfile.steps(&scope).map_err(wrong)?, target);
    Ok(Reading { dockerfile, target, args, references, final_reference })
}

/// Whether `reference` stands in a FROM.
#[must_use]
pub fn is_from(dockerfile: &Dockerfile, reference: &ImageReference) -> bool {
    dockerfile.instructions.get(reference.instruction).is_some_and(|found| found.keyword == Keyword::From)
}

/// An instruction of the chain that makes the result.
#[derive(Debug, Clone)]
pub struct Link {
    /// The instruction.
    pub step: Step,
    /// Paths in the image that its `--mount`s cover.
    pub mounts: BTreeSet<BString>,
}

/// A stage, and what it stands on.
#[derive(Debug)]
pub struct Stage {
    /// What `AS` calls it.
    pub name: Option<String>,
    /// The instructions that make its image, from its base upward through all stages between.
    pub chain: Arc<[Link]>,
    /// Which base (index) the chain stands on; none for `scratch`.
    pub base: Option<usize>,
    /// The stage that it stands on.
    pub parent: Option<usize>,
    /// Whether the result stands on it.
    pub in_result: bool,
}

/// Everything the engine needs to know, derived from a definition alone.
#[derive(Debug)]
pub struct Plan {
    /// The Dockerfile for the engine.
    pub lowered: Lowered,
    /// References the engine resolves to local images: as written, local name.
    pub pinned: Vec<(String, String)>,
    /// For each stage: `FROM`, then its instructions.
    pub instructions: Vec<Vec<Tracked>>,
    /// The stages up to the one that makes the result, which is the last.
    pub stages: Vec<Stage>,
    /// Longest run.
    pub timeout: Duration,
}

impl Plan {
    /// The plan of `definition`, whose bases are `bases`.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn of(
        definition: &BuildDefinition,
        checkout: &SharedCheckout,
        bases: &[Base],
    ) -> Result<Self, PlanError> {
        let external = &definition.external;
        let target = external.target.as_deref();
        let path = &external.dockerfile;
        let reading = read(checkout, path, target, &external.build_args, &external.platform)?;
        let mut pins = Vec::new();
        let mut pinned = BTreeMap::new();
        let mut of_reference = Vec::new();
        for reference in &reading.references {
            let index = base_of(definition, reference, bases)?;
            of_reference.push(index);
            if reference.literal {
                pinned.insert(reference.written.clone(), bases[index].local());
            } else {
                pins.push(Pin { span: reference.span.clone(), replacement: bases[index].local() });
            }
        }
        let scope = scope(&reading, bases, &of_reference);
        let wrong = |source| PlanError::Dockerfile { path: path.clone(), source };
        let lowered = reading.dockerfile.lower(&scope, &pins).map_err(wrong)?;
        let stages = reading.dockerfile.steps(&scope).map_err(wrong)?;
        let engines = Dockerfile::parse(&lowered.text).map_err(wrong)?;
        let tracked = stages.iter().map(|stage| tracked(&reading.dockerfile, &engines, stage)).collect();
        let below = below(&stages, reading.target);
        let stage = |index| {
            let (steps, base) = chain(&stages, index);
            Stage {
                name: reading.dockerfile.stages.get(index).and_then(|stage| stage.name.clone()),
                chain: steps.into_iter().map(|step| link(&reading.dockerfile, step)).collect(),
                base: base.map(|reference| of_reference[reference]),
                parent: match stages[index].base {
                    dockerfile::Base::Stage(parent) => Some(parent),
                    _ => None,
                },
                in_result: below.contains(&index),
            }
        };
        Ok(Self {
            stages: (0..=reading.target).map(stage).collect(),
            lowered,
            pinned: pinned.into_iter().collect(),
            instructions: tracked,
            timeout: external.timeout.parse::<recipe::Timeout>()?.duration(),
        })
    }

    /// The stage that makes the result.
    #[must_use]
    pub fn result(&self) -> &Stage {
        &self.stages[self.stages.len() - 1] // A Dockerfile without a stage has no plan.
    }
}

/// The stages that `target` stands on, itself included.
fn below(stages: &[StageSteps], target: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([target]);
    let mut at = target;
    while let dockerfile::Base::Stage(next) = stages[at].base {
        found.insert(next);
        at = next;
    }
    found
}

/// The base that the definition recorded for `reference`.
fn base_of(
    definition: &BuildDefinition,
    reference: &ImageReference,
    bases: &[Base],
) -> Result<usize, PlanError> {
    let recorded = definition.role("base").find(|dependency| {
        let says = |key: &str| dependency.annotations.get(key);
        says("line").and_then(serde_json::Value::as_u64) == u64::try_from(reference.line).ok()
            && says("written").and_then(serde_json::Value::as_str) == Some(&reference.written)
    });
    let digest: Option<Digest> = recorded.and_then(crate::model::ResourceDescriptor::sha256);
    let found = digest.and_then(|digest| bases.iter().position(|base| base.manifest.digest == digest));
    found.ok_or_else(|| PlanError::NoBase { line: reference.line, written: reference.written.clone() })
}

fn scope(reading: &Reading, bases: &[Base], of_reference: &[usize]) -> Scope {
    let configs: BTreeMap<usize, BaseConfig> = reading
        .references
        .iter()
        .zip(of_reference)
        .filter(|(reference, _)| is_from(&reading.dockerfile, reference))
        .map(|(reference, index)| (reference.stage, bases[*index].config()))
        .collect();
    Scope { target: reading.target, args: reading.args.clone(), bases: configs }
}

fn link(dockerfile: &Dockerfile, step: Step) -> Link {
    let instruction = dockerfile.instructions.get(step.instruction);
    let flags = instruction.into_iter().flat_map(|instruction| instruction.flags_named("mount"));
    let mounts = flags.filter_map(|flag| {
        let fields = flag.value().split(',').filter_map(|field| field.split_once('='));
        let mut targets = fields.filter(|(key, _)| matches!(*key, "target" | "dst" | "destination"));
        targets.next().map(|(_, path)| BString::from(path.trim_matches('/')))
    });
    Link { mounts: mounts.collect(), step }
}

fn tracked(dockerfile: &Dockerfile, lowered: &Dockerfile, stage: &StageSteps) -> Vec<Tracked> {
    let from = dockerfile.stages.get(stage.stage).and_then(|stage| {
        let from = dockerfile.instructions.get(stage.instructions.start)?;
        Some(Instruction { line: line(from.first_line), text: from.text() })
    });
    let from = from.into_iter().map(|instruction| Tracked { instruction, reach: Reach::Nothing });
    let rest = stage.steps.iter().map(|step| Tracked {
        instruction: Instruction { line: line(step.line), text: step.text.clone() },
        reach: reach(lowered, step),
    });
    from.chain(rest).collect()
}

/// How the engine, which is given the lowered text, reaches the network in `step`.
fn reach(lowered: &Dockerfile, step: &Step) -> Reach {
    let instruction =
        lowered.instructions.get(step.instruction).filter(|found| found.keyword == step.keyword);
    match instruction {
        Some(run) if step.keyword == Keyword::Run => {
            let last = run.exec.as_ref().map_or(Some(&run.arguments), |words| words.last());
            last.map_or(Reach::Nothing, |command| Reach::Command(command.clone()))
        }
        Some(add)
            if step.keyword == Keyword::Add && add.operands().iter().any(|word| word.contains("://")) =>
        {
            Reach::Engine
        }
        _ => Reach::Nothing,
    }
}

/// A line number as JSON and provenance have it; a Dockerfile is at most 4 MiB, so it fits.
#[must_use]
pub fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// All steps from the base of `target`'s chain of stages up to it, and the reference that names the base.
fn chain(stages: &[StageSteps], target: usize) -> (Vec<Step>, Option<usize>) {
    let stage = &stages[target];
    let (mut steps, base) = match &stage.base {
        dockerfile::Base::Stage(below) => chain(stages, *below),
        dockerfile::Base::External(reference) => (Vec::new(), Some(*reference)),
        dockerfile::Base::Scratch => (Vec::new(), None),
    };
    steps.extend(stage.steps.iter().cloned());
    (steps, base)
}
