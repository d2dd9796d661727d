//! in-toto layouts: which steps there are to be, by whom, and what may pass between them (in-toto specification v1.0 §4.3;
//! FORMATS.md §10). They are read, never written.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use super::{
    functionary::Functionary,
    link::{exactly, strings},
    metadata::MetadataError,
    strict::{self, shown},
};
use crate::model::{
    limits::{LAYOUT_ITEMS_MAX, LAYOUT_KEYS_MAX, LAYOUT_RULES_MAX},
    time::parse_rfc3339,
};

const FIELDS: [&str; 6] = ["_type", "expires", "inspect", "keys", "readme", "steps"];
const STEP_FIELDS: [&str; 7] =
    ["_type", "expected_command", "expected_materials", "expected_products", "name", "pubkeys", "threshold"];
const INSPECTION_FIELDS: [&str; 5] = ["_type", "expected_materials", "expected_products", "name", "run"];

/// What the owner of a product asks of its supply chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// From then on it is void; seconds since 1970.
    pub expires_s: i64,
    /// Who may sign links, by key id.
    pub keys: BTreeMap<String, Functionary>,
    /// In order.
    pub steps: Vec<Step>,
    /// In order.
    pub inspections: Vec<Inspection>,
}

/// A step that somebody is to do, and to sign a link of.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Links are named after it.
    pub name: String,
    /// Ids of the keys that may sign its links.
    pub key_ids: Vec<String>,
    /// How many different ones must have.
    pub threshold: usize,
    /// Another command is told, not refused (specification §4.3.1).
    pub expected_command: Vec<String>,
    /// Rules about what went in.
    pub materials: Vec<Rule>,
    /// Rules about what came out.
    pub products: Vec<Rule>,
}

/// A command that the verifier is to run on the product.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// No step has the same.
    pub name: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// Rules about what was there before.
    pub materials: Vec<Rule>,
    /// Rules about what was there afterwards.
    pub products: Vec<Rule>,
}

/// A rule about artifacts: names those of its list that its pattern matches, and consumes or refuses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Consumes products that are no materials.
    Create(String),
    /// Consumes materials that are no products.
    Delete(String),
    /// Consumes what is both, with another digest.
    Modify(String),
    /// Consumes whatever matches.
    Allow(String),
    /// Refuses whatever matches.
    Disallow(String),
    /// Refuses if this file, by its very name, is not there.
    Require(String),
    /// Consumes what another step has with the same digest.
    Match(Match),
}

/// `MATCH pattern [IN prefix] WITH MATERIALS|PRODUCTS [IN prefix] FROM step`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Of the names below the prefix.
    pub pattern: String,
    /// Of names here; may be empty.
    pub prefix: String,
    /// Whether it looks at that step's products.
    pub products: bool,
    /// Of names there; may be empty.
    pub there: String,
    /// Which step.
    pub from: String,
}

impl Layout {
    pub(super) fn from_value(value: &Value) -> Result<Self, MetadataError> {
        let mut map = exactly(value, &FIELDS, "layout")?;
        let expires = strict::text(&mut map, "expires").ok_or(MetadataError::Field("`expires`"))?;
        if !map.get("readme").is_some_and(Value::is_string) {
            return Err(MetadataError::Field("`readme`"));
        }
        let keys = strict::object(&mut map, "keys").ok_or(MetadataError::Field("`keys` object"))?;
        if keys.len() > LAYOUT_KEYS_MAX {
            return Err(MetadataError::Many { what: "keys", max: LAYOUT_KEYS_MAX });
        }
        let key = |(id, value): (String, Value)| match Functionary::from_value(&id, value) {
            Ok(functionary) => Ok((id, functionary)),
            Err(source) => Err(MetadataError::Key { id: shown(&id), source }),
        };
        let items = |map: &mut Map<String, Value>, field| {
            strict::array(map, field).filter(|items| items.len() <= LAYOUT_ITEMS_MAX)
        };
        let steps = items(&mut map, "steps").ok_or(MetadataError::Field("`steps` list"))?;
        let inspections = items(&mut map, "inspect").ok_or(MetadataError::Field("`inspect` list"))?;
        let layout = Self {
            expires_s: time(&expires).ok_or_else(|| MetadataError::Expires(shown(&expires)))?,
            keys: keys.into_iter().map(key).collect::<Result<_, _>>()?,
            steps: steps.iter().map(step).collect::<Result<_, _>>()?,
            inspections: inspections.iter().map(inspection).collect::<Result<_, _>>()?,
        };
        layout.named_once()?;
        Ok(layout)
    }

    fn named_once(&self) -> Result<(), MetadataError> {
        let steps = self.steps.iter().map(|step| &step.name);
        let mut names: Vec<_> = steps.chain(self.inspections.iter().map(|item| &item.name)).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(MetadataError::NamedTwice(shown(pair[0]))),
            None => Ok(()),
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ` and nothing else.
fn time(text: &str) -> Option<i64> {
    let shape = "dddd-dd-ddTdd:dd:ddZ";
    let alike = |(byte, shape): (u8, u8)| if shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    let shaped = text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(alike);
    parse_rfc3339(text).filter(|_| shaped)
}

fn name(map: &mut Map<String, Value>) -> Result<String, MetadataError> {
    let name = strict::text(map, "name").ok_or(MetadataError::Field("`name` of a step"))?;
    let bad =
        name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." || name.len() > 200;
    if bad { Err(MetadataError::StepName(shown(&name))) } else { Ok(name) }
}

fn step(value: &Value) -> Result<Step, MetadataError> {
    let mut map = exactly(value, &STEP_FIELDS, "step")?;
    if strict::text(&mut map, "_type").is_none_or(|kind| kind != "step") {
        return Err(MetadataError::Field("`_type` of a step"));
    }
    let name = name(&mut map)?;
    let threshold =
        map.get("threshold").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let threshold = threshold.filter(|count| *count > 0);
    Ok(Step {
        threshold: threshold.ok_or_else(|| MetadataError::Threshold(shown(&name)))?,
        key_ids: strings(map.remove("pubkeys")).ok_or(MetadataError::Field("`pubkeys` list of strings"))?,
        expected_command: strings(map.remove("expected_command"))
            .ok_or(MetadataError::Field("`expected_command` list of strings"))?,
        materials: rules(&name, map.remove("expected_materials"))?,
        products: rules(&name, map.remove("expected_products"))?,
        name,
    })
}

fn inspection(value: &Value) -> Result<Inspection, MetadataError> {
    let mut map = exactly(value, &INSPECTION_FIELDS, "inspection")?;
    if strict::text(&mut map, "_type").is_none_or(|kind| kind != "inspection") {
        return Err(MetadataError::Field("`_type` of an inspection"));
    }
    let name = name(&mut map)?;
    Ok(Inspection {
        run: strings(map.remove("run")).ok_or(MetadataError::Field("`run` list of strings"))?,
        materials: rules(&name, map.remove("expected_materials"))?,
        products: rules(&name, map.remove("expected_products"))?,
        name,
    })
}

fn rules(name: &str, value: Option<Value>) -> Result<Vec<Rule>, MetadataError> {
    let Some(Value::Array(items)) = value else {
        return Err(MetadataError::Field("list of rules for materials and products"));
    };
    if items.len() > LAYOUT_RULES_MAX {
        return Err(MetadataError::Many { what: "rules for one step", max: LAYOUT_RULES_MAX });
    }
    let read = |item: Value| {
        let written = shown(&item.to_string());
        let words = strings(Some(item));
        let rule = words.as_deref().and_then(Rule::from_words);
        rule.ok_or_else(|| MetadataError::Rule { name: shown(name), rule: written })
    };
    items.into_iter().map(read).collect()
}

impl Rule {
    /// Reads a rule; its key words may be in either case.
    fn from_words(words: &[String]) -> Option<Self> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is = |index: usize, word: &str| words.get(index).is_some_and(|text| text.to_lowercase() == word);
        if is(0, "match") {
            return matching(&words).map(Self::Match);
        }
        let [_, pattern] = words.as_slice() else { return None };
        let pattern = (*pattern).to_owned();
        match words[0].to_lowercase().as_str() {
            "create" => Some(Self::Create(pattern)),
            "delete" => Some(Self::Delete(pattern)),
            "modify" => Some(Self::Modify(pattern)),
            "allow" => Some(Self::Allow(pattern)),
            "disallow" => Some(Self::Disallow(pattern)),
            "require" => Some(Self::Require(pattern)),
            _ => None,
        }
    }

    /// Every word of it that the owner wrote.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::Match(rule) => vec![&rule.pattern, &rule.prefix, &rule.there, &rule.from],
            Self::Create(pattern)
            | Self::Delete(pattern)
            | Self::Modify(pattern)
            | Self::Allow(pattern)
            | Self::Disallow(pattern)
            | Self::Require(pattern) => vec![pattern],
        };
        texts.into_iter().map(String::as_str)
    }
}

fn matching(words: &[&str]) -> Option<Match> {
    let is = |index: usize, word: &str| words.get(index).is_some_and(|text| text.to_lowercase() == word);
    let (prefix, with) = if is(2, "in") { (*words.get(3)?, 4) } else { ("", 2) };
    let kind = words.get(with + 1)?.to_lowercase();
    let (there, from) = if is(with + 2, "in") { (*words.get(with + 3)?, with + 4) } else { ("", with + 2) };
    let whole = is(with, "with") && is(from, "from") && words.len() == from + 2;
    let products = match kind.as_str() {
        "products" => true,
        "materials" => false,
        _ => return None,
    };
    whole.then(|| Match {
        pattern: words[1].to_owned(),
        prefix: prefix.to_owned(),
        products,
        there: there.to_owned(),
        from: words[from + 1].to_owned(),
    })
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, pattern) = match self {
            Self::Create(pattern) => ("CREATE", pattern),
            Self::Delete(pattern) => ("DELETE", pattern),
            Self::Modify(pattern) => ("MODIFY", pattern),
            Self::Allow(pattern) => ("ALLOW", pattern),
            Self::Disallow(pattern) => ("DISALLOW", pattern),
            Self::Require(pattern) => ("REQUIRE", pattern),
            Self::Match(rule) => ("MATCH", &rule.pattern),
        };
        write!(f, "{word} {}", shown(pattern))?;
        let Self::Match(rule) = self else { return Ok(()) };
        if !rule.prefix.is_empty() {
            write!(f, " IN {}", shown(&rule.prefix))?;
        }
        write!(f, " WITH {}", if rule.products { "PRODUCTS" } else { "MATERIALS" })?;
        if !rule.there.is_empty() {
            write!(f, " IN {}", shown(&rule.there))?;
        }
        write!(f, " FROM {}", shown(&rule.from))
    }
}
