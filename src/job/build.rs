//! `build`: from a commit to a pushed, attested image.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Ports, SharedCheckout,
    assemble::Assembled,
    bases::{self, Base, BaseError},
    execute::{self, ExecuteError, Execution, Kept, execute},
    plan::{self, PlanError, Reading},
    publish::{PublishError, Publisher},
    source::{Tags, complete, git_directory},
};
use crate::{
    attest::{
        self, BuildDefinition, BuildrootMode, Clock, Dropped, ExternalParameters, InternalParameters, Limits,
        Normalize, OnRefused, RecipeFile, RunDetails, Subject,
    },
    buildroot::{GATEWAY_PORT, Tools},
    engine, gateway, host,
    layer::Profile,
    model::{Digest, ImageName, Repository, ResourceDescriptor, limits, names, reference::normalised},
    progress::Update,
    recipe::{self, Recipe, RecipeError, Repositories},
    signing::PrivateKey,
    source::SourceError,
    store::StoreError,
};

/// What to build, as the caller chose it; flags already win over nothing, the recipe is read from the source.
#[derive(Debug)]
pub struct Request {
    /// The commit.
    pub checkout: SharedCheckout,
    /// `--rev`, as asked for.
    pub rev: String,
    /// Where the image goes; has a tag.
    pub to: ImageName,
    /// Flags that stand above the recipe.
    pub overrides: Overrides,
    /// Signs the provenance; none only with `--no-sign`.
    pub key: Option<PrivateKey>,
    /// `builder.id`.
    pub builder_id: String,
    /// What `git` may use of the caller's environment.
    pub env: Vec<(String, String)>,
    /// Which bases are kept beside the image.
    pub keep_bases: KeepBases,
    /// Keep the source even if a remote has the commit.
    pub keep_source: bool,
}

/// Flags of `build` that also have a key in the recipe.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// `--recipe`: path in the source; default `reprov.toml` if it exists.
    pub recipe: Option<String>,
    /// `--file`
    pub dockerfile: Option<String>,
    /// `--context`
    pub context: Option<String>,
    /// `--target`
    pub target: Option<String>,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--platform`
    pub platform: String,
    /// `--allow`
    pub allow: Vec<Repository>,
    /// `--learn`
    pub learn: bool,
    /// `--from`
    pub from: BTreeMap<String, ImageName>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--timeout`
    pub timeout: Option<String>,
}

/// Which base images are kept beside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepBases {
    /// None: they are found again by name.
    None,
    /// The last stage's (its layers are in the image anyway).
    Final,
    /// All.
    All,
}

/// Why a build gave no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each passes on the error of its module")]
pub enum BuildError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot use `{path}`")]
    Recipe { path: String, source: RecipeError },
    #[error("there is no `{0}` in the source at that commit")]
    NoRecipe(String),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("line {line}: base image `{written}`")]
    Base { line: u32, written: String, source: BaseError },
    #[error(transparent)]
    Bases(#[from] BaseError),
    #[error(transparent)]
    Layer(#[from] crate::layer::LayerError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Buildroot(#[from] crate::buildroot::BuildrootError),
    #[error("cannot make an invocation id")]
    Random(#[source] std::io::Error),
    #[error(transparent)]
    Repositories(#[from] recipe::RepositoryError),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The run.
    pub execution: Execution,
    /// Digest of the definition.
    pub definition: Digest,
    /// What was allowed, for the record.
    pub repositories: Vec<Repository>,
    /// Whether those were read from the base image, since nobody named any.
    pub repositories_from_base: bool,
    /// Referrer manifest of the provenance, and the statement's digest; none if the build failed.
    pub provenance: Option<(Digest, Digest)>,
    /// Whether it is signed.
    pub signed: bool,
    /// Why a good image was not pushed.
    pub unpushed: Option<BuildError>,
}

/// Builds, attests, pushes; tags last.
///
/// # Errors
/// [`BuildError`] if it could not be tried or not be pushed; a failed build is an [`Outcome`].
pub async fn build(ports: &Ports, request: &Request) -> Result<Outcome, BuildError> {
    let planned = define(ports, request).await?;
    let mode = gateway::Mode::Record {
        repositories: planned.definition.external.repositories.clone(),
        learn: planned.definition.external.learn,
        proxy: None,
    };
    let execution = execute(ports, &planned.definition, &request.checkout, &planned.bases, mode).await?;
    let published = match &execution.outcome {
        Ok(assembled) => Some(publish(ports, request, &planned, &execution, assembled).await),
        Err(_) => None,
    };
    let (provenance, unpushed) = match published.transpose() {
        Ok(provenance) => (provenance, None),
        Err(error) => (None, Some(error)),
    };
    Ok(Outcome {
        execution,
        definition: planned.definition.digest(),
        repositories: planned.definition.external.repositories,
        repositories_from_base: planned.repositories_from_base,
        provenance,
        signed: request.key.is_some(),
        unpushed,
    })
}

struct Planned {
    definition: BuildDefinition,
    bases: Vec<Base>,
    final_base: Option<usize>,
    repositories_from_base: bool,
}

/// Gathers everything that is known before the run.
async fn define(ports: &Ports, request: &Request) -> Result<Planned, BuildError> {
    let (recipe, recipe_file) = read_recipe(request)?;
    let flags = &request.overrides;
    let dockerfile = flags.dockerfile.clone().unwrap_or(recipe.dockerfile);
    let target = flags.target.clone().or(recipe.target);
    let mut build_args = recipe.build_args;
    build_args.extend(flags.build_args.clone());
    let mut from = recipe.from;
    from.extend(flags.from.clone());
    let profile = flags.profile.clone().unwrap_or(recipe.profile);
    let timeout = flags.timeout.clone().unwrap_or_else(|| recipe.timeout.to_string());
    Profile::named(&profile)?; // Before anything is fetched.
    timeout.parse::<recipe::Timeout>().map_err(PlanError::Timeout)?;
    let context = flags.context.clone().unwrap_or(recipe.context);
    let git = recipe.git == recipe::GitDirectory::Minimal;
    let tags = if git { Tags::Current } else { Tags::Unwanted };
    complete(ports, &request.checkout, &request.env, [&context, &dockerfile], tags).await?;
    let reading =
        plan::read(&request.checkout, &dockerfile, target.as_deref(), &build_args, &flags.platform)?;
    let (bases, dependencies, final_base) = resolve(ports, &reading, &from, &flags.platform).await?;
    let (mut repositories, from_base) = match recipe.repositories {
        Repositories::OfBase => (of_bases(ports, &bases).await?, true),
        Repositories::Only(named) => (named, false),
    };
    repositories.extend(flags.allow.clone());
    recipe::check_repositories(&repositories)?;
    let from = from.into_iter().map(|(old, new)| (old, new.to_string())).collect();
    let tools = Tools::find().await?;
    let checkout = request.checkout.lock();
    let external = ExternalParameters {
        source: attest::Source {
            uri: checkout.uri().map(str::to_owned),
            rev: request.rev.clone(),
            subdir: checkout.subdir().to_owned(),
            dirty: checkout.dirty(),
        },
        dockerfile,
        context,
        target,
        build_args,
        platform: flags.platform.clone(),
        repositories,
        from,
        normalize: Normalize {
            profile,
            drop: recipe
                .drop
                .into_iter()
                .map(|drop| Dropped { path: drop.path, because: drop.because })
                .collect(),
        },
        clock: Clock::Real,
        on_refused: match recipe.on_refused {
            recipe::OnRefused::Fail => OnRefused::Fail,
            recipe::OnRefused::Record => OnRefused::Record,
        },
        learn: flags.learn,
        timeout,
        secrets: Vec::new(),
        git: git_directory(&checkout, git),
        recipe: recipe_file,
    };
    let mut all = vec![attest::definition::source(checkout.uri(), &checkout.commit(), &checkout.tree())];
    for submodule in checkout.submodules() {
        let uri = submodule.uri.unwrap_or_default();
        all.push(attest::definition::submodule(&submodule.path, &uri, &submodule.commit));
    }
    all.extend(dependencies);
    let definition =
        BuildDefinition { external, internal: internal(checkout.epoch_s(), &tools, git), dependencies: all };
    Ok(Planned { definition, bases, final_base, repositories_from_base: from_base })
}

fn read_recipe(request: &Request) -> Result<(Recipe, Option<RecipeFile>), BuildError> {
    let named = request.overrides.recipe.as_deref();
    let path = named.unwrap_or("reprov.toml").to_owned();
    let Some(bytes) = request.checkout.lock().read(&path, limits::RECIPE_SIZE_BYTES_MAX)? else {
        return match named {
            Some(path) => Err(BuildError::NoRecipe(path.to_owned())),
            None => Ok((Recipe::default(), None)),
        };
    };
    let text = String::from_utf8_lossy(&bytes);
    let recipe = Recipe::parse(&text).map_err(|source| BuildError::Recipe { path: path.clone(), source })?;
    Ok((recipe, Some(RecipeFile { path, digest: Digest::of(&bytes) })))
}

type Resolved = (Vec<Base>, Vec<ResourceDescriptor>, Option<usize>);

/// Resolves every image reference to a digest and fetches it; each distinct name once.
async fn resolve(
    ports: &Ports,
    reading: &Reading,
    from: &BTreeMap<String, ImageName>,
    platform: &str,
) -> Result<Resolved, BuildError> {
    let mut bases: Vec<Base> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let (mut dependencies, mut final_base) = (Vec::new(), None);
    for reference in &reading.references {
        let swapped = from.get(&normalised(&reference.used));
        let used = swapped.map_or_else(|| reference.used.clone(), ToString::to_string);
        let index = if let Some(index) = by_name.get(&used) {
            *index
        } else {
            let failed = |source| {
                let (line, written) = (plan::line(reference.line), reference.written.clone());
                BuildError::Base { line, written, source }
            };
            let name: ImageName = used.parse().map_err(|error| failed(BaseError::Name(error)))?;
            ports.progress.update(Update::Phase("base", &used));
            let base = bases::fetch(ports, &name, platform).await.map_err(failed)?;
            let known = bases.iter().position(|known| known.manifest.digest == base.manifest.digest);
            let index = known.unwrap_or(bases.len());
            if known.is_none() {
                bases.push(base);
            }
            by_name.insert(used.clone(), index);
            index
        };
        let base = &bases[index];
        let uri = crate::model::reference::uri(&base.name);
        let (digest, stage) = (&base.manifest.digest, reference.stage);
        dependencies.push(attest::definition::base(
            &reference.written,
            &used,
            stage,
            plan::line(reference.line),
            &uri,
            digest,
        ));
        if plan::is_from(&reading.dockerfile, reference) {
            final_base = Some(index); // The last FROM that names an image; a stage on a stage inherits it.
        }
    }
    Ok((bases, dependencies, final_base))
}

/// The package repositories that the base images are configured for.
async fn of_bases(ports: &Ports, bases: &[Base]) -> Result<Vec<Repository>, BuildError> {
    let (store, bases) = (ports.store.clone(), bases.to_vec());
    let files = crate::compute::run(move || {
        let read = bases.iter().map(|base| bases::repository_files(&store, base));
        read.collect::<Result<Vec<_>, _>>().map(|files| files.concat())
    });
    Ok(recipe::system_repositories(&files.await?))
}

/// What this program and machine add. A rebuild takes it from the provenance instead.
fn internal(epoch_s: i64, tools: &Tools, git: bool) -> InternalParameters {
    let tool = |tool: &crate::buildroot::Tool| attest::Tool {
        name: tool.name.to_owned(),
        version: tool.version.clone(),
        sha256: tool.digest,
    };
    InternalParameters {
        reprov: env!("CARGO_PKG_VERSION").to_owned(),
        writer: names::WRITER.to_owned(),
        epoch: epoch_s,
        mode: BuildrootMode::Host,
        engine: tool(&tools.engine),
        runtime: tool(&tools.runtime),
        limits: Limits {
            enforced_by: "none".to_owned(),
            memory_bytes: None,
            disk_bytes: None,
            inputs_bytes: None,
        },
        env: step_env(epoch_s, git),
        hostname: execute::HOSTNAME.to_owned(),
        mount_options: vec![engine::MOUNT_OPTIONS.to_owned()],
    }
}

/// The environment of every RUN step: constants, so that a step that prints it stays the same.
fn step_env(epoch_s: i64, git: bool) -> BTreeMap<String, String> {
    let proxy = format!("http://127.0.0.1:{GATEWAY_PORT}");
    let proxies = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|key| (key, proxy.clone()));
    let roots = [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
        "CARGO_HTTP_CAINFO",
        "GIT_SSL_CAINFO",
    ];
    let roots = roots.map(|key| (key, "/dev/.gw/ca.pem".to_owned()));
    let rest = [
        ("APT_CONFIG", "/dev/.gw/apt.conf".to_owned()),
        ("WGETRC", "/dev/.gw/wgetrc".to_owned()),
        ("SOURCE_DATE_EPOCH", epoch_s.to_string()),
        ("TZ", "UTC".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
    ];
    // git refuses a repository of another owner; the one in the context is what the definition says it is.
    let safe = [("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")];
    let safe = safe.map(|(name, value)| (format!("GIT_CONFIG_{name}"), value.to_owned()));
    let safe = safe.into_iter().filter(|_| git);
    let fixed = proxies.into_iter().chain(roots).chain(rest);
    fixed.map(|(key, value)| (key.to_owned(), value)).chain(safe).collect()
}

/// Pushes the image and all that a rebuild needs, attests, tags; the provenance's referrer and statement.
async fn publish(
    ports: &Ports,
    request: &Request,
    planned: &Planned,
    execution: &Execution,
    assembled: &Assembled,
) -> Result<(Digest, Digest), BuildError> {
    let base = planned.final_base.map(|index| &planned.bases[index]);
    ports.progress.update(Update::Phase("push", &request.to.to_string()));
    let publisher = Publisher::new(ports, &request.to, assembled.manifest.clone());
    publisher.image(&assembled.image, base.map(|base| &base.name)).await?;
    let put = |bytes: Vec<u8>| -> Result<Kept, StoreError> {
        Ok(Kept { digest: ports.store.put(&bytes)?, size: bytes.len() as u64 })
    };
    let transcript = put(execution.closed.transcript.to_jsonl())?;
    let events = put(crate::transcript::events_jsonl(&execution.events))?;
    publisher.kept(names::LOG, execution.log).await?;
    publisher.kept(names::EVENTS, events).await?;
    publisher.kept(names::TRANSCRIPT, transcript).await?;
    let mut bodies = execution.closed.transcript.bodies();
    bodies.retain(|digest, _| !execution.closed.private.contains(digest)); // Fetched with credentials: stay here.
    publisher.inputs(&bodies).await?;
    for (index, base) in planned.bases.iter().enumerate() {
        if request.keep_bases == KeepBases::All
            || (request.keep_bases == KeepBases::Final && planned.final_base == Some(index))
        {
            publisher.base(base).await?;
        }
    }
    if let Some((digest, size)) = pack_source(ports, request)? {
        publisher.kept(names::SOURCE, Kept { digest, size }).await?;
    }
    let mut byproducts = vec![("log", names::LOG, execution.log), ("events", names::EVENTS, events)];
    byproducts.push(("transcript", names::TRANSCRIPT, transcript));
    byproducts.extend(execution.lowered.map(|kept| ("dockerfile-lowered", "application/json", kept)));
    byproducts.extend(execution.layers.map(|kept| ("layers", "application/json", kept)));
    for (_, media_type, kept) in
        byproducts.iter().filter(|(name, ..)| matches!(*name, "dockerfile-lowered" | "layers"))
    {
        publisher.kept(media_type, *kept).await?;
    }
    let run = RunDetails {
        builder_id: request.builder_id.clone(),
        reprov_version: env!("CARGO_PKG_VERSION").to_owned(),
        invocation_id: host::random_id().map_err(BuildError::Random)?,
        started_on_s: execution.started_s,
        finished_on_s: execution.finished_s,
        inputs: inputs(execution),
        byproducts: byproducts.into_iter().map(descriptor).collect(),
        tainted: tainted(planned, execution),
    };
    let subject = Subject::new(request.to.repository(), &assembled.manifest.digest);
    let statement = attest::provenance(&planned.definition, &run, &[subject]);
    let attached = publisher.statement(&statement, request.key.as_ref()).await?;
    publisher.tag(&request.to, &assembled.image).await?;
    Ok((attached.digest, Digest::of(&statement.to_bytes())))
}

/// The source as a deterministic pack, if nobody else keeps it.
fn pack_source(ports: &Ports, request: &Request) -> Result<Option<(Digest, u64)>, BuildError> {
    let checkout = request.checkout.lock();
    let reachable = checkout.submodules().iter().all(|submodule| submodule.uri.is_some());
    if checkout.uri().is_some() && reachable && !checkout.dirty() && !request.keep_source {
        return Ok(None);
    }
    let mut writer = ports.store.writer()?;
    checkout.pack(&mut writer)?;
    Ok(Some(writer.finish()?))
}

fn descriptor((name, media_type, kept): (&str, &str, Kept)) -> ResourceDescriptor {
    ResourceDescriptor {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        digest: [("sha256".to_owned(), kept.digest.hex())].into(),
        ..ResourceDescriptor::default()
    }
}

/// Every recorded answer; those fetched with credentials are kept on this machine only.
fn inputs(execution: &Execution) -> Vec<ResourceDescriptor> {
    let mut inputs = execution.closed.transcript.inputs();
    for input in &mut inputs {
        if input.sha256().is_some_and(|digest| execution.closed.private.contains(&digest)) {
            input.annotations.insert("kept".to_owned(), "local".into());
        }
    }
    inputs
}

fn tainted(planned: &Planned, execution: &Execution) -> Vec<String> {
    let mut reasons: BTreeSet<_> = execution.closed.transcript.tainted().iter().cloned().collect();
    if planned.definition.external.learn {
        reasons.insert("learn".to_owned());
    }
    reasons.into_iter().collect()
}
