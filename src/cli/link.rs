//! `reprov attest --link`.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    sign::SignArgs,
};
use crate::{
    attest::Form,
    job::link::{LinkError, Request, link},
    report::attest as view,
};

const HEADING: &str = "A step of a supply chain, made into an in-toto link";

/// Flags of a link.
#[derive(Debug, clap::Args)]
pub(super) struct LinkArgs {
    /// Run COMMAND as this step, and sign which files went in and which came out: STEP.KEYID8.link, or --out
    #[arg(
        long,
        value_name = "STEP",
        conflicts_with_all = ["statement", "attest-evidence", "platform", "all_platforms", "legacy", "dry_run", "builder_id", "builder_version"],
        help_heading = HEADING
    )]
    link: Option<String>,
    /// Files and directories that go into the step
    #[arg(short, long, value_name = "PATH", num_args = 1.., requires = "link", help_heading = HEADING)]
    materials: Vec<PathBuf>,
    /// Files and directories that come out of it
    #[arg(short, long, value_name = "PATH", num_args = 1.., requires = "link", help_heading = HEADING)]
    products: Vec<PathBuf>,
    /// How the link is signed
    #[arg(long, value_enum, default_value = "classic", requires = "link", help_heading = HEADING)]
    form: LinkForm,
    /// What is run, behind `--`; without it the files are looked at, and nothing is run
    #[arg(last = true, value_name = "COMMAND", requires = "link")]
    command: Vec<String>,
}

/// Forms of a link.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LinkForm {
    /// in-toto's own, signatures beside the link
    Classic,
    /// A DSSE envelope
    Dsse,
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::unavailable(error) }
    }
}

impl LinkArgs {
    pub(super) fn wanted(&self) -> bool {
        self.link.is_some()
    }

    pub(super) async fn run(
        &self,
        context: &Context<'_>,
        image: Option<&str>,
        sign: &SignArgs,
        out: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let Some(key) = sign.signer()? else {
            return Err(Failure::usage_text("nobody signs: name a key with --key FILE".to_owned()));
        };
        let request = Request {
            step: self.link.clone().unwrap_or_default(),
            command: self.command.clone(),
            materials: self.materials.clone(),
            products: self.products.clone(),
            image: image.map(|image| image_name("", image)).transpose()?,
            form: match self.form {
                LinkForm::Classic => Form::Classic,
                LinkForm::Dsse => Form::Dsse,
            },
        };
        let ports = context.ports(context.console.job("link"))?;
        let outcome = link(&ports, &request, &key).await?;
        let path = match out {
            Some(path) if path.is_dir() => path.join(&outcome.file_name),
            Some(path) => path.to_owned(),
            None => PathBuf::from(&outcome.file_name),
        };
        write(&path, &outcome.bytes)?;
        let answer = view::Attest {
            schema: "reprov.attest/v1",
            image: outcome.image.map(|(name, _)| name.to_string()),
            predicate_type: Some("link".to_owned()),
            out: Some(path.display().to_string()),
            link: Some(view::Link {
                step: outcome.link.name,
                command: outcome.link.command,
                materials: outcome.link.materials.len(),
                products: outcome.link.products.len(),
                return_value: outcome.return_value,
                key_id: outcome.key_id,
            }),
            ..view::Attest::default()
        };
        context.console.answer(&answer, &answer.text());
        Ok(if outcome.return_value == 0 { Exit::Ok } else { Exit::Findings })
    }
}

/// Writes it whole, in the place of an older one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let named = |error: std::io::Error| Failure::unavailable(error).hint(path.display().to_string());
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".reprov-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(named)?;
    file.write_all(bytes).map_err(named)?;
    file.persist(path).map(drop).map_err(|error| named(error.error))
}
