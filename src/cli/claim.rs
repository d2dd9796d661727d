//! Evidence as flags of `attest` name it. What is refused is said without the login in it: it may come from the environment of a
//! CI job, whose log others read.

use std::collections::BTreeMap;

use super::{failure::Failure, global::image_name};
use crate::{
    attest::{
        ClaimedRepository,
        adapters::{is_commit, public},
    },
    job::attest::{Commit, Material},
    model::{Digest, ImageName, Location},
};

/// `URL@ID`, the id whole.
pub(super) fn commit(text: &str) -> Result<Commit, Failure> {
    let wrong = |why: &str| Failure::usage_text(format!("--commit `{}`: {why}", public(text)));
    let (place, commit) = text.rsplit_once('@').ok_or_else(|| wrong("write URL@ID"))?;
    if !is_commit(commit) {
        return Err(wrong(
            "what stands behind the last `@` is not a whole commit id (40 or 64 lower-case hex digits); a branch or tag moves",
        ));
    }
    if place.is_empty() {
        return Err(wrong("write URL@ID"));
    }
    Ok(Commit { place: place.to_owned(), commit: commit.to_owned() })
}

/// An image by digest.
pub(super) fn pinned(flag: &str, text: &str) -> Result<ImageName, Failure> {
    let name = image_name(&format!("{flag} "), text)?;
    if name.selector.digest.is_none() {
        return Err(Failure::usage_text(format!(
            "{flag} `{text}` has no digest; a tag moves, so write NAME@sha256:…"
        )));
    }
    if matches!(name.location, Location::Layout(_)) {
        return Err(Failure::usage_text(format!(
            "{flag} `{text}`: a directory of this machine means nothing to others"
        )));
    }
    Ok(name)
}

/// `URL[=DIGEST]`.
pub(super) fn repository(text: &str) -> Result<ClaimedRepository, Failure> {
    let (url, digest) = match text.rsplit_once("=sha256:") {
        Some((url, hex)) => {
            let digest = Digest::from_hex(hex);
            (
                url,
                Some(digest.ok_or_else(|| {
                    Failure::usage_text(format!("--repo `{}`: not a sha256 digest", public(text)))
                })?),
            )
        }
        None => (text, None),
    };
    let parsed = url::Url::parse(url)
        .map_err(|error| Failure::usage_text(format!("--repo `{}`: {error}", public(text))))?;
    if parsed.password().is_some() || !parsed.username().is_empty() {
        return Err(Failure::usage_text(
            "--repo has a login in it, and is published; leave it out".to_owned(),
        ));
    }
    Ok(ClaimedRepository { url: url.to_owned(), digest })
}

/// `URI=ALGORITHM:HEX`, else a file.
pub(super) fn material(text: &str) -> Result<Material, Failure> {
    let named = text.rsplit_once('=').and_then(|(uri, digest)| {
        let (algorithm, hex) = digest.split_once(':')?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            "sha1" | "gitCommit" | "gitTree" | "gitBlob" => 40,
            _ => return None,
        };
        let fits = hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Material::Named {
            uri: uri.to_owned(),
            algorithm: algorithm.to_owned(),
            hex: hex.to_owned(),
        })
    });
    match named {
        Some(Material::Named { uri, .. }) if public(&uri) != uri => Err(Failure::usage_text(
            "--material has a login in it, and is published; leave it out".to_owned(),
        )),
        named => Ok(named.unwrap_or_else(|| Material::File(text.into()))),
    }
}

/// `NAME=VALUE`, each name once.
pub(super) fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::usage_text(format!("{flag} `{text}` is not NAME=VALUE")))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage_text(format!("{flag}: `{name}` stands twice; keep one")));
        }
    }
    Ok(pairs)
}
