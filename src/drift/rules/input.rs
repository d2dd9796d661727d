//! Files that are what a repository answered, which was something else the other time.

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::view::View,
    layer::{Entry, Kind},
    model::{Digest, path::printable},
};

/// A file whose content only one of the two builds fetched.
pub(super) fn changed(view: &View<'_>) -> Option<Finding> {
    let change = view.change;
    let only = matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let file = only && change.entry().is_some_and(|entry| entry.kind == Kind::File);
    if !file && !view.content_alone() {
        return None;
    }
    let content = |entry: &Option<Entry>| -> Option<Digest> { entry.as_ref()?.content };
    let fetched = |side: usize, entry| view.context.inputs[side].get(&content(entry)?);
    let url = fetched(1, &change.b).or_else(|| fetched(0, &change.a))?;
    Some(Finding::certain(Cause::InputChanged).shown(format!("fetched from {}", printable(url))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        diff::tests::compare,
        drift::{Context, Drift, explain},
        layer::fake::FakeLayer,
    };

    /// What is found between two layers of one file each, where `one` and `other` were fetched.
    fn drift(a: FakeLayer, b: FakeLayer) -> Drift {
        let body = |text: &[u8]| BTreeMap::from([(Digest::of(text), "http://m.example/data".to_owned())]);
        let context = Context { inputs: [body(b"one"), body(b"other")], ..Context::default() };
        explain(&compare(&[a], &[b]), &context).unwrap().drifts.remove(0)
    }

    fn file(text: &[u8]) -> FakeLayer {
        FakeLayer::default().file("opt/data", text)
    }

    #[test]
    fn a_fetched_file_that_changed_is_an_input() {
        let found = drift(file(b"one"), file(b"other"));
        assert_eq!(
            (found.cause, found.evidence.as_str()),
            (Cause::InputChanged, "fetched from http://m.example/data")
        );
        assert_eq!(drift(file(b"x"), file(b"other")).cause, Cause::InputChanged);
        assert_eq!(
            drift(
                FakeLayer::default().dir("opt/"),
                FakeLayer::default().dir("opt/").file("opt/data", b"other")
            )
            .cause,
            Cause::InputChanged
        );
    }

    #[test]
    fn what_was_not_fetched_or_differs_otherwise_too_is_none() {
        assert_eq!(drift(file(b"one "), file(b"other ")).cause, Cause::Unexplained);
        assert_eq!(drift(file(b"other"), file(b"one")).cause, Cause::Unexplained, "the other way round");
        assert_eq!(drift(file(b"one"), file(b"other").mode(0o755)).cause, Cause::Unexplained);
        assert_eq!(drift(file(b"one"), file(b"other").owner(1)).cause, Cause::Unexplained);
    }

    #[test]
    fn a_program_keeps_its_mark_and_a_new_one_has_no_cause() {
        let context = |text: &[u8]| Context {
            inputs: [BTreeMap::new(), BTreeMap::from([(Digest::of(text), "http://m.example/x".to_owned())])],
            ..Context::default()
        };
        let program =
            |text: &[u8]| FakeLayer::default().dir("usr/bin/").file("usr/bin/tool", text).mode(0o755);
        let (old, new) = (program(b"#!/bin/sh\n"), program(b"#!/bin/sh -e\n"));
        let found = |a: FakeLayer| {
            let explained = explain(&compare(&[a], std::slice::from_ref(&new)), &context(b"#!/bin/sh -e\n"));
            explained.unwrap().drifts.into_iter().map(|it| (it.cause, it.security)).collect::<Vec<_>>()
        };
        assert_eq!(found(old), [(Cause::InputChanged, true)]);
        assert_eq!(found(FakeLayer::default().dir("usr/bin/")), [(Cause::Unexplained, true)]);
    }
}
