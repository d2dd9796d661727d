//! Which of the images that the engine committed is that of a stage. It does not say so, but each has its history.

use serde_json::Value;

use super::plan::Link;
use crate::{
    dockerfile::{Keyword, Step},
    model::Digest,
    oci::Config,
};

/// How the engine writes instructions that run nothing.
const NO_OPERATION: &str = "#(nop) ";

/// The one image of `committed` whose history is that of `base` and then `chain`; none if several are like that.
pub(super) fn find<'a>(
    committed: &'a [(Digest, Config)],
    base: Option<&Config>,
    chain: &[Link],
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
    if found.len() > 1 {
        found.retain(|config| fits(config, runs));
    }
    match found[..] {
        [(id, _)] => Some(id),
        _ => None,
    }
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
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{
        dockerfile::{Dockerfile, Scope},
        model::DiffId,
    };

    fn config(history: &[&str]) -> Config {
        let layers = history.iter().enumerate().filter(|(_, text)| !text.contains("ARG"));
        let diff_ids: Vec<_> = layers.map(|(index, _)| DiffId(Digest::of(&index.to_le_bytes()))).collect();
        let history: Vec<_> = history.iter().map(|text| json!({"created_by": text})).collect();
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
        let found = find(&committed, Some(&config(&["base"])), &chain(dockerfile));
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
        assert!(find(&other, None, &chain("RUN make x\n")).is_none());
        let scratch = [(Digest::of(b"x"), config(&[RUN]))];
        assert!(find(&scratch, None, &chain("RUN make x\n")).is_some());
        let mut base = config(&["base", "base"]);
        assert!(find(&other, Some(&base), &chain("RUN make x\n")).is_none());
        base = config(&["base"]);
        assert!(find(&other, Some(&base), &chain("RUN make x\n")).is_some());
    }
}
