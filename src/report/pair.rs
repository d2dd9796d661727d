//! Two images and what came of comparing them, as every form of a report shows it.

use std::collections::BTreeMap;

use super::{Instruction, LayerPair, columns::cut, live::InputsCompared};
use crate::{
    drift::{Cause, Class, ConfigDrift, Drift, InstructionRef, LogDrift, Security},
    model::{Verdict, path::printable},
};

/// The longest text of an instruction that is shown to people, in columns.
const INSTRUCTION_COLUMNS_MAX: usize = 160;

/// Two images, compared.
#[derive(Debug)]
pub struct Pair<'a> {
    /// What stands after the verdict.
    pub(super) headline: String,
    /// What the images are called, and how.
    pub(super) names: Vec<(&'static str, String)>,
    /// What the sides are called.
    pub(super) sides: [&'static str; 2],
    pub(super) verdict: Option<Verdict>,
    /// What else is known, by label, fit to print.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The same, but what comes last.
    pub(super) ends: Vec<(&'static str, String)>,
    /// Why there is no comparison.
    pub(super) error: Option<&'a str>,
    /// The last lines of a failed build's log.
    pub(super) tail: Option<&'a str>,
    /// Where the lines of instructions are.
    pub(super) dockerfile: Option<&'a str>,
    pub(super) layers: &'a [LayerPair],
    pub(super) config: &'a [ConfigDrift],
    pub(super) drifts: &'a [Drift],
    /// What drifting steps said otherwise.
    pub(super) logs: &'a [LogDrift],
    /// What the repositories answered otherwise.
    pub(super) inputs: Option<&'a InputsCompared>,
}

/// What the drifts come to.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    /// Drifts of their own: what concerns security first, what is accepted last; else by layer, by cause with what matters
    /// most first, and by path.
    pub(super) own: Vec<&'a Drift>,
    /// How many follow from these.
    pub(super) consequences: usize,
    /// How many of a cause, what matters most first.
    pub(super) causes: Vec<(Cause, usize)>,
    /// How many of a kind.
    pub(super) security: BTreeMap<Security, usize>,
    pub(super) accepted: usize,
    /// Layers that are the same blob.
    pub(super) equal: usize,
    /// The lowest layer that differs, and what made it.
    pub(super) first: Option<(usize, String)>,
}

impl Pair<'_> {
    /// Nothing is known yet.
    pub(super) fn empty() -> Self {
        Self {
            headline: String::new(),
            names: Vec::new(),
            sides: ["", ""],
            verdict: None,
            facts: Vec::new(),
            ends: Vec::new(),
            error: None,
            tail: None,
            dockerfile: None,
            layers: &[],
            config: &[],
            drifts: &[],
            logs: &[],
            inputs: None,
        }
    }
}

impl<'a> Pair<'a> {
    /// The verdict in words.
    pub(super) fn said(&self) -> &'static str {
        self.verdict.map_or("could not tell", Verdict::name)
    }

    /// What is compared, in one line.
    pub(super) fn named(&self) -> String {
        self.names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" → ")
    }

    pub(super) fn summary(&self) -> Summary<'a> {
        let mut own: Vec<_> = self.drifts.iter().filter(|drift| drift.consequence_of.is_none()).collect();
        own.sort_by_key(|drift| {
            let cause = (weight(drift.class), drift.cause.code());
            (drift.accepted.is_some(), !drift.security, drift.layer, cause, drift.security_kind) // Stable.
        });
        let (mut causes, mut security) = (BTreeMap::new(), BTreeMap::new());
        for drift in &own {
            *causes.entry(drift.cause).or_insert(0) += 1;
            if let Some(kind) = drift.security_kind {
                *security.entry(kind).or_insert(0) += 1;
            }
        }
        let mut causes: Vec<(Cause, usize)> = causes.into_iter().collect();
        causes.sort_by_key(|(cause, count)| (weight(cause.class()), std::cmp::Reverse(*count), cause.code()));
        let drifting = self.drifts.iter().min_by_key(|drift| drift.layer);
        let of_drift = drifting.map(|drift| (drift.layer, place(drift)));
        let differing = || self.layers.iter().find(|layer| !layer.equal);
        let of_layer =
            || differing().map(|layer| (layer.index, place_of(layer.index, layer.instruction.as_ref())));
        Summary {
            consequences: self.drifts.len() - own.len(),
            accepted: own.iter().filter(|drift| drift.accepted.is_some()).count(),
            own,
            causes,
            security,
            equal: self.layers.iter().filter(|pair| pair.equal).count(),
            first: of_drift.or_else(of_layer),
        }
    }

    /// What follows from a path.
    pub(super) fn hence(&self) -> BTreeMap<&'a str, Vec<&'a Drift>> {
        let mut hence: BTreeMap<&str, Vec<&Drift>> = BTreeMap::new();
        for drift in self.drifts {
            if let Some(of) = &drift.consequence_of {
                hence.entry(of).or_default().push(drift);
            }
        }
        hence
    }

    /// The instruction that made a layer, where anything tells of it.
    pub(super) fn made_by(&self, layer: usize) -> Option<&InstructionRef> {
        let of_layer = self.layers.get(layer).and_then(|pair| pair.instruction.as_ref());
        of_layer.or_else(|| self.drifts.iter().find(|drift| drift.layer == layer)?.instruction.as_ref())
    }
}

/// What matters most comes first.
pub(super) fn weight(class: Class) -> u8 {
    match class {
        Class::Unexplained => 0,
        Class::Entropy => 1,
        Class::Package => 2,
        Class::Known => 3,
    }
}

/// `line 7: RUN …`, or the layer where no line is known; fit to print.
pub(super) fn place(drift: &Drift) -> String {
    place_of(drift.layer, drift.instruction.as_ref())
}

pub(super) fn place_of(layer: usize, instruction: Option<&InstructionRef>) -> String {
    let text = |text: &str| cut(&printable(text), INSTRUCTION_COLUMNS_MAX);
    match instruction {
        Some(InstructionRef { line: Some(line), text: says }) => format!("line {line}: {}", text(says)),
        Some(InstructionRef { line: None, text: says }) => format!("layer {layer}: {}", text(says)),
        None => format!("layer {layer}"),
    }
}

/// `setuid or setgid`, `owner (2)`, …
pub(super) fn kinds(security: &BTreeMap<Security, usize>) -> String {
    let kind = |(kind, count): (&Security, &usize)| match count {
        1 => kind.words().to_owned(),
        count => format!("{} ({count})", kind.words()),
    };
    security.iter().map(kind).collect::<Vec<_>>().join(", ")
}

/// A code, and the class where that says more.
pub(super) fn cause_and_class(cause: Cause) -> String {
    let (cause, class) = (cause.code(), cause.class().name());
    if cause == class { cause.to_owned() } else { format!("{cause} ({class})") }
}

/// `n` of something, without a plural of its own.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl From<Instruction> for InstructionRef {
    fn from(instruction: Instruction) -> Self {
        Self { line: Some(instruction.line), text: instruction.text }
    }
}
