//! Which of the images that the engine committed is that of a stage. It does not say so, but each has its history.

use std::collections::BTreeSet;

use serde_json::Value;

use super::plan::{Link, Stage};
use crate::{
    dockerfile::{Keyword, Step},
    model::Digest,
    oci::Config,
};

/// How the engine writes instructions that run nothing.
const NO_OPERATION: &str = "#(nop) ";

/// How many of `stages` do what the stage `index` does, and perhaps more; and which of them, in the order in which they
/// run, it is. What stands on one of them does it no second time.
pub(super) fn alike(stages: &[Stage], index: usize) -> (usize, usize) {
    let same = |(a, b): (&Link, &Link)| a.step.created_by == b.step.created_by;
    let like = |other: &Stage| {
        let stage = &stages[index];
        let longer = other.base == stage.base && other.chain.len() >= stage.chain.len();
        longer && other.chain.iter().zip(stage.chain.iter()).all(same)
    };
    let all: BTreeSet<usize> = (0..stages.len()).filter(|other| like(&stages[*other])).collect();
    let parent = |stage: usize| stages[stage].parent.filter(|parent| all.contains(parent));
    let mut first = index;
    while let Some(below) = parent(first) {
        first = below;
    }
    let ran = || all.iter().filter(|stage| parent(**stage).is_none());
    (ran().count(), ran().take_while(|stage| **stage < first).count())
}

/// The image of `committed` whose history is that of `base` and then `chain`: of `count` that are like that, one a stage,
/// the one with `before` of them before it. None if there are more or fewer, since then nobody can tell.
pub(super) fn find<'a>(
    committed: &'a [(Digest, Config)],
    base: Option<&Config>,
    chain: &[Link],
    (count, before): (usize, usize),
) -> Option<&'a Digest> {
    let below = base.map_or(0, |base| base.history().len());
    let layers = base.map(Config::diff_ids).unwrap_or_default();
    let own = |config: &'a Config| config.history().get(below..).filter(|own| own.len() == chain.len());
    let fits = |config: &&'a (Digest, Config), like: fn(&Value, &Step) -> bool| {
        let on_base = config.1.diff_ids().starts_with(layers) && !chain.is_empty();
        own(&config.1)
            .filter(|_| on_base)
            .is_some_and(|own| own.iter().zip(chain).all(|(entry, link)| like(entry, &link.step)))
    };
    let mut found: Vec<_> = committed.iter().filter(|config| fits(config, is_like)).collect();
    if found.len() > count {
        found.retain(|config| fits(config, runs));
    }
    found.sort_by_key(|(_, config)| created(config)); // Stages run one after another.
    found.get(before).filter(|_| found.len() == count).map(|(id, _)| id)
}

/// When the last instruction was done, as text that sorts.
fn created(config: &Config) -> &str {
    let last = config.history().last().and_then(|entry| entry.get("created")).and_then(Value::as_str);
    last.unwrap_or_default().trim_end_matches('Z')
}

fn created_by(entry: &Value) -> &str {
    entry.get("created_by").and_then(Value::as_str).unwrap_or_default()
}

/// Whether `entry` is of the same kind of instruction.
fn is_like(entry: &Value, step: &Step) -> bool {
    match created_by(entry).split_once(NO_OPERATION) {
        Some((_, words)) if step.keyword != Keyword::Run => {
            let word = words.split_whitespace().next().unwrap_or_default();
            word.eq_ignore_ascii_case(&step.keyword.to_string())
        }
        None => step.keyword == Keyword::Run,
        Some(_) => false,
    }
}

/// Whether `entry` ends in the command of a RUN, as the engine writes it behind build arguments.
fn runs(entry: &Value, step: &Step) -> bool {
    let command = step.created_by.split_once(" -c ").map(|(_, command)| command.trim());
    step.keyword != Keyword::Run || command.is_none_or(|command| created_by(entry).trim().ends_with(command))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        dockerfile::{Dockerfile, Scope},
        model::DiffId,
    };

    fn config(history: &[&str]) -> Config {
        let layers = history.iter().enumerate().filter(|(_, text)| !text.contains("ARG"));
        let diff_ids: Vec<_> = layers.map(|(index, _)| DiffId(Digest::of(&index.to_le_bytes()))).collect();
        let created = |index| format!("2026-11-30T03:46:39.{}Z", 5 + index);
        let entry = |(index, text)| json!({"created_by": text, "created": created(index)});
        let history: Vec<_> = history.iter().enumerate().map(entry).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "history": history,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    fn chain(dockerfile: &str) -> Vec<Link> {
        let dockerfile = Dockerfile::parse(format!("FROM scratch\n{dockerfile}").as_bytes()).unwrap();
        let steps = dockerfile.steps(&Scope::default()).unwrap().remove(0).steps;
        steps.into_iter().map(|step| Link { step, mounts: BTreeSet::new() }).collect()
    }

    /// Which of `committed`, on a base of one layer, is that of `dockerfile`.
    #[track_caller]
    fn check(committed: &[&[&str]], dockerfile: &str, expected: Option<usize>) {
        let committed: Vec<_> = committed
            .iter()
            .enumerate()
            .map(|(index, own)| {
                (Digest::of(&[u8::try_from(index).unwrap()]), config(&[&["base"], *own].concat()))
            })
            .collect();
        let found = find(&committed, Some(&config(&["base"])), &chain(dockerfile), (1, 0));
        assert_eq!(found.map(|id| committed.iter().position(|(other, _)| id == other).unwrap()), expected);
    }

    const ARG: &str = "/bin/sh -c #(nop) ARG A";
    const COPY: &str = "/bin/sh -c #(nop) COPY file:fca2 in /token ";
    const RUN: &str = "|1 A=1 /bin/sh -c make x";

    #[test]
    fn a_stage_is_known_by_what_it_did() {
        let dockerfile = "ARG A=1\nCOPY token /token\nRUN make x\n";
        let steps: [&[&str]; 3] = [&[ARG], &[ARG, COPY], &[ARG, COPY, RUN]];
        check(&steps, dockerfile, Some(2));
        check(&steps[..2], dockerfile, None);
        check(&[&[RUN, COPY, ARG]], dockerfile, None);
        check(&[&[ARG, COPY, "/bin/sh -c other"]], dockerfile, Some(0));
        check(&[&[ARG, COPY, "/bin/sh -c other"], &[ARG, COPY, RUN]], dockerfile, Some(1));
        check(&[&[ARG, COPY, RUN], &[ARG, COPY, RUN]], dockerfile, None);
        check(&[&[]], "", None);
    }

    #[test]
    fn an_image_on_another_base_is_none() {
        let other = [(Digest::of(b"x"), config(&["other", RUN]))];
        assert!(find(&other, None, &chain("RUN make x\n"), (1, 0)).is_none());
        let scratch = [(Digest::of(b"x"), config(&[RUN]))];
        assert!(find(&scratch, None, &chain("RUN make x\n"), (1, 0)).is_some());
        let mut base = config(&["base", "base"]);
        assert!(find(&other, Some(&base), &chain("RUN make x\n"), (1, 0)).is_none());
        base = config(&["base"]);
        assert!(find(&other, Some(&base), &chain("RUN make x\n"), (1, 0)).is_some());
    }
    #[test]
    fn stages_that_do_the_same_are_told_by_their_order() {
        let stage = |dockerfile: &str, parent| Stage {
            name: None,
            chain: chain(dockerfile).into(),
            base: None,
            parent,
            in_result: false,
        };
        let stages = [
            stage("RUN a\n", None),
            stage("RUN a\nRUN b\n", None),
            stage("RUN a\n", Some(0)),
            stage("RUN a\nRUN b\nRUN c\n", Some(1)),
            stage("RUN other\n", None),
            stage("RUN a\nRUN d\n", None),
        ];
        let found: Vec<_> = (0..stages.len()).map(|index| alike(&stages, index)).collect();
        assert_eq!(found, [(3, 0), (1, 0), (3, 0), (1, 0), (1, 0), (1, 0)]);

        let ran = |id: &[u8], times: u32| {
            let created = format!("2026-11-30T03:46:39.{times}Z");
            let history = [json!({"created_by": "/bin/sh -c make x", "created": created})];
            let config = json!({
                "architecture": "amd64", "os": "linux", "history": history,
                "rootfs": {"type": "layers", "diff_ids": [DiffId(Digest::of(id))]},
            });
            (Digest::of(id), Config::parse(config.to_string().as_bytes()).unwrap())
        };
        let committed = [ran(b"second", 51), ran(b"first", 5), ran(b"third", 6)];
        let which = |rank| find(&committed, None, &chain("RUN make x\n"), rank).copied();
        let names = [&b"first"[..], b"second", b"third"];
        assert_eq!([0, 1, 2].map(|before| which((3, before))), names.map(|name| Some(Digest::of(name))));
        assert_eq!((which((2, 0)), which((4, 0)), which((1, 0))), (None, None, None));
    }
}
