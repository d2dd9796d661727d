//! What a rebuild says: which builder is at hand, the layers side by side, the signed verdict.

use std::collections::BTreeMap;

use super::{Lived, Outcome, RebuildError, Varied, answer};
use crate::{
    attest::{
        BuildDefinition, Rebuilt, Subject,
        rebuilt::{
            DriftCounts, Instruction, LayerId, LayerPair, ProvenanceRef, Rebuilder, RebuiltImage, ReportRef,
            UndeclaredInput,
        },
    },
    buildroot::HOSTNAME,
    drift::Explained,
    engine, host,
    job::{
        Ports,
        assemble::Assembled,
        builder::{Builder, image_of},
        execute::Kept,
        publish::Publisher,
    },
    model::{Digest, ImageName, limits, names},
    oci::Image,
    signing::Signer,
};

/// What is not as recorded of buildroot, engine, runtime and writer, if anything.
pub(super) fn builder_changed(definition: &BuildDefinition, builder: &Builder) -> Option<String> {
    let tools = &builder.tools;
    let recorded = &definition.internal;
    let mut changes = Vec::new();
    let named =
        |image: Option<Digest>| image.map_or("the host's programs".to_owned(), |image| image.to_string());
    let image = image_of(definition);
    if image != builder.image {
        changes.push(format!("buildroot {} then, {} now", named(image), named(builder.image)));
    }
    for (then, now) in [(&recorded.engine, &tools.engine), (&recorded.runtime, &tools.runtime)] {
        if then.sha256 != now.digest {
            changes.push(format!(
                "{} {} ({}) then, {} ({}) now",
                then.name,
                then.version,
                then.sha256.short(),
                now.version,
                now.digest.short()
            ));
        }
    }
    if recorded.writer != names::WRITER {
        changes.push(format!("layer writer {} then, {} now", recorded.writer, names::WRITER));
    }
    let constants = [
        ("host name", recorded.hostname.clone(), HOSTNAME.to_owned()),
        ("mount options", recorded.mount_options.join(","), engine::MOUNT_OPTIONS.to_owned()),
    ];
    let changed = constants.into_iter().filter(|(_, then, now)| then != now);
    changes.extend(changed.map(|(what, then, now)| format!("{what} {then} then, {now} now")));
    (!changes.is_empty()).then(|| changes.join("; "))
}

/// The layers of both images side by side.
#[must_use]
pub(super) fn layer_pairs(outcome: &Outcome) -> Vec<LayerPair> {
    let ids = |image: &Image| -> Vec<LayerId> {
        let layers = image.manifest.layers().iter().zip(image.config.diff_ids());
        layers.map(|(layer, diff_id)| LayerId { digest: layer.digest, diff_id: *diff_id }).collect()
    };
    let assembled = outcome.execution.as_ref().and_then(|execution| execution.outcome.as_ref().ok());
    let original = outcome.original.as_ref().map(ids).unwrap_or_default();
    let rebuilt = assembled.map(|assembled| ids(&assembled.image)).unwrap_or_default();
    let instructions = assembled.map(|assembled| assembled.instructions.as_slice()).unwrap_or_default();
    let by_index = || {
        let beside = |count: usize, index| (index < count).then_some(index);
        let pair = |index| [beside(original.len(), index), beside(rebuilt.len(), index)];
        (0..original.len().max(rebuilt.len())).map(pair).collect()
    };
    let beside = outcome.explained.as_ref().map_or_else(by_index, |explained| explained.layers.clone());
    beside
        .into_iter()
        .enumerate()
        .map(|(index, [one, other])| {
            let made_by = other.and_then(|at| instructions.get(at).cloned().flatten());
            let original = one.and_then(|at| original.get(at).cloned());
            let rebuilt = other.and_then(|at| rebuilt.get(at).cloned());
            LayerPair {
                index,
                instruction: made_by.map(|(line, text)| Instruction { line, text }),
                equal: original.is_some() && original == rebuilt,
                original,
                rebuilt,
            }
        })
        .collect()
}

/// How many of an image's layers are its base's: those that no instruction made.
pub(super) fn inherited(rebuilt: &Assembled) -> usize {
    rebuilt.instructions.iter().take_while(|made_by| made_by.is_none()).count()
}

/// The first layer that `original` does not have from the base as the rebuilt image does.
pub(super) fn foreign_layer(original: &Image, rebuilt: &Assembled) -> Option<usize> {
    let blob = |image: &Image, index: usize| image.manifest.layers().get(index).map(|layer| layer.digest);
    (0..inherited(rebuilt)).find(|index| blob(original, *index) != blob(&rebuilt.image, *index))
}

/// Signs the verdict, good or bad, and attaches it to the original at `image`; its referrer, and when it says that it ended.
pub(super) async fn attach(
    ports: &Ports,
    (image, rebuilder_id): (&ImageName, &str),
    outcome: &Outcome,
    key: &Signer,
) -> Result<Option<(Digest, i64)>, RebuildError> {
    // Without a provenance that can be believed there is nothing the verdict could be about.
    let Some(believed) = &outcome.provenance else { return Ok(None) };
    // Where nothing was run, it would have been the recorded one.
    let recorded = &believed.provenance.definition.internal.engine;
    let engine = outcome.builder.as_ref().map(|builder| &builder.tools.engine);
    let engine = engine.map_or_else(
        || recorded.clone(),
        |engine| crate::attest::Tool {
            name: engine.name.clone(),
            version: engine.version.clone(),
            sha256: engine.digest,
        },
    );
    let execution = outcome.execution.as_ref();
    let assembled = execution.and_then(|execution| execution.outcome.as_ref().ok());
    let undeclared = execution.map(|execution| execution.closed.undeclared.clone()).unwrap_or_default();
    let publisher = Publisher::new(ports, image, outcome.manifest.clone());
    let report = report(ports, &publisher, &answer::kept(image, outcome)).await?;
    let statement = Rebuilt {
        verdict: outcome.verdict,
        provenance: ProvenanceRef { digest: believed.referrer },
        rebuilt: assembled.map(|assembled| RebuiltImage {
            manifest: assembled.manifest.digest,
            config: assembled.image.manifest.config().digest,
        }),
        inputs: outcome.inputs_from,
        compared: outcome.lived.as_ref().map(Lived::stated),
        upstream_requests: execution.map_or(0, |execution| execution.closed.upstream_requests),
        undeclared_inputs: undeclared
            .into_iter()
            .map(|(method, url)| UndeclaredInput { method, url })
            .collect(),
        layers: layer_pairs(outcome).into_iter().take(limits::REBUILT_LAYERS_MAX).collect(),
        drifts: counts(outcome.explained.as_ref()),
        report: Some(report),
        varied: outcome.varied.as_ref().map(|varied| varied.on.names()).unwrap_or_default(),
        variations: outcome.varied.as_ref().map(Varied::stated),
        rebuilder: Rebuilder { id: rebuilder_id.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        engine,
        writer: names::WRITER.to_owned(),
        started_on_s: outcome.started_s,
        finished_on_s: host::now_s(),
    };
    let subject = Subject::new(image.repository(), &outcome.manifest.digest);
    let attached = publisher.statement(&statement.statement(subject), Some(key)).await?;
    Ok(Some((attached.digest, statement.finished_on_s)))
}

/// Attaches the whole answer, so that the statement can name it.
async fn report(ports: &Ports, publisher: &Publisher<'_>, answer: &[u8]) -> Result<ReportRef, RebuildError> {
    let digest = ports.store.put(answer)?;
    publisher.kept(names::REPORT, Kept { digest, size: answer.len() as u64 }).await?;
    Ok(ReportRef { media_type: names::REPORT.to_owned(), digest })
}

pub(super) fn counts(explained: Option<&Explained>) -> DriftCounts {
    let mut counts = DriftCounts { count: 0, by_cause: BTreeMap::new(), by_class: BTreeMap::new() };
    for drift in explained.iter().flat_map(|explained| &explained.drifts) {
        counts.count += 1;
        *counts.by_cause.entry(drift.cause.code().to_owned()).or_default() += 1;
        *counts.by_class.entry(drift.class.name().to_owned()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{Descriptor, DiffId, json::canonical},
        oci::manifest_bytes,
    };

    /// An image with such layers, of which `inherited` are its base's.
    fn image(layers: &[&str], inherited: usize) -> Assembled {
        let diff_ids: Vec<_> = layers.iter().map(|layer| DiffId(Digest::of(layer.as_bytes()))).collect();
        let config = canonical(
            &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}),
        );
        let layers: Vec<_> =
            layers.iter().map(|layer| Descriptor::of(names::OCI_LAYER_GZIP, layer.as_bytes())).collect();
        let manifest = manifest_bytes(&Descriptor::of(names::OCI_CONFIG, &config), &layers, &BTreeMap::new());
        let made_by = |index| (index >= inherited).then(|| (1, "RUN true".to_owned()));
        Assembled {
            image: Image::parse(&manifest, &config).unwrap(),
            manifest: Descriptor::of(names::OCI_MANIFEST, &manifest),
            instructions: (0..layers.len()).map(made_by).collect(),
            normalized: Vec::new(),
            dropped: Vec::new(),
        }
    }

    #[test]
    fn inherited_layers_are_the_bases_by_digest() {
        let rebuilt = image(&["base", "base2", "own"], 2);
        let check = |layers: &[&str], foreign| {
            assert_eq!(foreign_layer(&image(layers, 0).image, &rebuilt), foreign, "{layers:?}");
        };
        check(&["base", "base2", "own"], None);
        check(&["base", "base2", "drifted", "more"], None);
        check(&["base", "other", "own"], Some(1));
        check(&["own"], Some(0));
        check(&["base"], Some(1));
        assert_eq!(inherited(&rebuilt), 2);
    }
}
