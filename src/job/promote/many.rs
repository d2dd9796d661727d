//! Every image of an inventory, each with its own target.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use super::{PromoteError, tag_of};
use crate::{
    inventory::Inventory,
    job::{
        Ports,
        audit::{named, unclear},
    },
    model::{ImageName, Location},
};

/// One promotion.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The image; none: go back.
    pub from: Option<ImageName>,
    /// Where it goes.
    pub to: ImageName,
    /// The inventory's group.
    pub group: Option<String>,
    /// Who is told.
    pub owner: Option<String>,
}

/// A target's name with `{name}`, `{path}` and `{tag}` in it, of the image that is promoted: the last part of its
/// repository's path, all of that path, its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl FromStr for Template {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('{') {
            let Some((word, behind)) = after.split_once('}') else {
                return Err(format!("`{text}`: a `{{` without its `}}`"));
            };
            if !["name", "path", "tag"].contains(&word) {
                return Err(format!("`{text}`: there is no {{{word}}}; write {{name}}, {{path}} or {{tag}}"));
            }
            rest = behind;
        }
        if !text.contains("{name}") && !text.contains("{path}") {
            return Err(format!(
                "`{text}`: with --from-inventory DST has {{name}} or {{path}}, else all go to one place"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Template {
    /// The target of `from`.
    ///
    /// # Errors
    /// Why there is none: an image without a tag where one is needed, a name that is none.
    fn fill(&self, from: &ImageName) -> Result<ImageName, String> {
        let path = match &from.location {
            Location::Registry { repository, .. } => repository.clone(),
            Location::Layout(dir) => dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut text = self.0.replace("{name}", name).replace("{path}", &path);
        if text.contains("{tag}") {
            let tag = from.selector.tag.as_ref().ok_or(format!("`{from}` has no tag for {{tag}}"))?;
            text = text.replace("{tag}", tag);
        }
        let to: ImageName =
            text.parse().map_err(|error| format!("`{text}`, the target of `{from}`: {error}"))?;
        match to.selector.digest {
            Some(_) => Err(format!("`{text}` has a digest: a promotion moves a tag")),
            None => Ok(to),
        }
    }
}

/// What is promoted where: the images, lists and tags of all groups, or of one. What runs in a cluster (`pods`) is where it
/// goes to already, and no source.
///
/// # Errors
/// [`PromoteError::Inventory`] if there is nothing, no such group, or two images would go to one tag;
/// [`PromoteError::Unclear`] if tags could not be listed, [`PromoteError::List`] of the files that it names.
pub async fn planned(
    ports: &Ports,
    inventory: &Inventory,
    dir: &Path,
    group: Option<&str>,
    template: &Template,
) -> Result<Vec<Planned>, PromoteError> {
    let mut asked = inventory.clone();
    asked.groups.retain(|one| group.is_none_or(|name| name == one.name));
    for group in &mut asked.groups {
        group.pods.clear();
    }
    if let Some(name) = group.filter(|_| asked.groups.is_empty()) {
        return Err(PromoteError::Inventory(format!("the inventory has no group `{name}`")));
    }
    let mut notices = Vec::new();
    let names = named(ports, (&asked, dir), &mut notices).await?;
    if let Some(unclear) = unclear(notices) {
        return Err(PromoteError::Unclear(unclear));
    }
    let mut all: Vec<Planned> = Vec::new();
    let mut targets: BTreeMap<(String, String), ImageName> = BTreeMap::new();
    for (from, group) in names {
        let to = template.fill(&from).map_err(PromoteError::Inventory)?;
        if let Some(other) = targets.insert((to.repository(), tag_of(&to)), from.clone()) {
            let text = format!("`{other}` and `{from}` would both go to `{to}`");
            return Err(PromoteError::Inventory(text));
        }
        let group = &asked.groups[group];
        let (group, owner) = (Some(group.name.clone()), group.owner.clone());
        all.push(Planned { from: Some(from), to, group, owner });
    }
    if all.is_empty() {
        return Err(PromoteError::Inventory(
            "the inventory names no image that could be promoted".to_owned(),
        ));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_made_of_names() {
        let fill = |template: &str, from: &str| {
            let to = template.parse::<Template>()?.fill(&from.parse().unwrap())?;
            Ok::<_, String>(to.to_string())
        };
        let from = "registry.example.org/staging/shop/web:1.2";
        assert_eq!(fill("r.example/prod/{name}:{tag}", from).unwrap(), "r.example/prod/web:1.2");
        assert_eq!(fill("r.example/{path}", from).unwrap(), "r.example/staging/shop/web");
        assert_eq!(fill("r.example/{name}:stable", "oci:/x/web").unwrap(), "r.example/web:stable");
        for (template, from, words) in [
            ("r.example/prod", from, "else all go to one place"),
            ("r.example/{nam}", from, "there is no {nam}"),
            ("r.example/{name", from, "without its"),
            ("r.example/{name}:{tag}", "r.example/web", "has no tag"),
            ("{name}", from, "names no registry"),
        ] {
            let error = fill(template, from).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
