//! `reprov.rebuild/v1`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LayerPair, Limits, Named, columns::line, form::Compares, live::InputsCompared, pair::Pair};
use crate::{
    drift::{ConfigDrift, Drift, LogDrift},
    engine::Hint,
    model::{Digest, Verdict, path::printable},
};

/// The answer of `rebuild`.
#[derive(Debug, Serialize)]
pub struct Rebuild {
    /// `reprov.rebuild/v1`.
    pub schema: &'static str,
    /// One for each image asked for, in that order.
    pub images: Vec<Image>,
    /// How many of each verdict; `error` counts those without one.
    pub summary: BTreeMap<String, u64>,
    /// Verdicts that were taken for a yes because of `--accept`.
    pub accepted: Vec<Verdict>,
}

/// One image.
#[derive(Debug, Serialize)]
pub struct Image {
    /// As asked for, by digest once known.
    pub image: String,
    /// The answer; none if nobody can tell.
    pub verdict: Option<Verdict>,
    /// The Dockerfile's path in the source; none if nobody can tell.
    pub dockerfile: Option<String>,
    /// Layers side by side.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest.
    pub config: Vec<ConfigDrift>,
    /// What differs in layers.
    pub drifts: Vec<Drift>,
    /// What drifting steps said otherwise than in the original build.
    pub logs: Vec<LogDrift>,
    /// Requests of the rebuild that the transcript does not hold.
    pub undeclared_inputs: Vec<Undeclared>,
    /// Requests that went out: none in a replay.
    pub upstream_requests: u64,
    /// Requests answered: from the transcript, or with live inputs by the repositories.
    pub replayed_requests: u64,
    /// Recorded bodies at hand.
    pub inputs: usize,
    /// Requests refused during the rebuild.
    pub refused: usize,
    /// Ids of secrets that were not given: the steps found a dummy.
    pub secrets_missing: Vec<String>,
    /// How many RUN steps the runtime shim started.
    pub steps_run: usize,
    /// The engine that rebuilt.
    pub engine: Option<String>,
    /// The limits in force; none if nothing ran.
    pub limits: Option<Limits>,
    /// The rebuilt manifest.
    pub rebuilt: Option<Digest>,
    /// What is not the recorded builder, if anything.
    pub builder_changed: Option<String>,
    /// What was varied on purpose (`--vary`); none if nothing was, or nothing ran.
    pub variations: Option<Variations>,
    /// What came of `--try`; none if it was not asked for, or nothing drifts.
    pub tried: Option<Tried>,
    /// What today's repositories answered otherwise (`--inputs live`); none if they were not asked.
    pub inputs_compared: Option<InputsCompared>,
    /// The signed verdict beside the image.
    pub attestation: Option<Digest>,
    /// Names the build; none if nothing ran.
    pub build: Option<String>,
    /// The log of the rebuild, in this machine's store; none if nothing ran.
    pub log: Option<Named>,
    /// All that happened in it, likewise.
    pub events: Option<Named>,
    /// Why there is no comparison.
    pub error: Option<String>,
    /// The last lines of a failed build's log.
    pub tail: Option<String>,
    /// What that log says about limits of the buildroot, and what to try.
    pub hints: Vec<Hint>,
    /// Whole seconds.
    pub seconds: i64,
}

/// What a rebuild varied, and what came of it.
#[derive(Debug, Serialize)]
pub struct Variations {
    /// What was on in the replay that was judged.
    pub on: Vec<Variation>,
    /// What was asked for and cannot be done here.
    pub not_possible: Vec<NotPossible>,
    /// The verdict of a replay without any; none if there was no need for one.
    pub control: Option<Verdict>,
    /// Every replay, in order.
    pub replays: Vec<Replay>,
    /// Which of them changed what.
    pub blamed: Vec<Blame>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Variation {
    /// Its name.
    pub name: &'static str,
    /// With its value, as `--vary` takes it.
    pub written: String,
    /// What a step finds changed.
    pub changes: &'static str,
}

/// One that cannot be done here.
#[derive(Debug, Serialize)]
pub struct NotPossible {
    /// Its name.
    pub name: &'static str,
    /// Why not.
    pub reason: String,
}

/// One run of the build.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// What was on, as written.
    pub on: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
}

/// What changes the image.
#[derive(Debug, Serialize)]
pub struct Blame {
    /// These, as written; more than one: only all of them together.
    pub together: Vec<String>,
    /// `narrowed`; `among`: one or several of them; `chance`: not when tried again.
    pub certainty: &'static str,
    /// How many places differ then that did not differ without.
    pub count: usize,
    /// The first of them.
    pub places: Vec<String>,
}

/// A remedy, and what replays with it have shown.
#[derive(Debug, Serialize)]
pub struct Tried {
    /// As `--try` takes it.
    pub remedy: &'static str,
    /// How many replays had it.
    pub replays: usize,
    /// How many drifts it cures; each has it as `cured_by`.
    pub cured: usize,
    /// How many it leaves.
    pub left: usize,
    /// Why nothing could be shown.
    pub error: Option<String>,
}

/// A request that nobody recorded.
#[derive(Debug, Serialize)]
pub struct Undeclared {
    /// HTTP method.
    pub method: String,
    /// Redacted URL.
    pub url: String,
}

impl Compares for Rebuild {
    fn pairs(&self) -> Vec<Pair<'_>> {
        self.images.iter().map(Image::pair).collect()
    }

    fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for image in &self.images {
            image.pair().write(&mut out, verbose);
        }
        if self.images.len() > 1 {
            let counts: Vec<_> =
                self.summary.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            line(&mut out, 0, 2, &counts.join(", "));
        }
        for accepted in &self.accepted {
            line(&mut out, 0, 2, &format!("taken for a yes (--accept): {accepted}"));
        }
        out
    }
}

pub(super) type Facts = Vec<(&'static str, String)>;

impl Variations {
    fn facts(&self, facts: &mut Facts) {
        let on: Vec<_> = self.on.iter().map(|variation| variation.written.as_str()).collect();
        facts.push(("varied", format!("{} ({} replay(s))", on.join(", "), self.replays.len())));
        for not in &self.not_possible {
            facts.push(("not varied", format!("{}: {}", not.name, printable(&not.reason))));
        }
        facts.extend(self.control.map(|control| match control {
            Verdict::Reproduced => ("control", "reproduced: without these the image is the same".to_owned()),
            control => {
                let blame = if self.blamed.is_empty() { "; no variation is to blame" } else { "" };
                ("control", format!("{control}: the plain replay differs too{blame}"))
            }
        }));
        facts.extend(self.blamed.iter().map(|blame| ("changed", blame.said())));
    }
}

impl Tried {
    fn said(&self) -> String {
        let Self { remedy, replays, cured, left, error } = self;
        match error {
            Some(error) => format!("{remedy}: shows nothing: {}", printable(error)),
            None => format!("{remedy}, {replays} replays: {cured} of {} drift(s) cured", cured + left),
        }
    }
}

impl Blame {
    const SHOWN: usize = 5;

    fn said(&self) -> String {
        let names = self.together.join(" + ");
        let who = match (self.certainty, self.together.len()) {
            ("chance", _) => format!("by chance, not again with {names}"),
            ("among", _) => format!("by one or several of {names}"),
            (_, 1) => format!("by {names}"),
            _ => format!("only together, by {names}"),
        };
        let shown: Vec<_> = self.places.iter().take(Self::SHOWN).map(|place| printable(place)).collect();
        let more = self.count - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{who}: {}{more}", shown.join(", "))
    }
}

impl Image {
    /// The verdict in words.
    #[must_use]
    pub fn said(&self) -> &'static str {
        self.verdict.map_or("could not tell", Verdict::name)
    }

    /// As every form of a report shows it. Names of the run and times are not in it.
    pub(super) fn pair(&self) -> Pair<'_> {
        Pair {
            headline: printable(&self.image),
            names: vec![("image", printable(&self.image))],
            sides: ["original", "rebuilt"],
            verdict: self.verdict,
            facts: self.facts(),
            ends: self.ends(),
            error: self.error.as_deref(),
            tail: self.tail.as_deref(),
            dockerfile: self.dockerfile.as_deref(),
            layers: &self.layers,
            config: &self.config,
            drifts: &self.drifts,
            logs: &self.logs,
            inputs: self.inputs_compared.as_ref(),
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        facts.extend(self.builder_changed.iter().map(|changed| ("builder", printable(changed))));
        if let Some(variations) = &self.variations {
            variations.facts(&mut facts);
        }
        facts.extend(self.tried.iter().map(|tried| ("tried", tried.said())));
        if let Some(engine) = &self.engine {
            facts.push(("engine", format!("{engine}, {} RUN step(s) through the shim", self.steps_run)));
            let Self { inputs, replayed_requests, upstream_requests, refused, .. } = self;
            let how = if self.inputs_compared.is_some() { "answered today" } else { "replayed" };
            facts.push((
                "inputs",
                format!(
                    "{inputs} recorded, {replayed_requests} {how}, {upstream_requests} upstream requests, \
                     {refused} refused"
                ),
            ));
        }
        if let Some(compared) = &self.inputs_compared {
            compared.facts(&mut facts);
        }
        if !self.secrets_missing.is_empty() {
            let ids: Vec<_> = self.secrets_missing.iter().map(|id| printable(id)).collect();
            facts.push(("secrets", format!("not given, so a dummy: {} (--secret)", ids.join(", "))));
        }
        if let Some(rebuilt) = &self.rebuilt {
            let equal = self.layers.iter().filter(|pair| pair.equal).count();
            facts.push(("rebuilt", rebuilt.to_string()));
            facts.push(("layers", format!("{equal} of {} layers equal", self.layers.len())));
        }
        let undeclared = self.undeclared_inputs.iter();
        facts.extend(
            undeclared
                .map(|input| ("undeclared input", format!("{} {}", input.method, printable(&input.url)))),
        );
        facts
    }

    fn ends(&self) -> Facts {
        let hints = self.hints.iter().map(|hint| ("hint", hint.shown()));
        hints.chain(self.attestation.map(|attestation| ("attested", attestation.to_string()))).collect()
    }
}

#[cfg(test)]
impl Tried {
    /// One that shows something, or nothing.
    pub(super) fn sample(failed: bool) -> Self {
        let error = failed.then(|| "why".to_owned());
        Self { remedy: "clock=commit", replays: 2, cured: 1, left: 0, error }
    }
}

#[cfg(test)]
impl Variations {
    /// One with everything in it.
    pub(super) fn sample() -> Self {
        let all: crate::model::Variations = "all".parse().unwrap();
        let on = all.iter().map(|one| Variation {
            name: one.name(),
            written: one.to_string(),
            changes: one.about().changes,
        });
        let not_possible = all.iter().map(|one| NotPossible { name: one.name(), reason: "why".into() });
        let replay = |verdict| Replay { on: all.names(), verdict };
        Self {
            on: on.collect(),
            not_possible: not_possible.collect(),
            control: Some(Verdict::Explained),
            replays: Verdict::ALL.map(replay).into(),
            blamed: ["narrowed", "among", "chance"]
                .map(|certainty| Blame {
                    together: all.names(),
                    certainty,
                    count: 2,
                    places: vec!["line 1: a".into()],
                })
                .into(),
        }
    }
}
