//! Text → [`Inventory`].

use std::collections::BTreeSet;

use toml::Spanned;

use super::{
    Glob, Group, Inventory, InventoryError, Rebuild, Span,
    list::image,
    tables::{Addressed, File, GroupTable, Names, Text, Texts},
};
use crate::model::{
    Digest, ImageName, Variations, Verdict,
    limits::INVENTORY_SIZE_BYTES_MAX,
    nearest::distance,
    syntax::{Syntax, line_of, shown},
};

/// How long a judgement holds, if nobody says.
const EVERY: Span = Span::seconds(7 * 24 * 3600);
/// How long a step may take, if nobody says.
const TIMEOUT: Span = Span::seconds(2 * 3600);
/// What is rebuilt of an index, if nobody says.
const PLATFORM: &str = "linux/amd64";
/// Priorities there are.
const PRIORITIES: std::ops::RangeInclusive<i64> = -100..=100;

impl Inventory {
    /// Reads `inventory.toml`.
    ///
    /// # Errors
    /// [`InventoryError`]: not TOML, a key nobody knows, a value that means nothing, a group of nothing, a `[[notify]]` of
    /// a group or an owner that there is not.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let size_bytes = text.len() as u64;
        if size_bytes > INVENTORY_SIZE_BYTES_MAX {
            return Err(InventoryError::Size { size_bytes, max_bytes: INVENTORY_SIZE_BYTES_MAX });
        }
        let File { defaults, group, notify } =
            toml::from_str(text).map_err(|error| Syntax::of(text, &error))?;
        if group.is_empty() {
            return Err(InventoryError::NoGroup);
        }
        let mut reader = Reader { text, names: BTreeSet::new() };
        let groups = group.into_iter().map(|table| reader.group(table.into_inner().over(&defaults)));
        let groups: Vec<Group> = groups.collect::<Result<_, _>>()?;
        let addressed: Addressed = toml::from_str(text).map_err(|error| Syntax::of(text, &error))?;
        addressed.notify.iter().try_for_each(|names| reader.addressed(names, &groups))?;
        Ok(Self { digest: Digest::of(text.as_bytes()), groups, notify })
    }
}

/// The text, for lines of errors, and the groups so far.
struct Reader<'a> {
    text: &'a str,
    names: BTreeSet<String>,
}

impl Reader<'_> {
    fn group(&mut self, table: GroupTable) -> Result<Group, InventoryError> {
        let name = self.name(&table.name)?;
        let repositories = texts(table.repository);
        let group = Group {
            images: table
                .images
                .iter()
                .map(|text| self.image("images", text.get_ref(), text.span()))
                .collect::<Result<_, _>>()?,
            repositories: repositories
                .iter()
                .map(|(text, span)| self.repository(text, span.clone()))
                .collect::<Result<_, _>>()?,
            tags: texts(table.tags)
                .iter()
                .map(|(text, span)| self.tag(text, span.clone()))
                .collect::<Result<_, _>>()?,
            files: table.file.map(Texts::all).unwrap_or_default(),
            pods: table.pods.map(Texts::all).unwrap_or_default(),
            owner: table.owner.filter(|owner| !owner.trim().is_empty()),
            trust: table.trust.unwrap_or_default(),
            policy: table.policy,
            verify: table.verify.unwrap_or(true),
            rebuild: table.rebuild.map_or(Ok(Rebuild::Replay), |word| self.rebuild(&word))?,
            vary: table.vary.map_or(Ok(Variations::default()), |words| self.vary(&words))?,
            buildroot: table.buildroot.map(Spanned::into_inner),
            platform: table.platform.map_or(Ok(PLATFORM.to_owned()), |word| self.platform(&word))?,
            every: table.every.map_or(Ok(EVERY), |span| self.span("every", &span))?,
            priority: table.priority.map_or(Ok(0), |number| self.priority(&number))?,
            timeout: table.timeout.map_or(Ok(TIMEOUT), |span| self.span("timeout", &span))?,
            accept: table
                .accept
                .unwrap_or_default()
                .iter()
                .map(|word| self.verdict(word))
                .collect::<Result<_, _>>()?,
            name,
        };
        whole(group)
    }

    /// Who is told of the images of a group or an owner that there is not would never be told.
    fn addressed(&self, names: &Names, groups: &[Group]) -> Result<(), InventoryError> {
        let known: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let owners: BTreeSet<&str> = groups.iter().filter_map(|group| group.owner.as_deref()).collect();
        let asked = [
            ("groups", &names.groups, known, "no group is called so"),
            ("owners", &names.owners, owners, "no group has this owner"),
        ];
        for (key, texts, known, reason) in asked {
            if let Some(text) = texts.iter().find(|text| !known.contains(text.get_ref().as_str())) {
                let nearest = known.iter().min_by_key(|name| distance(name, text.get_ref()));
                let near =
                    nearest.map(|name| format!("; did you mean `{}`?", shown(name))).unwrap_or_default();
                return Err(self.bad(key, text, format!("{reason}{near}")));
            }
        }
        Ok(())
    }

    fn refuse(
        &self,
        key: &'static str,
        (value, span): (&str, std::ops::Range<usize>),
        reason: impl Into<String>,
    ) -> InventoryError {
        let line = line_of(self.text, span.start);
        InventoryError::Value { line, key, value: shown(value), reason: reason.into() }
    }

    fn bad(&self, key: &'static str, value: &Text, reason: impl Into<String>) -> InventoryError {
        self.refuse(key, (value.get_ref(), value.span()), reason)
    }

    fn name(&mut self, text: &Text) -> Result<String, InventoryError> {
        let name = text.get_ref();
        let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ');
        if name.trim() != name || name.is_empty() || name.chars().count() > 100 || !name.chars().all(known) {
            return Err(self.bad(
                "name",
                text,
                "write up to 100 letters, digits, `-`, `_`, `.`, `/` or spaces",
            ));
        }
        if !self.names.insert(name.clone()) {
            return Err(self.bad("name", text, "another group has this name already"));
        }
        Ok(name.clone())
    }

    fn image(
        &self,
        key: &'static str,
        text: &str,
        span: std::ops::Range<usize>,
    ) -> Result<ImageName, InventoryError> {
        image(text).map_err(|reason| self.refuse(key, (text, span), reason))
    }

    fn repository(&self, text: &str, span: std::ops::Range<usize>) -> Result<ImageName, InventoryError> {
        let name = self.image("repository", text, span.clone())?;
        if name.selector.tag.is_some() || name.selector.digest.is_some() {
            let reason = "a repository has no tag and no digest; images with one stand in `images`";
            return Err(self.refuse("repository", (text, span), reason));
        }
        Ok(name)
    }

    fn tag(&self, text: &str, span: std::ops::Range<usize>) -> Result<Glob, InventoryError> {
        Glob::parse(text).map_err(|reason| self.refuse("tags", (text, span), reason))
    }

    fn rebuild(&self, word: &Text) -> Result<Rebuild, InventoryError> {
        let found = Rebuild::NAMES.iter().find(|(name, _)| name == word.get_ref());
        found
            .map(|(_, rebuild)| *rebuild)
            .ok_or_else(|| self.bad("rebuild", word, "write `none`, `replay`, `live` or `both`"))
    }

    fn vary(&self, words: &[Text]) -> Result<Variations, InventoryError> {
        let Some(first) = words.first() else { return Ok(Variations::default()) };
        let all = words.iter().map(|word| word.get_ref().as_str()).collect::<Vec<_>>().join(",");
        all.parse().map_err(|error: crate::model::vary::VaryError| self.bad("vary", first, error.to_string()))
    }

    fn platform(&self, word: &Text) -> Result<String, InventoryError> {
        let parts: Vec<_> = word.get_ref().split('/').collect();
        let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(plain) {
            return Err(self.bad(
                "platform",
                word,
                "write `linux/amd64`, or another OS/ARCHITECTURE[/VARIANT]",
            ));
        }
        Ok(word.get_ref().clone())
    }

    fn span(&self, key: &'static str, value: &Text) -> Result<Span, InventoryError> {
        value.get_ref().parse().map_err(|error: super::SpanError| self.bad(key, value, error.to_string()))
    }

    fn priority(&self, number: &Spanned<i64>) -> Result<i64, InventoryError> {
        let value = *number.get_ref();
        if PRIORITIES.contains(&value) {
            return Ok(value);
        }
        let reason = format!("write {} to {}", PRIORITIES.start(), PRIORITIES.end());
        Err(self.refuse("priority", (&value.to_string(), number.span()), reason))
    }

    fn verdict(&self, word: &Text) -> Result<Verdict, InventoryError> {
        let found = Verdict::ALL.into_iter().find(|verdict| verdict.name() == word.get_ref());
        found.ok_or_else(|| {
            let names = Verdict::ALL.map(Verdict::name).join(", ");
            self.bad("accept", word, format!("write some of {names}"))
        })
    }
}

/// What a group must have beside keys that mean something.
fn whole(group: Group) -> Result<Group, InventoryError> {
    let tags = |has, lacks| InventoryError::Tags { group: group.name.clone(), has, lacks };
    if group.tags.is_empty() && !group.repositories.is_empty() {
        return Err(tags("repository", "tags"));
    }
    if group.repositories.is_empty() && !group.tags.is_empty() {
        return Err(tags("tags", "repository"));
    }
    let none = group.images.is_empty() && group.repositories.is_empty();
    if none && group.files.is_empty() && group.pods.is_empty() {
        return Err(InventoryError::NoImage(group.name));
    }
    if !group.verify && group.rebuild == Rebuild::No {
        return Err(InventoryError::Nothing(group.name));
    }
    if !group.vary.is_empty() && !group.rebuild.replays() {
        return Err(InventoryError::Vary(group.name));
    }
    Ok(group)
}

/// Each text with where its list stands.
fn texts(value: Option<Spanned<Texts>>) -> Vec<(String, std::ops::Range<usize>)> {
    let Some(value) = value else { return Vec::new() };
    let span = value.span();
    value.into_inner().all().into_iter().map(|text| (text, span.clone())).collect()
}
