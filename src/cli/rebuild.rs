//! `reprov rebuild`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::task::JoinSet;

use super::{
    Context,
    console::Console,
    credentials,
    failure::{Exit, Failure},
    global::image_name,
    ignore::Ignore,
    live,
    report::{self, Report},
    sign::SignArgs,
    size::parse_maximum,
};
use crate::{
    attest::rebuilt::InputsFrom,
    host,
    job::{
        evidence::Trust,
        execute::{Execution, Secrets},
        rebuild::{Outcome, RebuildError, Request, answer, rebuild},
        turns::Turns,
    },
    model::{Digest, ImageName, Maxima, Variations, Verdict, limits::FILES_MIN, names},
    progress::Silent,
    recipe::Buildroot,
    report::{Compares as _, rebuild as view},
    signing::{self, Signer},
};

/// Arguments of `rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images, by tag or digest
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Whose provenance to believe (repeat for several)
    #[arg(
        long,
        value_name = "KEY.pub",
        required_unless_present = "insecure_skip_verify",
        env = "REPROV_REBUILD_TRUST",
        value_delimiter = '\n'
    )]
    trust: Vec<PathBuf>,
    /// Believe anybody's provenance, signed or not
    #[arg(long, conflicts_with = "trust")]
    insecure_skip_verify: bool,
    /// Most images rebuilt at the same time; fewer while memory is short [default: one a core]
    #[arg(short, long, value_name = "N", env = "REPROV_REBUILD_JOBS")]
    jobs: Option<usize>,
    /// Where the source is, if not where the provenance says
    #[arg(long, value_name = "DIR|URL", env = "REPROV_REBUILD_SOURCE")]
    source: Option<String>,
    /// Use this provenance (digest of its referrer) of several
    #[arg(long, value_name = "DIGEST", env = "REPROV_REBUILD_PROVENANCE")]
    provenance: Option<Digest>,
    /// Build with these programs instead of the recorded ones; what differs then has the verdict builder-changed
    #[arg(long, value_name = "IMAGE@DIGEST|host", env = "REPROV_REBUILD_BUILDROOT")]
    buildroot: Option<Buildroot>,
    /// Where inputs come from: the recording, or the repositories of today, compared with it
    #[arg(long, value_enum, default_value = "replay", env = "REPROV_REBUILD_INPUTS")]
    inputs: Inputs,
    /// Change these on purpose, to find today what would drift elsewhere or tomorrow: `all`, or some of time[=+400d],
    /// hostname, cpus, uid, locale, path, order, kernel, aslr
    #[arg(long, value_name = "LIST", env = "REPROV_REBUILD_VARY")]
    vary: Option<Variations>,
    #[command(flatten)]
    ignore: Ignore,
    /// Find out by two more replays which drifts a standing clock would cure
    #[arg(long = "try", value_name = "REMEDY", conflicts_with = "vary", env = "REPROV_REBUILD_TRY")]
    remedy: Option<Remedy>,
    /// A secret for steps, as the build had it; without it they find a dummy
    #[arg(long, value_name = "id=NAME,src=FILE", env = "REPROV_REBUILD_SECRET", value_delimiter = '\n')]
    secret: Vec<String>,
    /// Most memory of each rebuild (512M, 4G) [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_REBUILD_MAX_MEMORY")]
    max_memory: Option<u64>,
    /// Most disk of each rebuild (20G) [default: all but 1 GiB of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_REBUILD_MAX_DISK")]
    max_disk: Option<u64>,
    /// Most files and directories of each rebuild (2000000) [default: what the disk can take, but for a reserve]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(FILES_MIN..), env = "REPROV_REBUILD_MAX_FILES")]
    max_files: Option<u64>,
    /// Most that a rebuild with --inputs live may fetch (2G) [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_REBUILD_MAX_INPUTS")]
    max_inputs: Option<u64>,
    /// Write a report to this file too; its ending says which: .html, .md, .json, .xml (for those who show tests), .sarif, .txt
    #[arg(long, value_name = "FILE", value_parser = report::parse, env = "REPROV_REBUILD_REPORT", value_delimiter = '\n')]
    report: Vec<Report>,
    /// Keep the rebuilt images in this OCI layout
    #[arg(long, value_name = "DIR", env = "REPROV_REBUILD_KEEP")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    /// rebuilder.id in the signed verdict
    #[arg(long, value_name = "URI", default_value = names::BUILDER_LOCAL, env = "REPROV_REBUILD_REBUILDER_ID")]
    rebuilder_id: String,
    /// Which manifest of a multi-platform image
    #[arg(long, default_value = "linux/amd64", env = "REPROV_REBUILD_PLATFORM")]
    platform: String,
    /// Take this verdict for a yes too
    #[arg(long, value_name = "VERDICT", value_parser = parse_verdict)]
    accept: Vec<Verdict>,
}

/// What may cure a drift.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Remedy {
    /// Steps see the commit's time (docs/clock.md)
    #[value(name = "clock=commit")]
    Clock,
}

/// Where inputs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Inputs {
    /// The recording
    Replay,
    /// The repositories, as they are today (docs/live.md)
    Live,
}

/// An image, and what came of it.
type Answer = (ImageName, Result<Outcome, Unjudged>);

/// Why there is no verdict, and the build that was ended before there could be one.
pub(super) struct Unjudged {
    failure: Failure,
    execution: Option<Box<Execution>>,
}

impl From<Failure> for Unjudged {
    fn from(failure: Failure) -> Self {
        Self { failure, execution: None }
    }
}

impl From<RebuildError> for Unjudged {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Exceeded { reason, execution } => {
                Self { failure: Failure::unavailable(reason), execution: Some(execution) }
            }
            error => Failure::from(error).into(),
        }
    }
}

pub(super) fn parse_verdict(text: &str) -> Result<Verdict, String> {
    let names = || Verdict::ALL.map(Verdict::name).join(", ");
    Verdict::ALL
        .into_iter()
        .find(|verdict| verdict.name() == text)
        .ok_or_else(|| format!("one of {}", names()))
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let live = self.inputs == Inputs::Live;
        if self.max_inputs.is_some() && !live {
            context
                .console
                .warn("--max-inputs bounds nothing here: a replay fetches nothing (see --inputs live)");
        }
        let otherwise = [("--vary", self.vary.is_some()), ("--try", self.remedy.is_some())];
        if let Some((flag, _)) = otherwise.into_iter().find(|(_, given)| *given && live) {
            let text = format!("--inputs live cannot be used with {flag}, which replays what was recorded");
            return Err(Failure::usage_text(text));
        }
        let trust = if self.insecure_skip_verify {
            if live {
                context
                    .console
                    .warn("--inputs live: steps reach the repositories that an unverified provenance names");
            }
            context
                .console
                .warn("--insecure-skip-verify: provenance is believed without looking who signed it");
            Trust::AnyoneUnsafe
        } else {
            Trust::Keys(signing::load_trust(&self.trust).map_err(Failure::usage)?)
        };
        let key = self.sign.signer()?.map(Arc::new);
        let names = self.images.iter().map(|image| image_name("", image));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let secrets = credentials::secrets(&self.secret)?;
        let answers = self.all(context, &trust, key, &secrets, &names).await?;
        Ok(self.answer(context, answers))
    }

    /// Every image, `--jobs` at a time; one that fails stops no other.
    async fn all(
        &self,
        context: &Context<'_>,
        trust: &Trust,
        key: Option<Arc<Signer>>,
        secrets: &Secrets,
        names: &[ImageName],
    ) -> Result<Vec<Answer>, Failure> {
        let ports = context.ports(Arc::new(Silent))?;
        let env = context.global.git_environment()?;
        let turns = Turns::new(self.jobs.unwrap_or_else(host::cores), self.max_memory);
        let mut running = JoinSet::new();
        let mut tasks = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let request = self.request(name, trust, secrets, &env);
            let (turns, key, mut ports) = (turns.clone(), key.clone(), ports.clone());
            let progress = context.console.job(&name.to_string());
            let task = running.spawn(async move {
                ports.progress = progress;
                let _turn = turns.take(ports.progress.as_ref(), &ports.cancel).await;
                Box::pin(rebuild(&ports, &request, key.as_deref())).await.map_err(Unjudged::from)
            });
            tasks.insert(task.id(), index);
        }
        let mut answers: BTreeMap<usize, _> = BTreeMap::new();
        while let Some(ended) = running.join_next_with_id().await {
            let (id, outcome) = match ended {
                Ok((id, outcome)) => (id, outcome),
                Err(panic) => (panic.id(), Err(Failure::internal(panic).into())),
            };
            answers.insert(tasks[&id], outcome);
        }
        Ok(answers.into_iter().map(|(index, outcome)| (names[index].clone(), outcome)).collect())
    }

    fn request(
        &self,
        name: &ImageName,
        trust: &Trust,
        secrets: &Secrets,
        env: &[(String, String)],
    ) -> Request {
        Request {
            image: name.clone(),
            trust: trust.clone(),
            source: self.source.clone(),
            provenance: self.provenance,
            keep: self.keep.clone(),
            platform: self.platform.clone(),
            rebuilder_id: self.rebuilder_id.clone(),
            env: env.to_vec(),
            secrets: secrets.clone(),
            maxima: Maxima {
                memory_bytes: self.max_memory,
                disk_bytes: self.max_disk,
                files: self.max_files,
                inputs_bytes: self.max_inputs, // A replay fetches nothing.
            },
            buildroot: self.buildroot.clone(),
            vary: self.vary.clone().unwrap_or_default(),
            ignore: self.ignore.acceptances(),
            inputs: match self.inputs {
                Inputs::Replay => InputsFrom::Replay,
                Inputs::Live => InputsFrom::Live,
            },
            credentials: live::credentials(trust),
            try_commit_clock: matches!(self.remedy, Some(Remedy::Clock)),
        }
    }

    fn answer(&self, context: &Context<'_>, answers: Vec<Answer>) -> Exit {
        let mut exit = Exit::Ok;
        let mut images = Vec::new();
        let mut summary = BTreeMap::new();
        for (name, outcome) in answers {
            let (image, code) = judged(context.console, &name, outcome, &self.accept);
            exit = exit.worse(code);
            let verdict = image.verdict.map_or("error", Verdict::name);
            *summary.entry(verdict.to_owned()).or_default() += 1;
            images.push(image);
        }
        let mut accepted = self.accept.clone();
        accepted.retain(|verdict| *verdict != Verdict::Reproduced && summary.contains_key(verdict.name()));
        accepted.dedup();
        let answer = view::Rebuild { schema: "reprov.rebuild/v1", images, summary, accepted };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        match report::write(&self.report, &answer) {
            Ok(()) => exit,
            Err(failure) => {
                context.console.complain(&failure);
                exit.worse(failure.exit)
            }
        }
    }
}

/// The answer about one image, and what it makes the process end with; what could not be told is said now.
pub(super) fn judged(
    console: &Console,
    name: &ImageName,
    outcome: Result<Outcome, Unjudged>,
    accept: &[Verdict],
) -> (view::Image, Exit) {
    match outcome {
        Ok(outcome) => {
            let (mut image, mut code) = (answer::image(name, &outcome), exit(&outcome, accept));
            if let Some(error) = outcome.unattached {
                let failure = Failure::from(error);
                code = code.worse(failure.exit);
                let text = format!("the verdict is not attached: {}", failure.messages().join(": "));
                image.error = Some(image.error.into_iter().chain([text]).collect::<Vec<_>>().join("; "));
            }
            (image, code)
        }
        Err(Unjudged { failure, execution }) => {
            let text = failure.messages().join(": ");
            console.line(&format!("error: {name}: {}", crate::model::path::printable(&text)));
            for hint in failure.hints() {
                console.line(&format!("hint: {hint}"));
            }
            let mut image = answer::unknown(name, text);
            if let Some(execution) = execution {
                answer::ran(&mut image, &execution, execution.started_s);
            }
            (image, failure.exit)
        }
    }
}

fn exit(outcome: &Outcome, accept: &[Verdict]) -> Exit {
    let verdict = outcome.verdict;
    // The repositories may be as they were, and yet it asked for something that it must not have.
    let refused = outcome.lived.is_some() && outcome.execution.as_ref().is_some_and(refused);
    let control = outcome.varied.as_ref().and_then(|varied| varied.control);
    if verdict == Verdict::Reproduced || accept.contains(&verdict) {
        Exit::Ok
    } else if verdict.undecided() && control.is_none_or(Verdict::undecided) && !refused {
        Exit::Unavailable
    } else {
        Exit::Findings
    }
}

/// Whether it failed, and asked for what is not allowed.
fn refused(execution: &Execution) -> bool {
    execution.outcome.is_err() && !execution.closed.refused.is_empty()
}
