//! From groups to images by digest: lists are read, tags listed and looked up; what stands twice is done once.
#![expect(clippy::disallowed_methods, reason = "reads the files that an inventory names")]

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use futures_util::{StreamExt as _, stream};

use super::{
    AuditError, Request,
    hosts::{Hosts, Patience, is_down},
    run::{PAUSE, TRIES_MAX},
};
use crate::{
    inventory::{Group, Inventory, pods, references},
    job::{Ports, evidence::chain},
    model::{
        Digest, ImageName,
        limits::{
            Bounded, INVENTORY_IMAGES_MAX, INVENTORY_LIST_SIZE_BYTES_MAX, INVENTORY_PODS_SIZE_BYTES_MAX,
            read_bounded,
        },
        path::printable,
    },
    report::audit::{Notice, NoticeKind},
};

/// Tags asked for at once; the registry edge bounds those of one registry.
const RESOLVED_AT_ONCE_MAX: usize = 64;

/// An image that is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// With its digest; with the tag by which it was found, if there is one.
    pub(super) name: ImageName,
    pub(super) digest: Digest,
    /// Index of its group.
    pub(super) group: usize,
    /// Whether the digest was looked up by the tag.
    pub(super) by_tag: bool,
    /// Other names of it.
    pub(super) also: Vec<String>,
}

impl Found {
    /// The tag under which it is judged; none where it was asked for by its digest, whatever a tag names.
    pub(super) fn tag(&self) -> Option<&str> {
        self.name.selector.tag.as_deref().filter(|_| self.by_tag)
    }

    /// Its name for people: by its tag, else by the beginning of its digest.
    pub(super) fn shown(&self) -> String {
        match &self.name.selector.tag {
            Some(tag) => format!("{}:{tag}", self.name.repository()),
            None => format!("{}@sha256:{}", self.name.repository(), self.digest.short()),
        }
    }
}

/// A name that leads nowhere now.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) name: ImageName,
    pub(super) group: usize,
    /// `gone` or `unreachable`.
    pub(super) outcome: &'static str,
    pub(super) error: String,
}

/// What an inventory comes to today.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) found: Vec<Found>,
    pub(super) lost: Vec<Lost>,
    pub(super) notices: Vec<Notice>,
}

/// Resolves every name of the inventory.
pub(super) async fn resolve(
    ports: &Ports,
    request: &Request,
    hosts: &Hosts,
    patience: Patience,
) -> Result<Resolved, AuditError> {
    let mut resolved = Resolved::default();
    let names = named(ports, (&request.inventory, &request.dir), &mut resolved.notices).await?;
    let looked = look_up_all(ports, hosts, &names, patience).await;
    let mut places: BTreeMap<(String, Digest), usize> = BTreeMap::new();
    for ((name, group), digest) in names.into_iter().zip(looked) {
        let digest = match digest {
            Ok(digest) => digest,
            Err(NoDigest { outcome, error, .. }) => {
                resolved.lost.push(Lost { name, group, outcome, error });
                continue;
            }
        };
        match places.entry((name.repository(), digest)) {
            btree_map::Entry::Vacant(place) => {
                place.insert(resolved.found.len());
                let by_tag = name.selector.digest.is_none();
                resolved.found.push(Found { name: name.at(digest), digest, group, by_tag, also: Vec::new() });
            }
            btree_map::Entry::Occupied(place) => {
                let first = &mut resolved.found[*place.get()];
                first.also.push(name.to_string());
                // Of a tag and a digest that are one image the tag is what people ask for.
                if !first.by_tag && name.selector.digest.is_none() {
                    (first.name, first.by_tag) = (name.at(digest), true);
                }
                if first.group != group {
                    let theirs = &request.inventory.groups[first.group].name;
                    let message =
                        format!("{name} is {}, which group `{theirs}` has; it is done there", first.name);
                    resolved.notices.push(notice(&request.inventory, group, NoticeKind::Duplicate, &message));
                }
            }
        }
    }
    Ok(resolved)
}

/// Why there is no digest behind a tag.
struct NoDigest {
    /// `gone` or `unreachable`.
    outcome: &'static str,
    error: String,
    /// Whether the registry was asked.
    asked: bool,
    /// Whether it did not answer, and may the next time.
    again: bool,
}

/// The digest of each name. What a registry does not answer is asked again, once all others were: as often as a step is
/// tried, and as long as `patience` lasts.
async fn look_up_all(
    ports: &Ports,
    hosts: &Hosts,
    names: &[(ImageName, usize)],
    mut patience: Patience,
) -> Vec<Result<Digest, NoDigest>> {
    let never = || NoDigest { outcome: "unreachable", error: String::new(), asked: false, again: true };
    let digests = names.iter().map(|(name, _)| name.selector.digest.ok_or_else(never));
    let mut looked: Vec<Result<Digest, NoDigest>> = digests.collect();
    let mut tries = vec![0; names.len()];
    loop {
        let open =
            looked.iter().zip(&tries).enumerate().filter(|(_, (known, tries))| {
                known.as_ref().is_err_and(|no| no.again) && **tries < TRIES_MAX
            });
        let each =
            open.map(|(index, _)| async move { (index, look_up(ports, hosts, &names[index].0).await) });
        let each: Vec<_> = each.collect();
        if each.is_empty() {
            return looked;
        }
        let mut round = stream::iter(each).buffer_unordered(RESOLVED_AT_ONCE_MAX);
        let mut again = false;
        while let Some((index, found)) = round.next().await {
            if let Err(no) = &found {
                tries[index] += u32::from(no.asked);
                again |= no.again && tries[index] < TRIES_MAX;
            }
            looked[index] = found;
        }
        drop(round);
        if !again || !patience.wait(PAUSE, &ports.cancel).await {
            return looked;
        }
    }
}

/// The digest behind a tag.
async fn look_up(ports: &Ports, hosts: &Hosts, name: &ImageName) -> Result<Digest, NoDigest> {
    if let Err(resting) = hosts.may_ask(name) {
        return Err(NoDigest { outcome: "unreachable", error: resting.why, asked: false, again: true });
    }
    let found = ports.registries.resolve(name).await;
    let down = found.as_ref().is_err_and(is_down);
    hosts.asked(name, !down);
    found.map(|descriptor| descriptor.digest).map_err(|error| {
        let outcome = if error.is_not_found() { "gone" } else { "unreachable" };
        NoDigest { outcome, error: printable(&chain(&error)), asked: true, again: down }
    })
}

/// Every name, each once, in the order of the groups; files are named from the directory beside the inventory.
pub(in crate::job) async fn named(
    ports: &Ports,
    (inventory, dir): (&Inventory, &Path),
    notices: &mut Vec<Notice>,
) -> Result<Vec<(ImageName, usize)>, AuditError> {
    let mut all: Vec<(ImageName, usize)> = Vec::new();
    let mut seen: BTreeMap<ImageName, usize> = BTreeMap::new();
    let bounded = |names: &[ImageName]| match names.len() {
        0..=INVENTORY_IMAGES_MAX => Ok(()),
        _ => Err(AuditError::TooMany(INVENTORY_IMAGES_MAX)),
    };
    for (index, group) in inventory.groups.iter().enumerate() {
        let mut names = group.images.clone();
        for file in &group.files {
            let listed = list(&dir.join(file))?;
            if listed.is_empty() {
                notices.push(notice(
                    inventory,
                    index,
                    NoticeKind::NoImage,
                    &format!("`{file}` names no image"),
                ));
            }
            names.extend(listed);
            bounded(&names)?;
        }
        for file in &group.pods {
            names.extend(running((inventory, dir), index, file, notices)?);
            bounded(&names)?;
        }
        names.extend(tagged(ports, inventory, index, group, notices).await);
        bounded(&names)?;
        for name in names {
            match seen.entry(name.clone()) {
                btree_map::Entry::Vacant(place) => {
                    place.insert(index);
                    all.push((name, index));
                }
                btree_map::Entry::Occupied(place) => {
                    let theirs = &inventory.groups[*place.get()].name;
                    let message = format!("{name} stands twice; it is done once, in group `{theirs}`");
                    notices.push(notice(inventory, index, NoticeKind::Duplicate, &message));
                }
            }
        }
        if all.len() > INVENTORY_IMAGES_MAX {
            return Err(AuditError::TooMany(INVENTORY_IMAGES_MAX));
        }
    }
    notices.sort();
    notices.dedup();
    Ok(all)
}

/// Which names nobody can tell, for those who must know them all: the first notice that says so.
pub(in crate::job) fn unclear(notices: Vec<Notice>) -> Option<String> {
    notices.into_iter().find(|notice| notice.kind == NoticeKind::Unclear).map(|notice| notice.message)
}

/// The images of a file with one reference a line.
///
/// # Errors
/// [`AuditError::File`], [`AuditError::List`].
fn list(path: &Path) -> Result<Vec<ImageName>, AuditError> {
    let failed = |source| AuditError::File { path: path.to_owned(), source };
    let bytes =
        read_bounded(open(path).map_err(failed)?, INVENTORY_LIST_SIZE_BYTES_MAX, "list").map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))?;
    let listed = references(&text).map_err(|source| AuditError::List { path: path.to_owned(), source })?;
    Ok(listed.into_iter().map(|(_, name)| name).collect())
}

/// Opens a file that is one: a pipe would be waited for.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path)
}

fn running(
    (inventory, dir): (&Inventory, &Path),
    group: usize,
    file: &str,
    notices: &mut Vec<Notice>,
) -> Result<Vec<ImageName>, AuditError> {
    let path = dir.join(file);
    let opened = open(&path).map_err(|source| AuditError::File { path: path.clone(), source })?;
    let bounded = Bounded::new(BufReader::new(opened), INVENTORY_PODS_SIZE_BYTES_MAX, "list of pods");
    let found = pods(bounded).map_err(|source| AuditError::List { path, source })?;
    if found.images.is_empty() {
        notices.push(notice(inventory, group, NoticeKind::NoImage, &format!("`{file}` names no image")));
    }
    for unclear in &found.unclear {
        let message = format!("{unclear} in `{file}` names no image that could be looked up");
        notices.push(notice(inventory, group, NoticeKind::Unclear, &message));
    }
    Ok(found.images.into_iter().collect())
}

/// The tags of the group's repositories that its patterns fit.
async fn tagged(
    ports: &Ports,
    inventory: &Inventory,
    index: usize,
    group: &Group,
    notices: &mut Vec<Notice>,
) -> Vec<ImageName> {
    let ask = |repository: &ImageName| {
        let repository = repository.clone();
        async move { (ports.registries.known(&repository).await, repository) }
    };
    let each: Vec<_> = group.repositories.iter().map(ask).collect();
    let mut asked = stream::iter(each).buffered(RESOLVED_AT_ONCE_MAX);
    let mut names = Vec::new();
    while let Some((known, repository)) = asked.next().await {
        let mut unclear = |why: &str| {
            let message = format!("the tags of {repository} could not be listed: {why}");
            notices.push(notice(inventory, index, NoticeKind::Unclear, &message));
        };
        let known = match &known {
            Ok(known) => known,
            Err(error) => {
                unclear(&chain(error));
                continue;
            }
        };
        let Some(tags) = known.tags() else {
            unclear("the registry has no such repository, or does not tell");
            continue;
        };
        let tags: BTreeSet<&String> = tags.iter().filter(|tag| !is_attachment(tag)).collect();
        for glob in &group.tags {
            if !tags.iter().any(|tag| glob.matches(tag)) {
                let message = format!("no tag of {repository} fits `{glob}`; it has {} tags", tags.len());
                notices.push(notice(inventory, index, NoticeKind::NoTag, &message));
            }
        }
        for tag in tags.into_iter().filter(|tag| group.tags.iter().any(|glob| glob.matches(tag))) {
            let mut name = repository.clone();
            name.selector.tag = Some(tag.clone());
            names.push(name);
        }
    }
    names
}

/// Whether a tag holds what refers to an image, and no image: `sha256-HEX`, perhaps with an ending.
fn is_attachment(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let hex = rest.split('.').next().unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn notice(inventory: &Inventory, group: usize, kind: NoticeKind, message: &str) -> Notice {
    let message = printable(&message.chars().take(600).collect::<String>());
    Notice { kind, group: inventory.groups[group].name.clone(), message }
}
