//! Tags that point at the commit, pinned by their ids.

use std::collections::BTreeMap;

use git2::{Oid, Reference};

use super::{
    Checkout, Options, SourceError, git,
    spec::{Remote, Spec},
};
use crate::model::limits::TAGS_MAX;

/// Most tags of tags.
const CHAIN_MAX: usize = 8;

/// A tag of the commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// Without `refs/tags/`.
    pub name: String,
    /// 40 hex digits: the commit itself, or an annotated tag of it.
    pub id: String,
}

impl Checkout {
    /// Takes along the tags that point at the commit now; or exactly those that did (`wanted`, of a statement).
    ///
    /// For [`Checkout::export_git`] and [`Checkout::pack`]. Uncommitted changes have no tags.
    ///
    /// # Errors
    /// [`SourceError::Tag`] if one of `wanted` is not there, or is another one by now; those of fetching.
    pub fn take_tags(&mut self, wanted: Option<&[Tag]>, options: &Options<'_>) -> Result<(), SourceError> {
        let found = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => self.current_tags(options)?,
        };
        if found.len() > TAGS_MAX {
            return Err(SourceError::TooLarge { what: "more tags", max: TAGS_MAX as u64 });
        }
        let mut tags = BTreeMap::new();
        for Tag { name, id } in found {
            let refuse = |reason| SourceError::Tag { name: crate::model::path::printable(&name), reason };
            if !Reference::is_valid_name(&format!("refs/tags/{name}")) {
                return Err(refuse("no tag has such a name"));
            }
            let id =
                Oid::from_str(&id).ok().filter(|_| id.len() == 40).ok_or_else(|| refuse("its id is none"))?;
            tags.insert(name, id);
        }
        self.fetch_missing(&tags, options)?;
        let strayed = tags.iter().find(|(_, id)| self.tag_objects(**id).is_none());
        if let Some((name, _)) = strayed {
            let reason = "it is not there as it was, or does not point at the commit";
            return Err(SourceError::Tag { name: name.clone(), reason });
        }
        self.tags = tags;
        Ok(())
    }

    /// The tags that were taken along, sorted by name.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        self.tags.iter().map(|(name, id)| Tag { name: name.clone(), id: id.to_string() }).collect()
    }

    /// The annotated tags between `id` and the commit; nothing if it does not lead there.
    pub(super) fn tag_objects(&self, id: Oid) -> Option<Vec<Oid>> {
        let (mut objects, mut id) = (Vec::new(), id);
        while id != self.commit {
            if objects.len() == CHAIN_MAX {
                return None;
            }
            objects.push(id);
            id = self.repository.find_tag(id).ok()?.target_id();
        }
        Some(objects)
    }

    fn current_tags(&self, options: &Options<'_>) -> Result<Vec<Tag>, SourceError> {
        if self.dirty() {
            return Ok(Vec::new());
        }
        if self.parent.git_dir.is_none() {
            let Some(remote) = self.remote()? else { return Ok(Vec::new()) };
            let listed = git::tags(&remote, self.commit, options)?;
            return Ok(listed.into_iter().map(|(name, id)| Tag { name, id }).collect());
        }
        let mut tags = Vec::new();
        let listed =
            self.repository.references_glob("refs/tags/*").map_err(SourceError::git("list the tags"))?;
        for tag in listed {
            let tag = tag.map_err(SourceError::git("list the tags"))?;
            if let (Ok(name), Some(id)) = (tag.shorthand(), tag.target())
                && self.tag_objects(id).is_some()
            {
                tags.push(Tag { name: name.to_owned(), id: id.to_string() });
            }
        }
        Ok(tags)
    }

    fn fetch_missing(&self, tags: &BTreeMap<String, Oid>, options: &Options<'_>) -> Result<(), SourceError> {
        let odb = self.repository.odb().map_err(SourceError::git("open the objects"))?;
        let missing: Vec<&str> =
            tags.iter().filter(|(_, id)| !odb.exists(**id)).map(|(name, _)| name.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(remote) = self.remote()? {
            self.see_objects_of(&git::fetch_tags(&remote, &missing, options)?)?;
            odb.refresh().map_err(SourceError::git("open the objects"))?;
        }
        Ok(())
    }

    /// Where the source comes from, if that is a URL.
    fn remote(&self) -> Result<Option<Remote>, SourceError> {
        match self.parent.base.as_deref().map(Spec::parse).transpose()? {
            Some(Spec::Remote(remote)) => Ok(Some(remote)),
            _ => Ok(None),
        }
    }
}
