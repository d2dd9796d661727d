//! `reprov diff`.

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    ignore::Ignore,
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
    report::{self, diff as view},
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
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let ports = context.ports(context.console.job("diff"))?;
        let name = |text: &str| image_name("", text);
        let a = bases::fetch(&ports, &name(&self.a)?, &self.platform).await?;
        let b = bases::fetch(&ports, &name(&self.b)?, &self.platform).await?;
        let inherited = view::Inherited { a: inherited(&ports, &a).await, b: inherited(&ports, &b).await };
        let (store, one, two) = (ports.store.clone(), a.image.clone(), b.image.clone());
        let compared = compute::run(move || {
            let comparison = diff::images(&store, &one, &two)?;
            let [a, b] = [&one, &two].map(|image| made_by(&image.config));
            let instructions = comparison.by_pair(&a, &b);
            let context = drift::Context { instructions, ..drift::Context::default() };
            Ok::<_, diff::DiffError>(drift::explain(&comparison, &context))
        });
        let mut explained = compared.await.map_err(Failure::unavailable)?;
        accepted::mark(ports.progress.as_ref(), &mut explained.drifts, &self.ignore.acceptances());
        let exit = if explained.verdict == Verdict::Reproduced { Exit::Ok } else { Exit::Findings };
        let mut answer = answer(&a, &b, inherited, explained);
        answer.leave_out_bases();
        context.console.answer(&answer, &answer.text());
        Ok(exit)
    }
}

/// The instruction of each layer, as far as the image's own history tells.
fn made_by(config: &Config) -> Vec<Option<InstructionRef>> {
    let made_by = config.made_by().into_iter();
    made_by.map(|text| text.map(|text| InstructionRef { line: None, text })).collect()
}

/// What an image has of the base that its provenance, whoever wrote it, names: the digests of the layers decide.
async fn inherited(ports: &Ports, image: &Base) -> Option<view::OfBase> {
    let layers = lineage::digests(&image.image.manifest);
    let (base, layers) = lineage::inherited(ports, &image.name, image.manifest.digest, &layers).await?;
    Some(view::OfBase { base, layers })
}

fn answer(a: &Base, b: &Base, inherited: view::Inherited, explained: Explained) -> view::Diff {
    let ids = |base: &Base| -> Vec<report::LayerId> {
        let layers = base.image.manifest.layers().iter().zip(base.image.config.diff_ids());
        layers.map(|(layer, diff_id)| report::LayerId { digest: layer.digest, diff_id: *diff_id }).collect()
    };
    let (a, b) = (ids(a), ids(b));
    let layers = explained.layers.iter().enumerate().map(|(index, [one, other])| {
        let of = |ids: &[report::LayerId], at: &Option<usize>| at.and_then(|at| ids.get(at).copied());
        let (original, rebuilt) = (of(&a, one), of(&b, other));
        report::LayerPair { index, instruction: None, original, rebuilt, equal: original == rebuilt }
    });
    view::Diff {
        schema: "reprov.diff/v1",
        verdict: explained.verdict,
        inherited,
        layers: layers.collect(),
        config: explained.config,
        drifts: explained.drifts,
    }
}
