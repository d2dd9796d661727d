//! Which tests: those of a file that is given, or of the recipe at the commit that the image was built from.

use std::collections::BTreeMap;

use super::{Base, Ports, Suite, TestError};
use crate::{
    job::{
        evidence::{Believed, Evidence, Found, Trust, chain},
        rebuild::checkout_of,
    },
    model::{Digest, ResourceDescriptor, limits::RECIPE_SIZE_BYTES_MAX},
    progress::Update,
    recipe::{
        Recipe, RecipeError,
        exam::{StructureError, structure},
    },
};

/// Why a file of tests cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each passes on the error of its module")]
pub enum Given {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Structure(#[from] StructureError),
    #[error("it is not UTF-8")]
    Text,
    #[error("there is no [[test]] in it")]
    None,
}

/// What the recipe's tests came to.
#[derive(Debug)]
pub enum SourceOfTests {
    /// Here they are.
    Suite(Suite),
    /// Nobody who is trusted says which commit it is; one reason for each candidate.
    Unverifiable(String),
    /// That commit's source, or its recipe, cannot be had.
    Missing(String),
    /// The recipe has none, or there is no recipe.
    None(String),
}

/// Reads a file of tests: a recipe if its name ends in `.toml`, else one of container-structure-test's.
///
/// # Errors
/// [`Given`].
pub fn given(name: &str, bytes: &[u8]) -> Result<Suite, Given> {
    let text = str::from_utf8(bytes).map_err(|_| Given::Text)?;
    let tests = if name.ends_with(".toml") { Recipe::parse(text)?.tests } else { structure(text)? };
    if tests.is_empty() {
        return Err(Given::None);
    }
    Ok(Suite { tests, configuration: vec![described(name, "", &Digest::of(bytes))] })
}

/// A file of tests, by its digest.
pub(in crate::job) fn described(name: &str, uri: &str, digest: &Digest) -> ResourceDescriptor {
    ResourceDescriptor {
        name: name.to_owned(),
        uri: uri.to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]),
        ..ResourceDescriptor::default()
    }
}

/// The tests of the recipe that the image's provenance names, read from its commit: in `source` if given, else in the kept
/// pack, else where the provenance says.
///
/// # Errors
/// [`TestError::Evidence`], [`TestError::Store`].
pub async fn of_recipe(
    ports: &Ports,
    base: &Base,
    trust: &Trust,
    source: Option<&str>,
    env: &[(String, String)],
) -> Result<SourceOfTests, TestError> {
    ports.progress.update(Update::Phase("verify", &base.name.to_string()));
    let evidence = Evidence::gather(ports, &base.name, base.manifest.digest).await?;
    let believed: Believed = match evidence.provenance(ports, trust, None).await? {
        Found::Believed(all) => match all.into_iter().next() {
            Some(first) => first,
            None => return Ok(SourceOfTests::Unverifiable(String::new())), // Believed is never empty.
        },
        Found::Refused(reasons) => return Ok(SourceOfTests::Unverifiable(reasons.join("; "))),
    };
    let definition = &believed.provenance.definition;
    let Some(file) = &definition.external.recipe else {
        return Ok(SourceOfTests::None("it was built without a recipe".to_owned()));
    };
    ports.progress.update(Update::Phase("source", ""));
    let checkout = match checkout_of(ports, (&base.name, &evidence), definition, source, env).await {
        Ok(checkout) => checkout,
        Err(error) => return Ok(SourceOfTests::Missing(chain(&error))),
    };
    let read = checkout.lock().read(&file.path, RECIPE_SIZE_BYTES_MAX);
    let bytes = match read {
        Ok(Some(bytes)) if Digest::of(&bytes) == file.digest => bytes,
        Ok(_) => {
            let text = format!("the source has another `{}` than was recorded, or none", file.path);
            return Ok(SourceOfTests::Missing(text));
        }
        Err(error) => return Ok(SourceOfTests::Missing(chain(&error))),
    };
    match Recipe::parse(&String::from_utf8_lossy(&bytes)) {
        Ok(recipe) if recipe.tests.is_empty() => {
            Ok(SourceOfTests::None(format!("`{}` has no [[test]]", file.path)))
        }
        Ok(recipe) => {
            let uri = definition.role("source").next().map(|source| source.uri.as_str()).unwrap_or_default();
            let configuration = vec![described(&file.path, uri, &file.digest)];
            Ok(SourceOfTests::Suite(Suite { tests: recipe.tests, configuration }))
        }
        Err(error) => Ok(SourceOfTests::Missing(format!("cannot read `{}`: {}", file.path, chain(&error)))),
    }
}
