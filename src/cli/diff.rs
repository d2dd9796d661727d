//! `reprov diff`.

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    ignore::Ignore,
    report::{self as reports, Report},
};
use crate::{
    compute, diff,
    drift::{self, Explained, InstructionRef},
    job::{
        Ports, accepted,
        bases::{self, Base},
        lineage,
    },
    model::Verdict,
    oci::Config,
    report::{self, Compares as _, diff as view},
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first image
    a: String,
    /// The second
    b: String,
    #[command(flatten)]
    ignore: Ignore,
    /// Which manifest of multi-platform images
    #[arg(long, default_value = "linux/amd64", env = "REPROV_DIFF_PLATFORM")]
    platform: String,
    /// Write a report to this file too; its ending says which: .html, .md, .json, .xml (for those who show tests), .sarif, .txt
    #[arg(long, value_name = "FILE", value_parser = reports::parse, env = "REPROV_DIFF_REPORT", value_delimiter = '\n')]
    report: Vec<Report>,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let ports = context.ports(context.console.job("diff"))?;
        let name = |text: &str| image_name("", text);
        let a = bases::fetch(&ports, &name(&self.a)?, &self.platform).await?;
        let b = bases::fetch(&ports, &name(&self.b)?, &self.platform).await?;
        let inherited = view::Inherited { a: inherited(&ports, &a).await, b: inherited(&ports, &b).await };
        let (store, one, two) = (ports.store.clone(), a.image.clone(), b.image.clone());
        let instructions = made_by(&a.image.config, &b.image.config);
        let known = instructions.clone();
        let compared = compute::run(move || {
            let comparison = diff::images(&store, &one, &two)?;
            let instructions = known;
            let context = drift::Context { instructions, ..drift::Context::default() };
            Ok::<_, diff::DiffError>(drift::explain(&comparison, &context))
        });
        let mut explained = compared.await.map_err(Failure::unavailable)?;
        accepted::mark(ports.progress.as_ref(), &mut explained.drifts, &self.ignore.acceptances());
        let exit = if explained.verdict == Verdict::Reproduced { Exit::Ok } else { Exit::Findings };
        let mut answer = answer(&a, &b, inherited, (explained, instructions));
        answer.leave_out_bases();
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        match reports::write(&self.report, &answer) {
            Ok(()) => Ok(exit),
            Err(failure) => {
                context.console.complain(&failure);
                Ok(exit.worse(failure.exit))
            }
        }
    }
}

/// The instruction of each layer, as far as the images' own histories tell.
fn made_by(a: &Config, b: &Config) -> Vec<Option<InstructionRef>> {
    let (a, b) = (a.made_by(), b.made_by());
    let of = |texts: &[Option<String>], layer: usize| texts.get(layer).cloned().flatten();
    let either = |layer| of(&a, layer).or_else(|| of(&b, layer));
    (0..a.len().max(b.len())).map(|layer| Some(InstructionRef { line: None, text: either(layer)? })).collect()
}

/// What an image has of the base that its provenance, whoever wrote it, names: the digests of the layers decide.
async fn inherited(ports: &Ports, image: &Base) -> Option<view::OfBase> {
    let layers = lineage::digests(&image.image.manifest);
    let (base, layers) = lineage::inherited(ports, &image.name, image.manifest.digest, &layers).await?;
    Some(view::OfBase { base, layers })
}

fn answer(
    a: &Base,
    b: &Base,
    inherited: view::Inherited,
    (explained, instructions): (Explained, Vec<Option<InstructionRef>>),
) -> view::Diff {
    let images = view::Images {
        a: a.name.at(a.manifest.digest).to_string(),
        b: b.name.at(b.manifest.digest).to_string(),
    };
    let ids = |base: &Base| -> Vec<report::LayerId> {
        let layers = base.image.manifest.layers().iter().zip(base.image.config.diff_ids());
        layers.map(|(layer, diff_id)| report::LayerId { digest: layer.digest, diff_id: *diff_id }).collect()
    };
    let (a, b) = (ids(a), ids(b));
    let layers = (0..a.len().max(b.len())).map(|index| {
        let (original, rebuilt) = (a.get(index).copied(), b.get(index).copied());
        let instruction = instructions.get(index).cloned().flatten();
        report::LayerPair { index, instruction, original, rebuilt, equal: original == rebuilt }
    });
    view::Diff {
        schema: "reprov.diff/v1",
        images,
        verdict: explained.verdict,
        inherited,
        layers: layers.collect(),
        config: explained.config,
        drifts: explained.drifts,
    }
}
