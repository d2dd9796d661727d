//! `reprov attest`.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    Context, claim,
    failure::{Exit, Failure},
    global::image_name,
    link::LinkArgs,
    sign::SignArgs,
};
use crate::{
    attest::Foreign,
    job::{
        archive::{self, ArchiveName, Form},
        attest::{AttestError, Document, Evidence, Made, Outcome, Platforms, Request, Said, Then, attest},
    },
    model::{Digest, ImageName, limits, names, time::parse_rfc3339},
    report::{Named, attest as view, attested},
};

/// Arguments of `attest`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("attest-evidence").multiple(true))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// The image: HOST/REPOSITORY:TAG or oci:DIR; oci-archive:FILE and docker-archive:FILE with --out or --dry-run. With
    /// --link, an image that is a product of the step
    #[arg(required_unless_present = "link", value_name = "IMAGE")]
    image: Option<String>,
    /// A statement (in-toto v1 or v0.1), signed byte for byte; with --type a bare predicate
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "attest-evidence",
        help_heading = "A statement that exists",
        env = "REPROV_ATTEST_STATEMENT"
    )]
    statement: Option<PathBuf>,
    /// Type of the predicate in --statement: a URI, or one of cosign's names (slsaprovenance1, spdxjson, …)
    #[arg(
        long = "type",
        value_name = "URI|NAME",
        requires = "statement",
        help_heading = "A statement that exists",
        env = "REPROV_ATTEST_TYPE"
    )]
    predicate_type: Option<String>,
    /// Attach it to the image that it names, in IMAGE's repository, whatever IMAGE's tag means now
    #[arg(long, requires = "statement", conflicts_with_all = ["predicate_type", "platform", "all_platforms"], help_heading = "A statement that exists")]
    subject_from_statement: bool,
    /// The commit that it was built from; looked for there, if it can be reached
    #[arg(
        long,
        value_name = "URL@ID",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_COMMIT"
    )]
    commit: Option<String>,
    /// A base image that it was built on
    #[arg(
        long,
        value_name = "IMAGE@DIGEST",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_BASE",
        value_delimiter = '\n'
    )]
    base: Vec<String>,
    /// The image whose programs built it
    #[arg(
        long,
        value_name = "IMAGE@DIGEST",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_BUILDROOT",
        value_delimiter = '\n'
    )]
    buildroot: Vec<String>,
    /// A repository that packages came from, and the digest of its InRelease or repomd.xml
    #[arg(
        long,
        value_name = "URL[=DIGEST]",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_REPO",
        value_delimiter = '\n'
    )]
    repo: Vec<String>,
    /// A log of the build; kept beside the image
    #[arg(
        long,
        value_name = "FILE",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_LOG",
        value_delimiter = '\n'
    )]
    log: Vec<PathBuf>,
    /// The Dockerfile that it was built by; kept beside the image
    #[arg(
        long,
        value_name = "FILE",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_DOCKERFILE"
    )]
    dockerfile: Option<PathBuf>,
    /// Something else that went in: a file, of which the digest is taken, or a URI and a digest
    #[arg(
        long,
        value_name = "FILE|URI=DIGEST",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_MATERIAL",
        value_delimiter = '\n'
    )]
    material: Vec<String>,
    /// A build argument
    #[arg(
        long,
        value_name = "NAME=VALUE",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_BUILD_ARG",
        value_delimiter = '\n'
    )]
    build_arg: Vec<String>,
    /// When the build began (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time, group = "attest-evidence", help_heading = "Evidence, made into SLSA provenance", env = "REPROV_ATTEST_STARTED")]
    started: Option<i64>,
    /// When it ended (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time, group = "attest-evidence", help_heading = "Evidence, made into SLSA provenance", env = "REPROV_ATTEST_FINISHED")]
    finished: Option<i64>,
    /// Provenance of BuildKit, Tekton Chains, GitHub, slsa-github-generator or OBS: statement, envelope, bundle or
    /// predicate; kept beside the image, its signature is not looked at
    #[arg(
        long,
        value_name = "FILE",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_FROM_PROVENANCE",
        value_delimiter = '\n'
    )]
    from_provenance: Vec<PathBuf>,
    /// koji's content-generator metadata; kept beside the image
    #[arg(
        long,
        value_name = "FILE",
        group = "attest-evidence",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_KOJI",
        value_delimiter = '\n'
    )]
    koji: Vec<PathBuf>,
    /// What the image itself carries: BuildKit's provenance in its index, labels of OSBS and others
    #[arg(long, group = "attest-evidence", help_heading = "Evidence, made into SLSA provenance")]
    from_image: bool,
    /// builder.id: who vouches for the build. Without it nobody does
    #[arg(long, value_name = "URI", default_value = names::BUILDER_ATTESTED, env = "REPROV_ATTEST_BUILDER_ID", help_heading = "Evidence, made into SLSA provenance")]
    builder_id: String,
    /// A program of that builder, and its version
    #[arg(
        conflicts_with = "statement",
        long,
        value_name = "NAME=VERSION",
        help_heading = "Evidence, made into SLSA provenance",
        env = "REPROV_ATTEST_BUILDER_VERSION",
        value_delimiter = '\n'
    )]
    builder_version: Vec<String>,
    /// Which image of an index
    #[arg(long, value_name = "OS/ARCH", env = "REPROV_ATTEST_PLATFORM")]
    platform: Option<String>,
    /// Every image of an index, and the index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    #[command(flatten)]
    sign: SignArgs,
    /// Add the statement to cosign 2's attachment (sha256-HEX.att) too
    #[arg(long)]
    legacy: bool,
    /// Write the signed bundle to this file instead of attaching it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["legacy", "all_platforms"], env = "REPROV_ATTEST_OUT")]
    out: Option<PathBuf>,
    /// Print the statement; sign and attach nothing
    #[arg(long, conflicts_with_all = ["legacy", "out"])]
    dry_run: bool,
    #[command(flatten)]
    link: LinkArgs,
}

fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| "not a time as RFC 3339 writes it (2026-11-30T09:00:00Z)".to_owned())
}

/// An image, and the directory it was unpacked to for as long as it is needed.
type Place = (ImageName, Option<archive::Unpacked>);

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        if self.link.wanted() {
            return self.link.run(context, self.image.as_deref(), &self.sign, self.out.as_deref()).await;
        }
        match self.tried(context).await {
            Err(failure) if matches!(failure.exit, Exit::Findings | Exit::Unavailable) => {
                context.console.complain(&failure);
                context.console.answer(&view::Attest::failed(failure.messages().join(": ")), "");
                Ok(failure.exit)
            }
            tried => tried,
        }
    }

    async fn tried(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let said = self.said(context)?;
        let key = if self.dry_run { None } else { self.sign.signer()? };
        if key.is_none() && !self.dry_run {
            let text = "nobody signs: name a key with --key FILE, or look first with --dry-run";
            return Err(Failure::usage_text(text.to_owned()));
        }
        let ports = context.ports(context.console.job("attest"))?;
        let (image, unpacked) = self.place(context, &ports.store).await?;
        let request = Request {
            image,
            platforms: match (&self.platform, self.all_platforms) {
                (Some(platform), _) => Platforms::One(platform.clone()),
                (None, true) => Platforms::All,
                (None, false) => Platforms::Named,
            },
            said,
            subject_from_statement: self.subject_from_statement,
            key,
            legacy: self.legacy,
            then: match (self.dry_run, &self.out) {
                (true, _) => Then::Nothing,
                (false, Some(_)) => Then::Bundle,
                (false, None) => Then::Attach,
            },
        };
        let outcome = attest(&ports, &request).await?;
        drop(unpacked);
        if let Some(path) = &self.out {
            write(path, &outcome)?;
        }
        for warning in &outcome.warnings {
            context.console.warn(warning);
        }
        let answer = self.answer(&outcome);
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }

    /// As it is written; without --link there is one.
    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or_default()
    }

    /// Where the image is; an archive is unpacked, and can only be read.
    async fn place(&self, context: &Context<'_>, store: &crate::store::Store) -> Result<Place, Failure> {
        let Some(name) = ArchiveName::parse(self.image()) else {
            return Ok((image_name("", self.image())?, None));
        };
        if self.out.is_none() && !self.dry_run {
            let text = format!("`{}` can only be read: name a file for the bundle with --out", self.image());
            return Err(Failure::usage_text(text));
        }
        if name.form == Form::Docker {
            context.console.warn(
                "a docker archive has no manifest: the statement is about the one that reprov made of it, and a \
                 registry that it is pushed to by others will have another",
            );
        }
        let store = store.clone();
        let unpacked = tokio::task::spawn_blocking(move || archive::unpack(&store, &name)).await;
        let unpacked = unpacked.map_err(Failure::internal)?.map_err(Failure::usage)?;
        Ok((unpacked.name(), Some(unpacked)))
    }

    fn said(&self, context: &Context<'_>) -> Result<Said, Failure> {
        let Some(path) = &self.statement else {
            return Ok(Said::Evidence(Box::new(self.evidence(context)?)));
        };
        if self.builder_id != names::BUILDER_ATTESTED {
            context
                .console
                .warn("--builder-id says nothing here: a statement that exists is signed as it is");
        }
        let file = std::fs::File::open(path);
        let bytes = file
            .and_then(|file| limits::read_bounded(file, limits::STATEMENT_SIZE_BYTES_MAX + 1, "a statement"));
        let hint = || format!("--statement {}", path.display());
        let bytes = bytes.map_err(|error| Failure::usage(error).hint(hint()))?;
        let foreign = Foreign::read(&bytes, self.predicate_type.as_deref());
        Ok(Said::Foreign(foreign.map_err(|error| Failure::usage(error).hint(hint()))?))
    }

    fn evidence(&self, context: &Context<'_>) -> Result<Evidence, Failure> {
        let documents = self.from_provenance.iter().chain(&self.koji);
        let documents: Vec<_> = documents.map(|path| Document { path: path.clone() }).collect();
        let files = documents.len() + self.log.len() + self.material.len();
        if files > limits::EVIDENCE_FILES_MAX {
            let most = limits::EVIDENCE_FILES_MAX;
            return Err(Failure::usage_text(format!("{files} files of evidence are more than {most}")));
        }
        let images = |flag: &str, names: &[String]| -> Result<Vec<_>, Failure> {
            names.iter().map(|text| claim::pinned(flag, text)).collect()
        };
        let evidence = Evidence {
            commit: self.commit.as_deref().map(claim::commit).transpose()?,
            bases: images("--base", &self.base)?,
            buildroots: images("--buildroot", &self.buildroot)?,
            repositories: self.repo.iter().map(|text| claim::repository(text)).collect::<Result<_, _>>()?,
            logs: self.log.clone(),
            dockerfile: self.dockerfile.clone(),
            materials: self.material.iter().map(|text| claim::material(text)).collect::<Result<_, _>>()?,
            build_args: claim::pairs("--build-arg", &self.build_arg)?,
            documents,
            from_image: self.from_image,
            started_on_s: self.started,
            finished_on_s: self.finished,
            builder_id: self.builder_id.clone(),
            builder_version: claim::pairs("--builder-version", &self.builder_version)?,
            env: context.global.git_environment()?,
        };
        let anything = evidence.commit.is_some()
            || evidence.dockerfile.is_some()
            || evidence.from_image
            || !(evidence.bases.is_empty() && evidence.buildroots.is_empty())
            || !(evidence.repositories.is_empty() && evidence.logs.is_empty())
            || !(evidence.materials.is_empty() && evidence.build_args.is_empty())
            || !evidence.documents.is_empty();
        if !anything {
            let text = "nothing to attest: hand in a --statement, or evidence such as --commit, --log or --from-image";
            return Err(Failure::usage_text(text.to_owned()));
        }
        Ok(evidence)
    }

    fn answer(&self, outcome: &Outcome) -> view::Attest {
        let mut missing: Vec<_> =
            outcome.subjects.iter().flat_map(|made| made.missing.iter().copied()).collect();
        missing.sort_unstable();
        missing.dedup();
        let name = image_name("", self.image()).map_or_else(
            |_| format!("{}@{}", self.image(), outcome.root), // An archive.
            |name| name.at(outcome.root).to_string(),
        );
        view::Attest {
            schema: "reprov.attest/v1",
            image: Some(name),
            predicate_type: Some(outcome.predicate_type.clone()),
            subjects: outcome.subjects.iter().map(|made| subject(made, self.dry_run)).collect(),
            commit: outcome.checked.as_ref().map(|checked| view::Commit {
                uri: checked.uri.clone(),
                commit: checked.commit.clone(),
                checked: if checked.found { "commit-exists" } else { "unreachable" },
            }),
            missing: attested::missing(&missing),
            dry_run: self.dry_run,
            out: self.out.as_ref().map(|path| path.display().to_string()),
            link: None,
            error: None,
        }
    }
}

fn subject(made: &Made, dry_run: bool) -> view::Subject {
    view::Subject {
        kind: made.kind.name(),
        platform: made.platform.clone(),
        digest: made.digest,
        statement: Named { digest: Digest::of(&made.payload) },
        attestation: made.attached.map(|attached| attached.digest),
        existing: made.attached.is_some_and(|attached| attached.existing),
        evidence: made.attached.and_then(|attached| attached.evidence),
        legacy: made.attached.and_then(|attached| attached.legacy),
        sources: made.evidence.iter().map(attested::Evidence::from).collect(),
        missing: attested::missing(&made.missing),
        body: if dry_run { serde_json::from_slice(&made.payload).ok() } else { None },
    }
}

/// Writes the bundle, whole or not at all; another file that is there stays.
fn write(path: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let bundles: Vec<_> = outcome.subjects.iter().filter_map(|made| made.bundle.as_ref()).collect();
    let [bundle] = bundles.as_slice() else {
        let text = "--out takes one bundle, and several images were attested; choose with --platform";
        return Err(Failure::usage_text(text.to_owned()));
    };
    if std::fs::read(path).is_ok_and(|there| there == **bundle) {
        return Ok(());
    }
    let named = |error: std::io::Error| Failure::unavailable(error).hint(format!("--out {}", path.display()));
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".reprov-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(named)?;
    file.write_all(bundle).map_err(named)?;
    file.persist_noclobber(path).map(drop).map_err(|error| named(error.error))
}

impl From<AttestError> for Failure {
    fn from(error: AttestError) -> Self {
        match &error {
            AttestError::Foreign { .. } => Self::findings(error).hint(
                "a statement is attached only to what it names; --subject-from-statement takes that from it"
                    .to_owned(),
            ),
            AttestError::NoCommit { .. }
            | AttestError::NotACommit { .. }
            | AttestError::Assemble(_)
            | AttestError::Nothing(_) => Self::findings(error),
            AttestError::File { .. }
            | AttestError::Adapter { .. }
            | AttestError::Several(_)
            | AttestError::Index { .. }
            | AttestError::Platforms(_)
            | AttestError::Place(..) => Self::usage(error),
            _ => Self::unavailable(error),
        }
    }
}
