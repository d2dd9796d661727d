//! Definition → statement bytes → definition is the identity; digests depend on what they should.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;

use super::*;
use crate::model::{
    Digest, Repository, RepositoryKind, ResourceDescriptor, SignerFile, limits::INLINE_INPUTS_MAX,
    names::TRANSCRIPT,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9./:@-]{0,12}", "\\PC{0,6}", Just("\"\\\u{1}\n".to_owned())]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<u64>().prop_map(|seed| Digest::of(&seed.to_le_bytes()))
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(text(), text(), 0..3)
}

fn repository() -> impl Strategy<Value = Repository> {
    let kinds = vec![RepositoryKind::Apt, RepositoryKind::Pypi, RepositoryKind::Generic];
    let key = option::of((text(), digest()).prop_map(|(path, digest)| SignerFile { path, digest }));
    (text(), select(kinds), text(), vec(text(), 0..3), any::<bool>(), key).prop_map(
        |(name, kind, url, replace, configure, key)| Repository { name, kind, url, replace, configure, key },
    )
}

prop_compose! {
    fn external()(
        (uri, rev, subdir, dirty) in (option::of(text()), text(), text(), any::<bool>()),
        (dockerfile, context, target, platform, timeout) in (text(), text(), option::of(text()), text(), text()),
        (build_args, from) in (map(), map()),
        repositories in vec(repository(), 0..3),
        (profile, drop) in (text(), vec((text(), text()), 0..3)),
        (clock, on_refused) in (select(vec![Clock::Real, Clock::Commit]), select(vec![OnRefused::Fail, OnRefused::Record])),
        (learn, secrets, recipe) in (any::<bool>(), vec(text(), 0..3), option::of((text(), digest()))),
        git in option::of(vec((text(), "[0-9a-f]{40}"), 0..3)),
    ) -> ExternalParameters {
        let drop = drop.into_iter().map(|(path, because)| Dropped { path, because }).collect();
        ExternalParameters {
            source: Source { uri, rev, subdir, dirty },
            dockerfile, context, target, build_args, platform, repositories, from,
            normalize: Normalize { profile, drop },
            clock, on_refused, learn, timeout, secrets,
            git: git.map(|tags| GitDirectory { tags: tags.into_iter().map(|(name, id)| GitTag { name, id }).collect() }),
            recipe: recipe.map(|(path, digest)| RecipeFile { path, digest }),
        }
    }
}

fn tool() -> impl Strategy<Value = Tool> {
    (text(), text(), digest()).prop_map(|(name, version, sha256)| Tool { name, version, sha256 })
}

prop_compose! {
    fn internal()(
        (reprov, writer, epoch, hostname) in (text(), text(), any::<i64>(), text()),
        mode in select(vec![BuildrootMode::Host, BuildrootMode::Image]),
        (engine, runtime) in (tool(), tool()),
        (enforced_by, memory_bytes, disk_bytes) in (text(), option::of(any::<u64>()), option::of(any::<u64>())),
        files in option::of(any::<u64>()),
        (env, mount_options) in (map(), vec(text(), 0..3)),
    ) -> InternalParameters {
        let limits = Limits { enforced_by, memory_bytes, disk_bytes, files, inputs_bytes: None };
        InternalParameters { reprov, writer, epoch, mode, engine, runtime, limits, env, hostname, mount_options }
    }
}

fn dependency() -> impl Strategy<Value = ResourceDescriptor> {
    prop_oneof![
        (option::of(text()), "[0-9a-f]{40}").prop_map(|(uri, hex)| definition::source(
            uri.as_deref(),
            &hex,
            &hex
        )),
        (text(), text(), "[0-9a-f]{40}")
            .prop_map(|(path, uri, hex)| definition::submodule(&path, &uri, &hex)),
        (text(), text(), 0..9usize, 1..99u32, digest()).prop_map(|(written, uri, stage, line, digest)| {
            definition::base(&written, &uri, stage, line, &uri, &digest)
        }),
        (text(), digest()).prop_map(|(uri, digest)| definition::buildroot(&uri, &digest)),
    ]
}

fn definitions() -> impl Strategy<Value = BuildDefinition> {
    (external(), internal(), vec(dependency(), 0..6))
        .prop_map(|(external, internal, dependencies)| BuildDefinition { external, internal, dependencies })
}

fn input(uri: &str) -> ResourceDescriptor {
    let value = json!({"uri": uri, "digest": {"sha256": Digest::of(uri.as_bytes()).hex()}, "annotations": {"role": "input"}});
    serde_json::from_value(value).unwrap()
}

fn byproduct(name: &str) -> ResourceDescriptor {
    let digest = BTreeMap::from([("sha256".to_owned(), Digest::of(name.as_bytes()).hex())]);
    ResourceDescriptor { name: name.into(), digest, ..ResourceDescriptor::default() }
}

prop_compose! {
    fn runs()(
        (id, reprov_version, invocation_id) in ("[a-z]{1,9}", text(), text()),
        (started_on_s, finished_on_s) in (0..4_000_000_000i64, 0..4_000_000_000i64),
        (inputs, tainted) in (vec("[a-z]{0,9}", 0..4), vec(text(), 0..3)),
    ) -> RunDetails {
        RunDetails {
            builder_id: id, reprov_version, invocation_id, started_on_s, finished_on_s,
            inputs: inputs.iter().map(|uri| input(uri)).collect(),
            byproducts: vec![byproduct("log"), byproduct("transcript")],
            tainted,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn definition_to_statement_and_back(definition in definitions(), run in runs()) {
        let statement = provenance(&definition, &run, &[Subject::new("app", &Digest::of(b"m"))]);
        let read = Statement::parse(&statement.to_bytes()).unwrap();
        prop_assert_eq!(&read, &statement);
        let back = Provenance::read(&read).unwrap();
        prop_assert_eq!(back.definition.digest(), definition.digest());
        prop_assert_eq!(back, Provenance { definition, run });
    }

    #[test]
    fn the_order_of_dependencies_does_not_matter(
        (definition, shuffled) in definitions().prop_flat_map(|definition| {
            let shuffled = Just(definition.dependencies.clone()).prop_shuffle();
            (Just(definition), shuffled)
        })
    ) {
        let other = BuildDefinition { dependencies: shuffled, ..definition.clone() };
        prop_assert_eq!(other.digest(), definition.digest());
    }
}

fn example() -> Provenance {
    Provenance::read(&Statement::parse(examples::BUILD.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_digest_is_a_format() {
    // Another value here means that every build recorded so far gets another identity.
    insta::assert_snapshot!(example().definition.digest(), @"sha256:c027bb7cbf7c9e698401a6b4ebcf32332a0284aa775f5eae85be795fd90e21a5");
}

#[test]
fn the_digest_depends_on_all_parameters_and_defining_dependencies() {
    let original = example().definition;
    let check = |change: fn(&mut BuildDefinition), same: bool| {
        let mut changed = original.clone();
        change(&mut changed);
        assert_eq!(changed.digest() == original.digest(), same);
    };
    check(|definition| definition.external.learn = true, false);
    check(|definition| definition.external.target = None, false);
    check(|definition| definition.internal.engine.version.push('1'), false);
    check(|definition| definition.internal.limits.memory_bytes = None, false);
    check(|definition| drop(definition.dependencies.pop()), false);
    check(|definition| definition.dependencies[0].uri.push('x'), false);
    check(|definition| definition.dependencies.push(input("http://mirror.example.org/x")), true);
}

#[test]
fn many_inputs_give_way_to_the_transcript() {
    let Provenance { definition, mut run } = example();
    run.inputs = (0..=INLINE_INPUTS_MAX).map(|index| input(&index.to_string())).collect();
    let read = |run: &RunDetails| Provenance::read(&provenance(&definition, run, &[])).unwrap();
    let [inputs] = read(&run).run.inputs.try_into().unwrap();
    assert_eq!((inputs.name.as_str(), inputs.media_type.as_str()), ("inputs", TRANSCRIPT));
    assert_eq!((inputs.sha256(), &inputs.annotations["kept"]), (example().transcript(), &"registry".into()));
    // What the builder alone keeps is named still, unless that is too much.
    let stay = |run: &mut RunDetails, index: usize| {
        drop(run.inputs[index].annotations.insert("kept".to_owned(), "local".into()));
    };
    stay(&mut run, 7);
    let [local, inputs] = read(&run).run.inputs.try_into().unwrap();
    assert_eq!((&local, &inputs.annotations["kept"]), (&run.inputs[7], &"registry".into()));
    (0..=INLINE_INPUTS_MAX).for_each(|index| stay(&mut run, index));
    let [inputs] = read(&run).run.inputs.try_into().unwrap();
    assert_eq!((inputs.name.as_str(), &inputs.annotations["kept"]), ("inputs", &"local".into()));
    run.inputs.pop();
    assert_eq!(read(&run).run.inputs.len(), INLINE_INPUTS_MAX);
    run.inputs.push(input("one more"));
    run.byproducts.clear();
    assert_eq!(read(&run).run.inputs.len(), INLINE_INPUTS_MAX + 1);
}

#[test]
fn log_and_transcript_may_be_missing() {
    let Provenance { definition, mut run } = example();
    run.byproducts.clear();
    let read = Provenance::read(&provenance(&definition, &run, &[])).unwrap();
    assert_eq!((read.transcript(), read.byproduct("log")), (None, None));
}
