//! `reprov build`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::{
    Context, built,
    console::Console,
    credentials, failed,
    failure::{Exit, Failure},
    global::image_name,
    ledger::{Places, note, opened},
    rebuild::{Unjudged, judged as judged_image, parse_verdict},
    sign::SignArgs,
    size::parse_maximum,
    test::results,
};
use crate::{
    job::{
        Ports, SharedCheckout,
        build::{Checked, KeepBases, Outcome, Overrides, Request, build, wanted},
        evidence::Trust,
        execute::ExecuteError,
        inputs::InputsTo,
        source::options,
        test,
    },
    ledger::Place,
    model::{ImageName, Maxima, Selector, Verdict, limits::FILES_MIN, names, path::printable},
    recipe,
    report::{self, build as view},
    signing,
    source::{Checkout, SourceError},
};

/// Which base images are kept beside the image.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Keep {
    /// None; a rebuild looks for them where they were found.
    None,
    /// The one that the image stands on.
    Final,
    /// All.
    All,
}

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("key", |key| key.required_unless_present("no_sign").conflicts_with("no_sign")))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// A git URL, or a path in a git work tree (may be a subdirectory)
    #[arg(default_value = ".", value_name = "SOURCE")]
    source: String,
    /// Where the image goes: HOST/REPOSITORY:TAG or oci:DIR:TAG
    #[arg(short, long, value_name = "DEST", env = "REPROV_BUILD_TAG")]
    tag: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "HEAD", env = "REPROV_BUILD_REV")]
    rev: String,
    /// Build uncommitted changes too; the source is kept and the provenance says so
    #[arg(long)]
    allow_dirty: bool,
    /// The recipe in the source [default: reprov.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "REPROV_BUILD_RECIPE")]
    recipe: Option<String>,
    /// The Dockerfile in the source [default: Dockerfile]
    #[arg(short, long, value_name = "FILE", env = "REPROV_BUILD_FILE")]
    file: Option<String>,
    /// The build context in the source [default: .]
    #[arg(long, value_name = "DIR", env = "REPROV_BUILD_CONTEXT")]
    context: Option<String>,
    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE", env = "REPROV_BUILD_TARGET")]
    target: Option<String>,
    /// A build argument; public: it stands in the provenance
    #[arg(long, value_name = "K=V", env = "REPROV_BUILD_BUILD_ARG", value_delimiter = '\n')]
    build_arg: Vec<String>,
    /// A secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE; only its id is recorded
    #[arg(long, value_name = "id=NAME,src=FILE", env = "REPROV_BUILD_SECRET", value_delimiter = '\n')]
    secret: Vec<String>,
    /// Let a build argument through whose name sounds like a secret's
    #[arg(long, value_name = "NAME", env = "REPROV_BUILD_PUBLIC_ARG", value_delimiter = '\n')]
    public_arg: Vec<String>,
    /// os/architecture
    #[arg(long, default_value = "linux/amd64", env = "REPROV_BUILD_PLATFORM")]
    platform: String,
    /// A repository the build may fetch from (beside the recipe's)
    #[arg(long, value_name = "NAME=URL", env = "REPROV_BUILD_ALLOW", value_delimiter = '\n')]
    allow: Vec<String>,
    /// Let every fetch through, record it, and say what to allow; the provenance says so
    #[arg(long)]
    learn: bool,
    /// Use another base image: as in the Dockerfile, then what to use
    #[arg(long, value_name = "OLD=NEW", env = "REPROV_BUILD_FROM", value_delimiter = '\n')]
    from: Vec<String>,
    /// Rules for layers made by RUN: default-2, default-1 or none
    #[arg(long, value_name = "NAME", env = "REPROV_BUILD_PROFILE")]
    profile: Option<String>,
    /// Longest run (90s, 30m, 1h)
    #[arg(long, value_name = "TIME", env = "REPROV_BUILD_TIMEOUT")]
    timeout: Option<String>,
    /// What time RUN steps see: the machine's, or the commit's, standing still [default: the recipe's, else real]
    #[arg(long, value_name = "real|commit", env = "REPROV_BUILD_CLOCK")]
    clock: Option<recipe::Clock>,
    /// Most memory of the build (512M, 4G) [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_BUILD_MAX_MEMORY")]
    max_memory: Option<u64>,
    /// Most disk of the build (20G) [default: all but 1 GiB of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_BUILD_MAX_DISK")]
    max_disk: Option<u64>,
    /// Most files and directories of the build (2000000) [default: what the disk can take, but for a reserve]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(FILES_MIN..), env = "REPROV_BUILD_MAX_FILES")]
    max_files: Option<u64>,
    /// Most that the build may fetch (2G) [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_BUILD_MAX_INPUTS")]
    max_inputs: Option<u64>,
    /// What to build with: an image that holds buildah and runc, or the machine's own [default: the recipe's, else host]
    #[arg(long, value_name = "IMAGE@DIGEST|host", env = "REPROV_BUILD_BUILDROOT")]
    buildroot: Option<recipe::Buildroot>,
    /// Refuse base images that neither [from] nor --from maps and that carry no provenance by a --trust key
    #[arg(long)]
    require_vetted: bool,
    /// Whose provenance of buildroot and bases to believe (repeat for several); without, it is not verified
    #[arg(long, value_name = "KEY.pub", env = "REPROV_BUILD_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    /// Attach the provenance unsigned: nobody can trust it
    #[arg(long)]
    no_sign: bool,
    /// builder.id in the provenance
    #[arg(long, value_name = "URI", default_value = names::BUILDER_LOCAL, env = "REPROV_BUILD_BUILDER_ID")]
    builder_id: String,
    /// Replay what is recorded, beside the build and a few seconds behind it, and compare; with --key the verdict is
    /// attached. The tag waits for no verdict: an image that drifts stays pushed
    #[arg(long)]
    check: bool,
    /// Try the recipe's [[test]]s in the image before the tag is written; if one fails, the tag stays where it was. With
    /// --key the result is attached, whatever it is
    #[arg(long)]
    test: bool,
    /// With --check: take this verdict for a yes too
    #[arg(long, value_name = "VERDICT", value_parser = parse_verdict, requires = "check")]
    accept: Vec<Verdict>,
    /// Where fetched files are kept: beside the image, only here, or in another repository
    #[arg(long, value_name = "same|none|REF", default_value = "same", env = "REPROV_BUILD_INPUTS_TO")]
    inputs_to: String,
    /// Which base images are kept beside the image
    #[arg(long, value_enum, default_value = "final", env = "REPROV_BUILD_KEEP_BASES")]
    keep_bases: Keep,
    /// Keep the source beside the image even if a remote has the commit
    #[arg(long)]
    keep_source: bool,
    /// Where the log of a failed build is put, its events, and a statement about both [default: the store]
    #[arg(long, value_name = "DIR", env = "REPROV_BUILD_LOG_DIR")]
    log_dir: Option<PathBuf>,
    /// Push these, if the build fails, to DEST's repository: as TAG.failed-BUILD, and as TAG.failed the latest
    #[arg(long)]
    push_log: bool,
    /// Note the build in this ledger too: a file, or `postgres://USER@HOST/DATABASE`
    #[arg(long, value_name = "PATH|URL", value_parser = Places, env = "REPROV_LEDGER", hide_env_values = true)]
    ledger: Option<Place>,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.tried(context).await {
            Err(failure) if failure.exit == Exit::Unavailable => {
                context.console.complain(&failure);
                context.console.answer(&view::Build::failed(failure.messages().join(": ")), "");
                Ok(Exit::Unavailable)
            }
            tried => tried,
        }
    }

    async fn tried(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let to = image_name("--tag ", &self.tag)?;
        if to.selector.digest.is_some() {
            let text = format!("--tag `{}` names a digest; the build decides that", self.tag);
            return Err(Failure::usage_text(text));
        }
        let overrides = self.overrides()?;
        let inputs_to = self.inputs_to(&to)?;
        let key = self.sign.signer()?;
        let secrets = credentials::secrets(&self.secret)?;
        let trust = match &self.trust[..] {
            [] => None,
            files => Some(Trust::Keys(signing::load_trust(files).map_err(Failure::usage)?)),
        };
        if self.no_sign && self.test {
            context
                .console
                .warn("--no-sign: the result of --test is not attached; it stands in the answer alone");
        }
        if self.no_sign && self.check {
            context.console.warn(
                "--no-sign: the verdict of --check is not attached either; it stands in the answer alone",
            );
        }
        if self.no_sign {
            context.console.warn("--no-sign: the provenance is not signed; nobody can trust it, and rebuild reads it only with --insecure-skip-verify");
        }
        let ports = context.ports(context.console.job("build"))?;
        let checkout = self.checkout(&ports, context.global.git_environment()?).await?;
        if checkout.dirty() {
            context.console.warn("the source has uncommitted changes (--allow-dirty); the provenance says so and the source is kept");
        }
        let checkout = SharedCheckout::new(checkout);
        let wanted = wanted(&checkout, self.recipe.as_deref())?;
        let request = Request {
            credentials: credentials::resolve(&wanted)?,
            secrets,
            maxima: Maxima {
                memory_bytes: self.max_memory,
                disk_bytes: self.max_disk,
                files: self.max_files,
                inputs_bytes: self.max_inputs,
            },
            trust,
            require_vetted: self.require_vetted,
            checkout,
            rev: self.rev.clone(),
            to,
            overrides,
            key,
            builder_id: self.builder_id.clone(),
            env: context.global.git_environment()?,
            inputs_to,
            keep_bases: match self.keep_bases {
                Keep::None => KeepBases::None,
                Keep::Final => KeepBases::Final,
                Keep::All => KeepBases::All,
            },
            keep_source: self.keep_source,
            log_dir: self.log_dir.clone(),
            push_log: self.push_log,
            check: self.check.then(|| context.console.job("check")),
            test: self.test,
        };
        // A ledger that cannot be used is known before there is something to note.
        let ledger = opened(self.ledger.as_ref()).await?;
        let mut outcome = Box::pin(build(&ports, &request)).await?;
        let entry = outcome.entry.take();
        let exit = self.answer(context, &ports, &request, outcome);
        Ok(exit.worse(note(context, ledger, entry).await))
    }

    fn overrides(&self) -> Result<Overrides, Failure> {
        let allow = self.allow.iter().map(|pair| recipe::parse_allow(pair)).collect::<Result<_, _>>();
        let from = self.from.iter().map(|pair| recipe::parse_from(pair)).collect::<Result<Vec<_>, _>>();
        Ok(Overrides {
            recipe: self.recipe.clone(),
            dockerfile: self.file.clone(),
            context: self.context.clone(),
            target: self.target.clone(),
            build_args: self.build_args()?,
            platform: self.platform.clone(),
            allow: allow.map_err(Failure::usage)?,
            learn: self.learn,
            from: once_each(from.map_err(Failure::usage)?)?,
            profile: self.profile.clone(),
            timeout: self.timeout.clone(),
            buildroot: self.buildroot.clone(),
            clock: self.clock,
        })
    }

    fn inputs_to(&self, to: &ImageName) -> Result<InputsTo, Failure> {
        let place = match self.inputs_to.as_str() {
            "same" => return Ok(InputsTo::Same),
            "none" => return Ok(InputsTo::Nowhere),
            text => image_name("--inputs-to ", text)?,
        };
        if place.selector != Selector::default() {
            let text = format!(
                "--inputs-to `{}` has a tag or a digest; name the repository alone, inputs are found by digest",
                self.inputs_to
            );
            return Err(Failure::usage_text(text));
        }
        Ok(if place.location == to.location { InputsTo::Same } else { InputsTo::Place(place) })
    }

    fn build_args(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut args = BTreeMap::new();
        for pair in &self.build_arg {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage_text(format!("--build-arg `{pair}` is not NAME=VALUE")))?;
            let upper = name.to_ascii_uppercase();
            let secret = ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|end| upper.ends_with(end));
            if secret && !self.public_arg.iter().any(|public| public == name) {
                let text = format!(
                    "--build-arg {name}: build arguments are public, and this one sounds like a secret"
                );
                return Err(Failure::usage_text(text).hint(format!("--public-arg {name} if it is none")));
            }
            args.insert(name.to_owned(), value.to_owned());
        }
        Ok(args)
    }

    async fn checkout(&self, ports: &Ports, env: Vec<(String, String)>) -> Result<Checkout, Failure> {
        let (inner, spec, rev, allow_dirty) =
            (ports.clone(), self.source.clone(), self.rev.clone(), self.allow_dirty);
        ports.progress.update(crate::progress::Update::Phase("source", &self.source));
        let opening = tokio::task::spawn_blocking(move || {
            Checkout::open(&spec, &rev, &options(&inner, allow_dirty, env))
        });
        opening.await.map_err(Failure::internal)?.map_err(|error| match error {
            SourceError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Failure::usage(error).hint("SOURCE is a directory of a git repository, or a URL".into())
            }
            error => error.into(),
        })
    }

    /// What a check came to, and what the process ends with for it.
    fn checked(&self, console: &Console, name: &ImageName, checked: Checked) -> (view::Check, Exit) {
        let judged = checked.judged.map_err(Unjudged::from);
        let (image, exit) = judged_image(console, name, judged, &self.accept);
        let accepted = exit == Exit::Ok && image.verdict != Some(Verdict::Reproduced);
        let cost =
            view::CheckCost { replay_seconds: tenths(checked.replay), added_seconds: tenths(checked.added) };
        (view::Check { image, accepted, cost }, exit)
    }

    /// What the process ends with for the tests.
    fn tested(&self, console: &Console, tests: Option<&test::Outcome>) -> Exit {
        if tests.is_none_or(test::Outcome::passed) {
            return Exit::Ok;
        }
        let text = format!("tests failed in the image; `{}` is where it was", self.tag);
        console.complain(&Failure::findings(text));
        Exit::Findings
    }

    fn answer(&self, context: &Context<'_>, ports: &Ports, request: &Request, mut outcome: Outcome) -> Exit {
        let console = context.console;
        let mut answer = built::answer(request, &outcome);
        for refused in &answer.inputs.refused {
            console.line(&refused.shown());
        }
        if !answer.inputs.refused.is_empty() && !self.learn {
            console.line("hint: allow what is meant with [[repository]] in reprov.toml or --allow NAME=URL; --learn prints what a build needs");
        }
        if outcome.repositories_from_base {
            let urls: Vec<_> = answer.repositories.iter().map(|repository| repository.url.as_str()).collect();
            let urls = if urls.is_empty() { "nothing".to_owned() } else { urls.join(", ") };
            console.say(&format!(
                "allowed (the base image's sources, since no [[repository]] is given): {urls}"
            ));
        }
        let failed = match (&outcome.execution.outcome, outcome.unpushed) {
            (Ok(made), None) => {
                let name = request.to.at(made.manifest.digest);
                let checked = outcome.check.take().map(|checked| self.checked(console, &name, checked));
                let exit = checked.as_ref().map_or(Exit::Ok, |(_, exit)| *exit);
                answer.check = checked.map(|(check, _)| check);
                answer.tests = outcome.tests.as_ref().map(results);
                console.answer(&answer, &answer.text(console.verbose()));
                return exit.worse(self.tested(console, outcome.tests.as_ref()));
            }
            (Ok(_), Some(error)) => Failure::from(error),
            (Err(failure), _) => {
                for line in failure.tail.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev() {
                    console.line(&format!("| {}", printable(line)));
                }
                let place = failure.instruction.as_ref();
                let place = place.map(|step| format!(" at line {}: {}", step.line, step.text));
                let place = place.unwrap_or_default();
                let failed = if failure.full {
                    let path = ports.store.root().to_owned();
                    Failure::unavailable(format!("the build failed{place}: {}", ExecuteError::Full { path }))
                } else {
                    Failure::findings(format!("the build failed{place}: {}", failure.reason))
                };
                failure.hints.iter().fold(failed, |failed, hint| failed.hint(hint.shown()))
            }
        };
        console.complain(&failed);
        answer.fail(failed.messages().join(": "));
        failed::place(console, &mut answer, outcome.left);
        if !answer.learned.is_empty() {
            console.line(&report::learned::tables(&answer.learned));
        }
        console.answer(&answer, "");
        failed.exit
    }
}

/// Each base once: of two flags for one nobody could tell which was meant.
fn once_each(pairs: Vec<(String, ImageName)>) -> Result<BTreeMap<String, ImageName>, Failure> {
    let mut from = BTreeMap::new();
    for (old, new) in pairs {
        if from.insert(old.clone(), new).is_some() {
            return Err(Failure::usage_text(format!("--from: `{old}` is mapped twice; keep one")));
        }
    }
    Ok(from)
}

/// In seconds, with one digit behind the point.
fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
