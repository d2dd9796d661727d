//! in-toto layouts: whether the links of a supply chain are what its owner asked for (in-toto specification v1.0 §5;
//! FORMATS.md §10).
//!
//! A function of bytes, keys and a time. What the layout asks to be run is run by the caller ([`Judged::inspections`]), and judged
//! by [`inspected`]. It answers as `in-toto-verify` 3.1 does, but for what docs/layouts.md names, where it is stricter.

mod code;
mod fnmatch;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use code::LayoutCode;

use crate::{
    attest::{Body, Functionary, Inspection, Layout, Link, Metadata, Rule, Step},
    model::{Digest, chain, limits::LAYOUT_DEPTH_MAX, path::printable, rfc3339},
};

/// Files of links by their path below the directory of links; those of a sublayout lie in `STEP.KEYID8/`.
pub type LinkFiles = BTreeMap<String, Vec<u8>>;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutFinding {
    /// What kind.
    pub code: LayoutCode,
    /// Which step or inspection; empty: the layout as a whole.
    pub item: String,
    /// What exactly; printable.
    pub message: String,
}

/// What came of judging a layout.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// All that was found, in the order of steps.
    pub findings: Vec<LayoutFinding>,
    /// A link for each step whose links are good.
    pub links: BTreeMap<String, Link>,
    /// What the owner wants run; empty if the layout is not believed.
    pub inspections: Vec<Inspection>,
    /// Every functionary whose link counted: step and key id.
    pub functionaries: Vec<(String, String)>,
    /// The last step's name.
    pub last: Option<String>,
}

impl Judged {
    /// Whether anything refuses the supply chain.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.code.refuses())
    }

    fn found(&mut self, code: LayoutCode, item: &str, message: impl AsRef<str>) {
        self.findings.push(finding(code, item, message.as_ref()));
    }

    /// Refuses unless `digest` is among the products of the last step, by whatever name.
    #[must_use]
    pub fn product(&self, digest: &Digest) -> Option<LayoutFinding> {
        // A layout without steps makes nothing.
        let Some(last) = self.last.as_ref() else {
            if self.refused() {
                return None; // Why is said.
            }
            let message = format!("{digest} is no product: the layout has no step");
            return Some(finding(LayoutCode::ImageNotProduct, "", &message));
        };
        let hex = digest.hex();
        let products = self.links.get(last).map(|link| &link.products);
        let named = |digests: &BTreeMap<String, String>| digests.get("sha256") == Some(&hex);
        let there = products.is_some_and(|products| products.values().any(named));
        let message = || format!("{digest} is no product of `{last}`");
        (!there).then(|| finding(LayoutCode::ImageNotProduct, "", &message()))
    }
}

impl LayoutFinding {
    /// A finding about `item`; both it and `message` may hold a stranger's words.
    #[must_use]
    pub fn new(code: LayoutCode, item: &str, message: &str) -> Self {
        let message = printable(&message.chars().take(2000).collect::<String>());
        Self { code, item: shown(item), message }
    }
}

fn finding(code: LayoutCode, item: &str, message: &str) -> LayoutFinding {
    LayoutFinding::new(code, item, message)
}

fn shown(text: &str) -> String {
    printable(&text.chars().take(200).collect::<String>())
}

/// Judges the layout in `bytes` as of `now_s`: signed by each of `owners`, not expired, with enough good links among `files`, and
/// artifacts that obey its rules. Inspections are left to the caller.
#[must_use]
pub fn judge(bytes: &[u8], owners: &[Functionary], files: &LinkFiles, now_s: i64) -> Judged {
    match Metadata::parse(bytes) {
        Ok(metadata) => believed(&metadata, owners, &Files { files, below: String::new() }, now_s, 1),
        Err(error) => {
            let mut judged = Judged::default();
            judged.found(LayoutCode::LayoutUnreadable, "", chain(&error));
            judged
        }
    }
}

/// Judges what the inspections of a layout recorded, by their names; `links` are those of the steps.
#[must_use]
pub fn inspected(
    inspections: &[Inspection],
    recorded: &BTreeMap<String, Link>,
    links: &BTreeMap<String, Link>,
) -> Vec<LayoutFinding> {
    let mut all = links.clone();
    all.extend(recorded.iter().map(|(name, link)| (name.clone(), link.clone())));
    let mut findings = Vec::new();
    for inspection in inspections {
        if let Some(link) = recorded.get(&inspection.name) {
            let lists = [(&inspection.materials, false), (&inspection.products, true)];
            findings.extend(ruled(&inspection.name, link, lists, &all));
        }
    }
    findings
}

/// The files of one layout.
struct Files<'a> {
    files: &'a LinkFiles,
    below: String,
}

impl<'a> Files<'a> {
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.files.get(&format!("{}{name}", self.below)).map(Vec::as_slice)
    }

    /// Names of files that would be links of `step`, whoever's.
    fn of_step(&self, step: &str) -> impl Iterator<Item = &'a str> {
        let start = format!("{}{step}.", self.below);
        let below = self.below.len();
        let from = self.files.range(start.clone()..).take_while(move |(path, _)| path.starts_with(&start));
        let name = move |(path, _): (&'a String, &'a Vec<u8>)| &path[below..];
        let step = step.len();
        from.map(name)
            .filter(move |name| name.len() == step + 14 && name.ends_with(".link") && !name.contains('/'))
    }
}

fn believed(
    metadata: &Metadata,
    owners: &[Functionary],
    files: &Files<'_>,
    now_s: i64,
    depth: usize,
) -> Judged {
    let mut judged = Judged::default();
    let Body::Layout(layout) = &metadata.body else {
        judged.found(LayoutCode::LayoutUnreadable, "", "it is a link, not a layout");
        return judged;
    };
    for owner in owners.iter().filter(|owner| !metadata.signed_by(owner)) {
        judged.found(LayoutCode::LayoutSignature, "", format!("no signature by {}", owner.id()));
    }
    if owners.is_empty() {
        judged.found(LayoutCode::LayoutSignature, "", "no key was given to check its signature with");
    }
    if judged.refused() {
        return judged; // A stranger's layout says nothing about anything.
    }
    if layout.expires_s <= now_s {
        judged.found(LayoutCode::LayoutExpired, "", format!("it expired at {}", rfc3339(layout.expires_s)));
    }
    parameters(layout, &mut judged);
    for step in &layout.steps {
        links_of(step, layout, files, (now_s, depth), &mut judged);
    }
    for step in &layout.steps {
        if let Some(link) = judged.links.get(&step.name) {
            let lists = [(&step.materials, false), (&step.products, true)];
            let found = ruled(&step.name, link, lists, &judged.links);
            judged.findings.extend(found);
        }
    }
    judged.last = layout.steps.last().map(|step| step.name.clone());
    judged.inspections.clone_from(&layout.inspections);
    judged
}

/// Rules with parameters, which the reference's library can replace and its command line takes literally.
fn parameters(layout: &Layout, judged: &mut Judged) {
    let steps = layout.steps.iter().map(|step| (&step.name, [&step.materials, &step.products]));
    let inspections = layout.inspections.iter().map(|item| (&item.name, [&item.materials, &item.products]));
    for (name, lists) in steps.chain(inspections) {
        for rule in lists.into_iter().flatten().filter(|rule| rule.texts().any(parameter)) {
            judged.found(LayoutCode::LayoutParameter, name, format!("rule `{rule}` holds a parameter"));
        }
    }
}

fn parameter(text: &str) -> bool {
    let after = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    after.into_iter().any(|(inside, _)| name(inside))
}

fn ruled<'a>(
    name: &str,
    link: &Link,
    lists: [(&'a Vec<Rule>, bool); 2],
    links: &BTreeMap<String, Link>,
) -> Vec<LayoutFinding> {
    let refused = |(rules, products): (&'a Vec<Rule>, bool)| {
        let why = rules::refused(rules, link, products, links)?;
        let which = if products { "products" } else { "materials" };
        Some(finding(LayoutCode::ArtifactRule, name, &format!("{which}: {why}")))
    };
    lists.into_iter().filter_map(refused).collect()
}

/// Looks for the links of `step`, and keeps one if enough people signed the same.
fn links_of(step: &Step, layout: &Layout, files: &Files<'_>, at: (i64, usize), judged: &mut Judged) {
    let (mut good, mut there): (Vec<(&Functionary, Link)>, usize) = (Vec::new(), 0);
    let mut looked: BTreeSet<String> = BTreeSet::new();
    for id in &step.key_ids {
        let name = Link::file_name(&step.name, id);
        let Some(bytes) = files.get(&name) else { continue };
        let first = looked.insert(name.clone());
        there += 1;
        let Some(functionary) = layout.keys.get(id) else {
            if first {
                judged.found(
                    LayoutCode::LinkFunctionary,
                    &step.name,
                    format!("{name}: the layout has no such key"),
                );
            }
            continue;
        };
        match Metadata::parse(bytes) {
            Err(error) if first => {
                judged.found(LayoutCode::LinkUnreadable, &step.name, format!("{name}: {}", chain(&error)));
            }
            Err(_) => {}
            Ok(metadata) if !metadata.signed_by(functionary) => {
                unsigned(&metadata, functionary, (&step.name, &name), judged);
            }
            Ok(metadata) => {
                if let Some(link) = said(metadata, functionary, step, (&name, files), at, judged) {
                    good.push((functionary, link));
                }
            }
        }
    }
    for name in files.of_step(&step.name).filter(|name| !looked.contains(*name)) {
        let message = format!("{name} is by nobody who may do this step");
        judged.found(LayoutCode::LinkFunctionary, &step.name, message);
    }
    enough(step, good, there, judged);
}

/// Why a link that lies where `functionary`'s should does not count.
fn unsigned(metadata: &Metadata, functionary: &Functionary, (step, name): (&str, &str), judged: &mut Judged) {
    if metadata.key_ids().any(|id| id == functionary.id()) {
        let message = format!("the signature of {name} is not by the key it names");
        judged.found(LayoutCode::LinkSignature, step, message);
    } else {
        let message = format!("{name} is not signed by {}", functionary.id());
        judged.found(LayoutCode::LinkFunctionary, step, message);
    }
}

/// What a signed file says of its step; a layout in place of a link is judged, and stands for what it sums up.
fn said(
    metadata: Metadata,
    functionary: &Functionary,
    step: &Step,
    (name, files): (&str, &Files<'_>),
    (now_s, depth): (i64, usize),
    judged: &mut Judged,
) -> Option<Link> {
    if let Body::Link(link) = metadata.body {
        if link.name != step.name {
            let message = format!("{name} is a link of `{}`", shown(&link.name));
            judged.found(LayoutCode::LinkName, &step.name, message);
            return None;
        }
        return Some(link);
    }
    if depth >= LAYOUT_DEPTH_MAX {
        judged.found(LayoutCode::SublayoutDepth, &step.name, format!("layouts are {depth} deep"));
        return None;
    }
    let below = format!("{}{}/", files.below, name.trim_end_matches(".link"));
    let files = Files { files: files.files, below };
    let sub = believed(&metadata, std::slice::from_ref(functionary), &files, now_s, depth + 1);
    let refused = sub.refused() || !sub.inspections.is_empty();
    for inspection in &sub.inspections {
        let message = "an inspection of a layout in place of a link is never run";
        judged.found(LayoutCode::InspectionNotRun, &format!("{}/{}", step.name, inspection.name), message);
    }
    for mut below in sub.findings {
        let slash = if below.item.is_empty() { "" } else { "/" };
        below.item = format!("{}{slash}{}", shown(&step.name), below.item);
        judged.findings.push(below);
    }
    judged
        .functionaries
        .extend(sub.functionaries.into_iter().map(|(below, id)| (format!("{}/{below}", step.name), id)));
    let Body::Layout(layout) = &metadata.body else { return None };
    let (first, last) = (layout.steps.first()?, layout.steps.last()?);
    let (first, last) = (sub.links.get(&first.name)?, sub.links.get(&last.name)?);
    (!refused).then(|| Link {
        name: step.name.clone(),
        command: last.command.clone(),
        materials: first.materials.clone(),
        products: last.products.clone(),
        byproducts: last.byproducts.clone(),
        environment: serde_json::Map::default(),
    })
}

/// Whether enough different people signed good links of `step`, and the same.
fn enough(step: &Step, good: Vec<(&Functionary, Link)>, there: usize, judged: &mut Judged) {
    let people: BTreeSet<_> = good.iter().map(|(functionary, _)| functionary.key()).collect();
    let (people, asked) = (people.len(), step.threshold);
    if there < asked {
        let message = format!("{there} of {asked} links of its functionaries are there");
        judged.found(LayoutCode::LinkMissing, &step.name, message);
        return;
    }
    if people < asked {
        let message = format!("{people} of {asked} functionaries have signed a good link");
        judged.found(LayoutCode::LinkThreshold, &step.name, message);
        return;
    }
    let same = |(_, link): &(&Functionary, Link)| {
        link.materials == good[0].1.materials && link.products == good[0].1.products
    };
    if !good.iter().all(same) {
        if asked > 1 {
            judged.found(LayoutCode::LinksDiffer, &step.name, "its links differ in what went in or came out");
            return;
        }
        let message = format!("its links differ; that of {} was taken", good[0].0.id());
        judged.found(LayoutCode::LinksDifferOne, &step.name, message);
    }
    for (functionary, link) in &good {
        judged.functionaries.push((step.name.clone(), functionary.id().to_owned()));
        if !step.expected_command.is_empty() && link.command != step.expected_command {
            let (ran, expected) = (shown(&link.command.join(" ")), shown(&step.expected_command.join(" ")));
            let message = format!("`{ran}` was run, not `{expected}`");
            judged.found(LayoutCode::StepCommand, &step.name, message);
        }
    }
    if let Some((_, link)) = good.into_iter().next() {
        judged.links.insert(step.name.clone(), link);
    }
}
