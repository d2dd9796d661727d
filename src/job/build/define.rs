//! What is known before a build runs: flags over recipe over defaults, references resolved, repositories read.

use std::{collections::BTreeMap, sync::Arc};

use super::{BuildError, Overrides, Request, Wanted, environment::internal};
use crate::{
    attest::{self, BuildDefinition, Clock, Dropped, ExternalParameters, Normalize, OnRefused, RecipeFile},
    buildroot::Tools,
    drift::Cause,
    gateway,
    job::{
        Ports, SharedCheckout,
        bases::{self, Base, BaseError},
        builder::{Builder, BuilderError},
        configured::{self, SignerError},
        evidence::chain,
        plan::{self, PlanError, Reading},
        source::{Tags, complete, git_directory},
        standing::Standing,
        test::{Suite, described},
    },
    layer::Profile,
    model::{Digest, ImageName, Repository, ResourceDescriptor, limits, reference::normalised},
    progress::Update,
    recipe::{self, Recipe, RecipeError, Repositories},
    registry,
};

/// A definition, and what was fetched to make it.
pub(super) struct Planned {
    pub(super) definition: BuildDefinition,
    pub(super) bases: Vec<Base>,
    /// The base that the image stands on.
    pub(super) final_base: Option<usize>,
    pub(super) repositories_from_base: bool,
    /// What it is built with.
    pub(super) tools: Tools,
    /// What is special about fetching, by repository; no part of the definition.
    pub(super) access: BTreeMap<String, gateway::Access>,
    /// With `--test`: what is tried in the image.
    pub(super) suite: Option<Suite>,
}

impl Overrides {
    /// Puts what the flags say over what the recipe says.
    fn apply(&self, recipe: &mut Recipe) -> Result<(), BuildError> {
        for (field, flag) in [
            (&mut recipe.dockerfile, &self.dockerfile),
            (&mut recipe.context, &self.context),
            (&mut recipe.profile, &self.profile),
        ] {
            if let Some(flag) = flag {
                field.clone_from(flag);
            }
        }
        recipe.target = self.target.clone().or(recipe.target.take());
        recipe.build_args.extend(self.build_args.clone());
        recipe.from.extend(self.from.clone());
        if let Some(buildroot) = &self.buildroot {
            recipe.buildroot.clone_from(buildroot);
        }
        recipe.clock = self.clock.unwrap_or(recipe.clock);
        if let Some(timeout) = &self.timeout {
            recipe.timeout = timeout.parse().map_err(PlanError::Timeout)?;
        }
        Ok(())
    }
}

/// Gathers everything that is known before the run.
pub(super) async fn define(ports: &Ports, request: &Request) -> Result<Planned, BuildError> {
    let (mut recipe, recipe_file) = read_recipe(&request.checkout, request.overrides.recipe.as_deref())?;
    let mut access = access(&recipe, request)?;
    let flags = &request.overrides;
    flags.apply(&mut recipe)?;
    Profile::named(&recipe.profile)?; // Before anything is fetched.
    let suite = suite(request, &mut recipe, recipe_file.as_ref())?;
    let git = recipe.git == recipe::GitDirectory::Minimal;
    let tags = if git { Tags::Current } else { Tags::Unwanted };
    let paths = [recipe.context.as_str(), recipe.dockerfile.as_str()];
    complete(ports, &request.checkout, &request.env, paths, tags).await?;
    let target = recipe.target.as_deref();
    let reading =
        plan::read(&request.checkout, &recipe.dockerfile, target, &recipe.build_args, &flags.platform)?;
    let (bases, dependencies, final_base) = resolve(ports, request, &reading, &recipe.from).await?;
    let (mut repositories, from_base) = match recipe.repositories {
        Repositories::OfBase => (of_bases(ports, &bases).await?, true),
        Repositories::Only(named) => (named, false),
    };
    repositories.extend(flags.allow.clone());
    recipe::check_repositories(&repositories)?;
    pin(&request.checkout, &recipe.access, &mut repositories, &mut access)?;
    let builder = builder(ports, request, &recipe.buildroot).await?;
    let checkout = request.checkout.lock();
    let external = ExternalParameters {
        source: attest::Source {
            uri: checkout.uri().map(str::to_owned),
            rev: request.rev.clone(),
            subdir: checkout.subdir().to_owned(),
            dirty: checkout.dirty(),
        },
        dockerfile: recipe.dockerfile,
        context: recipe.context,
        target: recipe.target,
        build_args: recipe.build_args,
        platform: flags.platform.clone(),
        repositories,
        from: recipe.from.into_iter().map(|(old, new)| (old, new.to_string())).collect(),
        normalize: normalize(recipe.profile, recipe.drop),
        clock: match recipe.clock {
            recipe::Clock::Real => Clock::Real,
            recipe::Clock::Commit => Clock::Commit,
        },
        on_refused: match recipe.on_refused {
            recipe::OnRefused::Fail => OnRefused::Fail,
            recipe::OnRefused::Record => OnRefused::Record,
        },
        learn: flags.learn,
        timeout: recipe.timeout.to_string(),
        secrets: request.secrets.keys().cloned().collect(),
        git: git_directory(&checkout, git),
        recipe: recipe_file,
    };
    let mut all = vec![attest::definition::source(checkout.uri(), &checkout.commit(), &checkout.tree())];
    for submodule in checkout.submodules() {
        let uri = submodule.uri.unwrap_or_default();
        all.push(attest::definition::submodule(&submodule.path, &uri, &submodule.commit));
    }
    all.extend(dependencies);
    all.extend(builder.dependency);
    let tools = builder.tools;
    let mut internal = internal(checkout.epoch_s(), &tools, git, &request.maxima);
    internal.env.extend(configured::environment(&external.repositories));
    let definition = BuildDefinition { external, internal, dependencies: all };
    Ok(Planned { definition, bases, final_base, repositories_from_base: from_base, tools, access, suite })
}

/// The recipe's tests, if they are to be tried: before anything is built it is known that there are some.
fn suite(
    request: &Request,
    recipe: &mut Recipe,
    file: Option<&RecipeFile>,
) -> Result<Option<Suite>, BuildError> {
    if !request.test {
        return Ok(None);
    }
    let tests = std::mem::take(&mut recipe.tests);
    let Some(file) = file.filter(|_| !tests.is_empty()) else { return Err(BuildError::NoTests) };
    let checkout = request.checkout.lock();
    let configuration = vec![described(&file.path, checkout.uri().unwrap_or_default(), &file.digest)];
    Ok(Some(Suite { tests, configuration }))
}

fn normalize(profile: String, drop: Vec<recipe::Dropped>) -> Normalize {
    let dropped = |drop: recipe::Dropped| Dropped { path: drop.path, because: drop.because };
    Normalize { profile, drop: drop.into_iter().map(dropped).collect() }
}

/// What it is built with. A source alone does not choose what runs here.
async fn builder(
    ports: &Ports,
    request: &Request,
    buildroot: &recipe::Buildroot,
) -> Result<Builder, BuilderError> {
    let asked = request.overrides.buildroot.is_some() || request.trust.is_some();
    match buildroot {
        recipe::Buildroot::Host if request.trust.is_some() && !request.require_vetted => {
            let text =
                "--trust: there is no buildroot image to judge; the build uses this machine's own programs";
            ports.progress.update(Update::Warning(text));
            Builder::host().await
        }
        recipe::Buildroot::Image(name) if !asked => Err(BuilderError::Unasked { name: name.to_string() }),
        _ => Builder::of(ports, buildroot, request.trust.as_ref()).await,
    }
}

/// Which credentials the recipe of `checkout` (`--recipe` names another) asks for.
///
/// # Errors
/// [`BuildError`] if the recipe cannot be read.
pub fn wanted(checkout: &SharedCheckout, recipe: Option<&str>) -> Result<Vec<Wanted>, BuildError> {
    let (recipe, _) = read_recipe(checkout, recipe)?;
    let Repositories::Only(repositories) = &recipe.repositories else { return Ok(Vec::new()) };
    let wanted = repositories.iter().filter_map(|repository| {
        let auth = recipe.access.get(&repository.name)?.auth.clone()?;
        let url = url::Url::parse(&repository.url).ok()?;
        Some(Wanted { repository: repository.name.clone(), host: url.host_str()?.to_owned(), auth })
    });
    Ok(wanted.collect())
}

/// What the gateway must know beside the repositories.
fn access(recipe: &Recipe, request: &Request) -> Result<BTreeMap<String, gateway::Access>, BuildError> {
    let access = |(name, access): (&String, &recipe::Access)| {
        let authorization = request.credentials.get(name).filter(|_| access.auth.is_some()).cloned();
        if access.auth.is_some() && authorization.is_none() {
            return Err(BuildError::NoCredential(name.clone()));
        }
        Ok((name.clone(), gateway::Access { authorization, keep: access.keep, signers: None }))
    };
    recipe.access.iter().map(access).collect()
}

/// Reads the keys that the recipe names: their digest into the definition, themselves to the gateway.
fn pin(
    checkout: &SharedCheckout,
    of_recipe: &BTreeMap<String, recipe::Access>,
    repositories: &mut [Repository],
    access: &mut BTreeMap<String, gateway::Access>,
) -> Result<(), SignerError> {
    for repository in repositories {
        let named = of_recipe.get(&repository.name).and_then(|access| access.key.as_deref());
        let Some(path) = named else { continue };
        let (file, signers) = configured::signers(checkout, &repository.name, path)?;
        repository.key = Some(file);
        access.entry(repository.name.clone()).or_default().signers = Some(Arc::new(signers));
    }
    Ok(())
}

fn read_recipe(
    checkout: &SharedCheckout,
    named: Option<&str>,
) -> Result<(Recipe, Option<RecipeFile>), BuildError> {
    let path = named.unwrap_or("reprov.toml").to_owned();
    let Some(bytes) = checkout.lock().read(&path, limits::RECIPE_SIZE_BYTES_MAX)? else {
        return match named {
            Some(path) => Err(BuildError::NoRecipe(path.to_owned())),
            None => Ok((Recipe::default(), None)),
        };
    };
    let text = String::from_utf8_lossy(&bytes);
    let recipe = Recipe::parse(&text).map_err(|source| BuildError::Recipe { path: path.clone(), source })?;
    let known = |acceptance: &&recipe::Acceptance| {
        acceptance.cause.as_deref().is_none_or(|code| Cause::ALL.iter().any(|cause| cause.code() == code))
    };
    if let Some(unknown) = recipe.accept.iter().find(|acceptance| !known(acceptance)) {
        let source = RecipeError::Value {
            line: unknown.line,
            key: "cause".to_owned(),
            value: unknown.cause.clone().unwrap_or_default(),
            reason: "no cause of drift has this code; `reprov explain` lists them".to_owned(),
        };
        return Err(BuildError::Recipe { path, source });
    }
    Ok((recipe, Some(RecipeFile { path, digest: Digest::of(&bytes) })))
}

type Resolved = (Vec<Base>, Vec<ResourceDescriptor>, Option<usize>);

/// Resolves every image reference to a digest and fetches it; each distinct name once.
async fn resolve(
    ports: &Ports,
    request: &Request,
    reading: &Reading,
    from: &BTreeMap<String, ImageName>,
) -> Result<Resolved, BuildError> {
    let platform = &request.overrides.platform;
    let mut unvetted = Vec::new();
    let mut bases: Vec<Base> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let (mut dependencies, mut of_reference) = (Vec::new(), Vec::new());
    for reference in &reading.references {
        let failed = |source| {
            let (line, written) = (plan::line(reference.line), reference.written.clone());
            BuildError::Base { line, written, source }
        };
        let swapped = from.get(&normalised(&reference.used));
        let used = match swapped {
            Some(swapped) => swapped.to_string(),
            None => full_name(ports, &reference.used).map_err(failed)?,
        };
        let index = if let Some(index) = by_name.get(&used) {
            *index
        } else {
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
        let line = plan::line(reference.line);
        let mut dependency = attest::definition::base(&reference.written, &used, stage, line, &uri, digest);
        if let Some(standing) = standing(ports, request, base).await? {
            dependency.annotations.insert("provenance".to_owned(), standing.word().into());
            if swapped.is_none() && standing != Standing::Verified {
                let (written, why) = (&reference.written, standing.why());
                unvetted.push(format!("line {line} (stage {stage}): `{written}`: {why}"));
            }
        }
        dependencies.push(dependency);
        of_reference.push(index);
    }
    if request.require_vetted && !unvetted.is_empty() {
        return Err(BuildError::Unvetted(unvetted.join("; ")));
    }
    Ok((bases, dependencies, reading.final_reference.map(|reference| of_reference[reference])))
}

/// `text`, or what `registries.conf` has for a short name; that is said, since it decides what is built from.
fn full_name(ports: &Ports, text: &str) -> Result<String, BaseError> {
    if !registry::is_short(text) {
        return Ok(text.to_owned());
    }
    let mut full = ports.registries.full_names(text);
    match full.len() {
        0 => Ok(text.to_owned()), // Its own error says what to do.
        1 => {
            let said = format!("`{text}` is short for `{}`, by registries.conf", full[0]);
            ports.progress.update(Update::Warning(&said));
            Ok(full.remove(0))
        }
        _ => Err(BaseError::Ambiguous { name: text.to_owned(), candidates: full.join(", ") }),
    }
}

/// What a base's own provenance is worth, if somebody wants to know.
async fn standing(ports: &Ports, request: &Request, base: &Base) -> Result<Option<Standing>, BuildError> {
    if request.trust.is_none() && !request.require_vetted {
        return Ok(None);
    }
    match Standing::of(ports, &base.name, base.manifest.digest, request.trust.as_ref()).await {
        Ok(standing) => Ok(Some(standing)),
        Err(error) if request.require_vetted => Err(error.into()),
        Err(error) => {
            let text = format!("--trust: base `{}`: {}", base.name, chain(&error));
            ports.progress.update(Update::Warning(&text));
            Ok(None)
        }
    }
}

/// The package repositories that the base images are configured for.
async fn of_bases(ports: &Ports, bases: &[Base]) -> Result<Vec<Repository>, BuildError> {
    let (store, bases) = (ports.store.clone(), bases.to_vec());
    let files = crate::compute::run(move || {
        let read = bases.iter().map(|base| Ok(base.contents(&store)?.repository_files.clone()));
        read.collect::<Result<Vec<_>, BaseError>>().map(|files| files.concat())
    });
    Ok(recipe::system_repositories(&files.await?))
}
