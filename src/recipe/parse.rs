//! Text → [`Recipe`].

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::{
    Acceptance, Access, Auth, Dropped, GitDirectory, OnRefused, Recipe, RecipeError, Repositories, exam,
    repositories::{check_repositories, prefix},
    written::{Text, Value, Written},
};
use crate::model::{
    ImageName, Repository, RepositoryKind,
    limits::{PATH_SIZE_BYTES_MAX, RECIPE_SIZE_BYTES_MAX},
    names,
    nearest::distance,
    reference::normalised,
    syntax::Syntax,
};

const TOP: [&str; 7] = ["image", "repository", "from", "normalize", "build", "drift", "test"];
const IMAGE: [&str; 5] = ["context", "dockerfile", "target", "build-args", "git"];
const REPOSITORY: [&str; 8] = ["name", "kind", "url", "replace", "configure", "key", "auth", "keep"];
const BUILD: [&str; 4] = ["buildroot", "timeout", "clock", "on-refused"];

impl Recipe {
    /// Reads `reprov.toml` (CLI.md).
    ///
    /// # Errors
    /// [`RecipeError`]: not TOML, a key nobody knows, a value that means nothing, or a documented one that
    /// this release does not do; always with its line.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let size_bytes = text.len() as u64;
        if size_bytes > RECIPE_SIZE_BYTES_MAX {
            return Err(RecipeError::Size { size_bytes, max_bytes: RECIPE_SIZE_BYTES_MAX });
        }
        let lines = Text(text);
        let table = DeTable::parse(text).map_err(|error| Syntax::of(text, &error))?;
        let top = Written::new(lines, "the recipe", 0, table.get_ref(), &TOP)?;
        let mut recipe = Self::default();
        for value in top.values() {
            match value.key {
                "image" => image(&mut recipe, &value)?,
                "repository" => repositories(&mut recipe, &value)?,
                "from" => recipe.from = from(&value)?,
                "normalize" => normalize(&mut recipe, &value)?,
                "build" => build(&mut recipe, &value)?,
                "test" => recipe.tests = exam::tests(&value)?,
                _ => drift(&mut recipe, &value)?,
            }
        }
        Ok(recipe)
    }
}

fn image(recipe: &mut Recipe, value: &Value<'_>) -> Result<(), RecipeError> {
    for value in value.table("[image]", &IMAGE)?.values() {
        match value.key {
            "context" => recipe.context = inside(&value)?,
            "dockerfile" => recipe.dockerfile = file(&value)?,
            "target" => recipe.target = Some(stage(&value)?),
            "build-args" => recipe.build_args = build_args(&value)?,
            _ => recipe.git = git(&value)?,
        }
    }
    Ok(())
}

fn git(value: &Value<'_>) -> Result<GitDirectory, RecipeError> {
    match value.string()? {
        "none" => Ok(GitDirectory::None),
        "minimal" => Ok(GitDirectory::Minimal),
        _ => Err(value.refuse("write `none` or `minimal`")),
    }
}

fn stage(value: &Value<'_>) -> Result<String, RecipeError> {
    let name = value.string()?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(value.refuse("not the name of a stage"));
    }
    Ok(name.to_owned())
}

fn build_args(value: &Value<'_>) -> Result<BTreeMap<String, String>, RecipeError> {
    let mut args = BTreeMap::new();
    for value in value.open_table("build-args")?.values() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !value.key.starts_with(|c| word(c) && !c.is_ascii_digit()) || !value.key.chars().all(word) {
            return Err(value.refuse("not the name of an ARG (letters, digits, `_`)"));
        }
        args.insert(value.key.to_owned(), value.string()?.to_owned());
    }
    Ok(args)
}

/// A path inside the source: `.`, or components joined by `/`.
fn inside(value: &Value<'_>) -> Result<String, RecipeError> {
    let path = value.string()?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let refused = path.is_empty()
        || path.len() > PATH_SIZE_BYTES_MAX
        || path.starts_with('/')
        || path.contains('\0')
        || parts.contains(&"..");
    if refused {
        return Err(value.refuse("write a path relative to the source, without `..`"));
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn file(value: &Value<'_>) -> Result<String, RecipeError> {
    let path = inside(value)?;
    if path == "." { Err(value.refuse("that is a directory; name a file")) } else { Ok(path) }
}

fn repositories(recipe: &mut Recipe, value: &Value<'_>) -> Result<(), RecipeError> {
    let mut repositories = Vec::new();
    for value in value.array()? {
        let table = value.table("[[repository]]", &REPOSITORY)?;
        let repository = repository(&table)?;
        let access = access(&table, repository.kind)?;
        if access != Access::default() {
            recipe.access.insert(repository.name.clone(), access);
        }
        repositories.push(repository);
        check_repositories(&repositories)
            .map_err(|source| RecipeError::Repository { line: table.line(), source })?;
    }
    recipe.repositories = Repositories::Only(repositories);
    Ok(())
}

fn repository(table: &Written<'_>) -> Result<Repository, RecipeError> {
    let mut replace = Vec::new();
    for value in table.get("replace").map(|value| value.array()).transpose()?.unwrap_or_default() {
        replace.push(repository_url(&value)?);
    }
    let name = table.required("name")?.string()?.to_owned();
    let kind = kind(&table.required("kind")?)?;
    let configure = table.get("configure").map(|value| configure(&value, kind)).transpose()?;
    let url = repository_url(&table.required("url")?)?;
    Ok(Repository { replace, configure: configure.unwrap_or_default(), ..Repository::plain(name, kind, url) })
}

/// Whether steps are set up to use it; some kinds need or have nothing to set.
fn configure(value: &Value<'_>, kind: RepositoryKind) -> Result<bool, RecipeError> {
    let reason = match kind {
        _ if !value.boolean()? => return Ok(false),
        RepositoryKind::Yum | RepositoryKind::Pypi | RepositoryKind::Npm | RepositoryKind::Go => {
            return Ok(true);
        }
        RepositoryKind::Apt => "apt needs nothing set: name the URLs in the image's sources in `replace`",
        RepositoryKind::Crates => {
            "cargo reads its index from files alone: name the index's URL in `replace`, and nothing has to be set"
        }
        RepositoryKind::Generic => {
            "no tool has a setting for a repository of kind generic; `replace` needs none"
        }
    };
    Err(value.refuse(reason))
}

fn access(table: &Written<'_>, kind: RepositoryKind) -> Result<Access, RecipeError> {
    let auth = table.get("auth").map(|value| auth(&value)).transpose()?;
    let keep = table.get("keep").map(|value| value.boolean()).transpose()?;
    let key = table.get("key").map(|value| key(&value, kind)).transpose()?;
    Ok(Access { auth, keep: keep.unwrap_or_default(), key })
}

fn key(value: &Value<'_>, kind: RepositoryKind) -> Result<String, RecipeError> {
    match kind {
        RepositoryKind::Apt | RepositoryKind::Yum => file(value),
        _ => Err(value.refuse(format!(
            "a key pins repositories of kind apt and yum; what {} serves has no OpenPGP signatures to check",
            kind.name()
        ))),
    }
}

/// What is no such place may be the credential itself: it is not repeated.
fn auth(value: &Value<'_>) -> Result<Auth, RecipeError> {
    let name = |name: &&str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| word(c) && !c.is_ascii_digit()) && name.chars().all(word)
    };
    match value.string()? {
        "netrc" => Ok(Auth::Netrc),
        text => match text.strip_prefix("env:").filter(name) {
            Some(name) => Ok(Auth::Env(name.to_owned())),
            None => {
                Err(value.refuse_unseen("write `env:NAME` or `netrc`; no credential belongs into a recipe"))
            }
        },
    }
}

fn repository_url(value: &Value<'_>) -> Result<String, RecipeError> {
    prefix(value.string()?).map_err(|error| value.refuse(error.to_string()))
}

fn kind(value: &Value<'_>) -> Result<RepositoryKind, RecipeError> {
    let written = value.string()?;
    RepositoryKind::ALL.into_iter().find(|kind| kind.name() == written).ok_or_else(|| {
        let names = RepositoryKind::ALL.map(RepositoryKind::name).join(", ");
        let meant =
            meant(written).map(|kind| format!("did you mean `{}`? ", kind.name())).unwrap_or_default();
        value.refuse(format!("{meant}write one of {names}"))
    })
}

/// The kind that somebody who writes `text` has in mind: by another name, or misspelt by two letters at most.
fn meant(text: &str) -> Option<RepositoryKind> {
    let text = text.to_lowercase();
    Some(match text.as_str() {
        "deb" | "debian" | "ubuntu" | "dpkg" => RepositoryKind::Apt,
        "rpm" | "dnf" | "dnf5" | "zypper" => RepositoryKind::Yum,
        "pip" | "python" | "wheel" | "uv" => RepositoryKind::Pypi,
        "node" | "yarn" | "pnpm" => RepositoryKind::Npm,
        "cargo" | "rust" => RepositoryKind::Crates,
        "golang" | "goproxy" => RepositoryKind::Go,
        "http" | "https" | "raw" | "files" => RepositoryKind::Generic,
        _ => {
            let away = |kind: &RepositoryKind| distance(kind.name(), &text);
            let near =
                |kind: &RepositoryKind| away(kind) <= 2 && away(kind) < kind.name().len().max(text.len());
            RepositoryKind::ALL.into_iter().filter(near).min_by_key(away)?
        }
    })
}

fn from(value: &Value<'_>) -> Result<BTreeMap<String, ImageName>, RecipeError> {
    let mut from = BTreeMap::new();
    for value in value.open_table("[from]")?.values() {
        if value.key.is_empty() || value.key.contains(char::is_whitespace) {
            return Err(value.refuse("the key is not the name of an image"));
        }
        let new = value.string()?.parse().map_err(|error| value.refuse(format!("{error}")))?;
        let image = normalised(value.key);
        if from.insert(image.clone(), new).is_some() {
            return Err(RecipeError::MappedTwice { line: value.line(), image });
        }
    }
    Ok(from)
}

fn normalize(recipe: &mut Recipe, value: &Value<'_>) -> Result<(), RecipeError> {
    for value in value.table("[normalize]", &["profile", "drop"])?.values() {
        if value.key == "profile" {
            recipe.profile = profile(&value)?;
        } else {
            recipe.drop = value.array()?.iter().map(dropped).collect::<Result<_, _>>()?;
        }
    }
    Ok(())
}

fn profile(value: &Value<'_>) -> Result<String, RecipeError> {
    match value.string()? {
        known if names::PROFILES.contains(&known) => Ok(known.to_owned()),
        _ => Err(value.refuse("unknown profile; write `default-2`, `default-1` or `none`")),
    }
}

fn dropped(value: &Value<'_>) -> Result<Dropped, RecipeError> {
    let table = value.table("drop", &["path", "because"])?;
    let (path, because) = (table.required("path")?, table.required("because")?);
    let pattern = pattern(&path)?;
    if pattern.chars().all(|c| matches!(c, '*' | '?' | '/')) {
        return Err(path.refuse("this would drop whole layers; name a path"));
    }
    let reason = because.string()?.trim();
    if reason.is_empty() {
        return Err(because.refuse("say why dropping it is harmless"));
    }
    Ok(Dropped { path: pattern, because: reason.to_owned() })
}

/// A pattern over paths in an image.
fn pattern(path: &Value<'_>) -> Result<String, RecipeError> {
    let pattern = path.string()?;
    let component = |part: &str| !matches!(part, "" | "." | "..");
    if pattern.len() > PATH_SIZE_BYTES_MAX || pattern.contains('\0') || !pattern.split('/').all(component) {
        return Err(path.refuse(
            "write a path in the image without leading slash or `..`; `*` and `**` may stand in it",
        ));
    }
    Ok(pattern.to_owned())
}

fn build(recipe: &mut Recipe, value: &Value<'_>) -> Result<(), RecipeError> {
    for value in value.table("[build]", &BUILD)?.values() {
        match value.key {
            "buildroot" => {
                recipe.buildroot =
                    value.string()?.parse().map_err(|error| value.refuse(format!("{error}")))?;
            }
            "timeout" => {
                recipe.timeout = value.string()?.parse().map_err(|error| value.refuse(format!("{error}")))?;
            }
            "clock" => {
                recipe.clock = value.string()?.parse().map_err(|error| value.refuse(format!("{error}")))?;
            }
            _ => recipe.on_refused = on_refused(&value)?,
        }
    }
    Ok(())
}

fn on_refused(value: &Value<'_>) -> Result<OnRefused, RecipeError> {
    match value.string()? {
        "fail" => Ok(OnRefused::Fail),
        "record" => Ok(OnRefused::Record),
        _ => Err(value.refuse("write `fail` or `record`")),
    }
}

fn drift(recipe: &mut Recipe, value: &Value<'_>) -> Result<(), RecipeError> {
    if let Some(accept) = value.table("[drift]", &["accept"])?.get("accept") {
        recipe.accept = accept.array()?.iter().map(accepted).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn accepted(value: &Value<'_>) -> Result<Acceptance, RecipeError> {
    let table = value.table("accept", &["cause", "path", "because", "until", "owner"])?;
    let said = |key: &str| {
        let Some(value) = table.get(key) else { return Ok(None) };
        match value.string()?.trim() {
            "" => Err(value.refuse("write something, or leave it out")),
            text => Ok(Some(text.to_owned())),
        }
    };
    let because = table.required("because")?;
    let reason = said("because")?.ok_or_else(|| because.refuse("say why it is acceptable"))?;
    let until = said("until")?;
    if until.as_deref().is_some_and(|day| !is_day(day))
        && let Some(value) = table.get("until")
    {
        return Err(value.refuse("write the last day as YYYY-MM-DD"));
    }
    let (cause, path) = (said("cause")?, table.get("path").as_ref().map(pattern).transpose()?);
    if cause.is_none() && path.is_none() {
        return Err(because.refuse("say what is accepted: `cause`, `path` or both"));
    }
    Ok(Acceptance { cause, path, because: reason, until, owner: said("owner")?, line: table.line() })
}

/// Whether `text` is a day of the calendar, `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    text.len() == 10 && crate::model::time::parse_rfc3339(&format!("{text}T00:00:00Z")).is_some()
}
