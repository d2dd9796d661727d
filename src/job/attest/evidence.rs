//! Everything that flags name, read once; and for each manifest the pieces that are about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde_json::json;

use super::{AttestError, Draft, Request, Taken, Target, Targets, draft, inside, once, take};
use crate::{
    attest::{
        ClaimedRepository, ClaimedSource, Names, SubjectKind,
        adapters::{self, Claims, public},
        assemble::{Frame, Piece, assemble},
    },
    host,
    job::Ports,
    model::{
        Digest, ImageName, ResourceDescriptor,
        limits::{
            BUNDLE_SIZE_BYTES_MAX, DOCKERFILE_SIZE_BYTES_MAX, LOG_SIZE_BYTES_MAX, MATERIAL_SIZE_BYTES_MAX,
        },
        names::{JSON, LOG, OCTETS},
        reference,
    },
    progress::Update,
    source::{Checkout, Options, SourceError, remote_uri},
};

/// Longest wait for git when a commit is looked at.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(2);

/// What a statement is put together from, as the caller names it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// `--commit`.
    pub commit: Option<Commit>,
    /// `--base`, by digest.
    pub bases: Vec<ImageName>,
    /// `--buildroot`, by digest.
    pub buildroots: Vec<ImageName>,
    /// `--repo`.
    pub repositories: Vec<ClaimedRepository>,
    /// `--log`.
    pub logs: Vec<PathBuf>,
    /// `--dockerfile`.
    pub dockerfile: Option<PathBuf>,
    /// `--material`.
    pub materials: Vec<Material>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// Documents of other builders.
    pub documents: Vec<Document>,
    /// `--from-image`: what the image itself carries.
    pub from_image: bool,
    /// `--started`, seconds since 1970.
    pub started_on_s: Option<i64>,
    /// `--finished`, seconds since 1970.
    pub finished_on_s: Option<i64>,
    /// `builder.id`.
    pub builder_id: String,
    /// `--builder-version`.
    pub builder_version: BTreeMap<String, String>,
    /// What `git` is given of the environment.
    pub env: Vec<(String, String)>,
}

/// A commit as the caller names it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// A URL or a directory.
    pub place: String,
    /// 40 or 64 hex digits.
    pub commit: String,
}

/// A material.
#[derive(Debug, Clone)]
pub enum Material {
    /// A file, of which only the digest is taken.
    File(PathBuf),
    /// Something elsewhere, by digest.
    Named {
        /// Where.
        uri: String,
        /// Algorithm.
        algorithm: String,
        /// Hex digits.
        hex: String,
    },
}

/// A document of another builder.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file.
    pub path: PathBuf,
}

/// A commit that was looked for.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its repository, as it is recorded.
    pub uri: Option<String>,
    /// Its id.
    pub commit: String,
    /// Whether it is there; false: nobody could tell.
    pub found: bool,
}

/// A document that was read.
struct Read {
    taken: Taken,
    claims: Vec<Claims>,
    /// Whether it was about anything here.
    used: bool,
}

/// What is said of one manifest, what of it is kept, and what names that.
struct Said {
    pieces: Vec<Piece>,
    kept: Vec<(Taken, &'static str)>,
    byproducts: Vec<ResourceDescriptor>,
}

/// All that was read.
pub(super) struct Gathered {
    caller: Claims,
    documents: Vec<Read>,
    kept: Vec<(Taken, &'static str)>,
    byproducts: Vec<ResourceDescriptor>,
    pub(super) checked: Option<Checked>,
    pub(super) warnings: Vec<String>,
}

impl Gathered {
    /// Reads files, each once, and looks for the commit.
    pub(super) async fn read(ports: &Ports, evidence: &Evidence) -> Result<Self, AttestError> {
        let mut gathered = Self {
            caller: Claims::of("caller"),
            documents: Vec::new(),
            kept: Vec::new(),
            byproducts: Vec::new(),
            checked: None,
            warnings: Vec::new(),
        };
        gathered.files(ports, evidence)?;
        gathered.named(evidence);
        if let Some(commit) = &evidence.commit {
            gathered.commit(ports, commit, evidence.env.clone()).await?;
        }
        Ok(gathered)
    }

    fn files(&mut self, ports: &Ports, evidence: &Evidence) -> Result<(), AttestError> {
        let store = &ports.store;
        for path in &evidence.logs {
            let taken = take::keep(store, path, LOG_SIZE_BYTES_MAX)?;
            self.byproducts.push(byproduct("log", LOG, &taken, "caller"));
            self.kept.push((taken, LOG));
        }
        if let Some(path) = &evidence.dockerfile {
            let taken = take::keep(store, path, DOCKERFILE_SIZE_BYTES_MAX)?;
            self.caller.depend("dockerfile", "bytes", file(&taken));
            self.kept.push((taken, OCTETS));
        }
        for material in &evidence.materials {
            match material {
                Material::File(path) => {
                    let taken = take::digest(path, MATERIAL_SIZE_BYTES_MAX)?;
                    self.caller.depend("material", "bytes", file(&taken));
                }
                Material::Named { uri, algorithm, hex } => {
                    let digest = BTreeMap::from([(algorithm.clone(), hex.clone())]);
                    let uri = uri.clone();
                    let named = ResourceDescriptor { uri, digest, ..ResourceDescriptor::default() };
                    self.caller.depend("material", "no", named);
                }
            }
        }
        for document in &evidence.documents {
            let taken = take::keep(store, &document.path, BUNDLE_SIZE_BYTES_MAX)?;
            let bytes = store.read(&taken.digest, BUNDLE_SIZE_BYTES_MAX)?;
            let failed = |source| AttestError::Adapter { what: document.path.display().to_string(), source };
            let claims = adapters::read(&bytes).map_err(failed)?;
            self.documents.push(Read { taken, claims, used: false });
        }
        Ok(())
    }

    /// What flags say without any file.
    fn named(&mut self, evidence: &Evidence) {
        let images = [("base", &evidence.bases), ("buildroot", &evidence.buildroots)];
        for (role, name) in
            images.into_iter().flat_map(|(role, names)| names.iter().map(move |name| (role, name)))
        {
            let digest = name.selector.digest.map(|digest| ("sha256".to_owned(), digest.hex()));
            let uri = reference::uri(name);
            let named = ResourceDescriptor {
                uri,
                digest: digest.into_iter().collect(),
                ..ResourceDescriptor::default()
            };
            self.caller.depend(role, "no", named);
        }
        self.caller.repositories.clone_from(&evidence.repositories);
        self.caller.build_args.clone_from(&evidence.build_args);
        (self.caller.started_on_s, self.caller.finished_on_s) =
            (evidence.started_on_s, evidence.finished_on_s);
    }

    /// Looks whether the commit is there; that it could not be looked at is recorded, and told.
    async fn commit(
        &mut self,
        ports: &Ports,
        named: &Commit,
        env: Vec<(String, String)>,
    ) -> Result<(), AttestError> {
        ports.progress.update(Update::Phase("commit", &named.commit));
        let (inner, wanted) = (ports.clone(), named.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let options = Options {
                store: &inner.store,
                now_s: host::now_s(),
                allow_dirty: false,
                env,
                timeout: COMMIT_TIMEOUT,
                cancel: inner.cancel.clone(),
            };
            Checkout::open(&wanted.place, &wanted.commit, &options)
                .map(|checkout| (checkout.commit(), checkout.uri().map(str::to_owned)))
        });
        let looked = looking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let place = remote_uri(&named.place);
        let (uri, found) = match looked {
            Ok((commit, uri)) if commit == named.commit => (uri.or(place), true),
            // An id that git reads as another revision, an annotated tag's for one.
            Ok((actual, _)) => {
                let commit = named.commit.clone();
                return Err(AttestError::NotACommit { commit, actual: actual.clone() });
            }
            Err(SourceError::Rev { rev, place, source }) => {
                let (commit, place_shown) = (named.commit.clone(), place.clone());
                let source = SourceError::Rev { rev, place, source };
                return Err(AttestError::NoCommit { commit, place: place_shown, source });
            }
            Err(error @ SourceError::Io { .. }) if place.is_none() => {
                return Err(AttestError::Place(public(&named.place), error));
            }
            Err(error) if error.unavailable() => {
                let why = crate::job::evidence::chain(&error);
                self.warnings.push(format!(
                    "whether commit {} exists was NOT checked, and the statement says so: {why}",
                    named.commit
                ));
                (place, false)
            }
            Err(error) => return Err(AttestError::Place(public(&named.place), error)),
        };
        let commit = named.commit.clone();
        let source = ClaimedSource { uri: uri.clone(), commit: Some(commit.clone()), reference: None };
        self.caller.built_from(source, if found { "commit-exists" } else { "unreachable" });
        self.checked = Some(Checked { uri, commit, found });
        Ok(())
    }

    /// A draft for each target; none for one that no evidence is about.
    pub(super) async fn drafts(
        &mut self,
        ports: &Ports,
        request: &Request,
        evidence: &Evidence,
        targets: &Targets,
    ) -> Result<Vec<Option<Draft>>, AttestError> {
        let mut drafts = Vec::new();
        for target in &targets.all {
            let Said { mut pieces, mut kept, mut byproducts } = self.pieces(target)?;
            if evidence.from_image && target.kind == SubjectKind::Manifest {
                for found in inside::look(ports, &request.image, target).await? {
                    if let Some(taken) = found.document {
                        byproducts.push(byproduct("evidence", JSON, &taken, &found.piece.claims.kind));
                        kept.push((taken, JSON));
                    }
                    pieces.push(found.piece);
                }
            }
            if pieces.is_empty() && target.kind == SubjectKind::Manifest {
                drafts.push(None);
                continue;
            }
            let frame = Frame {
                subject: target.kind,
                platform: target.platform.clone(),
                platforms: target.platforms.clone(),
                builder_id: evidence.builder_id.clone(),
                builder_version: evidence.builder_version.clone(),
                byproducts,
            };
            let assembled = assemble(&pieces, frame)?;
            self.warnings.extend(assembled.passed_over.iter().cloned());
            drafts.push(Some(draft(ports, &request.image, target, assembled, once(kept))?));
        }
        self.all_used(targets)?;
        if drafts.iter().zip(&targets.all).all(|(draft, target)| {
            draft.is_none() || target.kind == SubjectKind::Index && targets.all.len() > 1
        }) {
            return Err(AttestError::Nothing(request.image.to_string()));
        }
        Ok(drafts)
    }

    /// A document that is about none of the targets is about something else.
    fn all_used(&self, targets: &Targets) -> Result<(), AttestError> {
        let Some(unused) = self.documents.iter().find(|document| !document.used) else { return Ok(()) };
        let named: BTreeSet<_> =
            unused.claims.iter().flat_map(|claims| claims.subjects.iter().copied()).collect();
        Err(AttestError::Foreign {
            what: unused.taken.name.clone(),
            named: named.into_iter().collect(),
            subject: targets.root.to_string(),
        })
    }

    /// What the caller and the documents say of `target`, what of it is kept, and what names that.
    fn pieces(&mut self, target: &Target) -> Result<Said, AttestError> {
        let (mut pieces, mut kept) = (Vec::new(), self.kept.clone());
        let mut byproducts = self.byproducts.clone();
        if self.caller != Claims::of("caller") || !self.byproducts.is_empty() {
            pieces.push(Piece { claims: self.caller.clone(), digest: None, names: Names::Nothing });
        }
        for document in &mut self.documents {
            let Some((claims, names)) = about(&document.claims, target, &document.taken.name)? else {
                continue;
            };
            document.used = true;
            byproducts.push(byproduct("evidence", JSON, &document.taken, &claims.kind));
            kept.push((document.taken.clone(), JSON));
            pieces.push(Piece { claims: claims.clone(), digest: Some(document.taken.digest), names });
        }
        Ok(Said { pieces, kept, byproducts })
    }
}

/// The provenance that is about `target`: one that names it, else one that names its index, else one that names
/// nothing.
fn about<'a>(
    claims: &'a [Claims],
    target: &Target,
    what: &str,
) -> Result<Option<(&'a Claims, Names)>, AttestError> {
    let names = |digest: Option<Digest>| {
        claims.iter().filter(move |claims| digest.is_some_and(|digest| claims.subjects.contains(&digest)))
    };
    let direct: Vec<_> = names(Some(target.descriptor.digest)).collect();
    let by_index: Vec<_> = names(target.index).collect();
    let unnamed: Vec<_> = claims.iter().filter(|claims| claims.subjects.is_empty()).collect();
    for (found, names) in [(direct, Names::Subject), (by_index, Names::Index), (unnamed, Names::Nothing)] {
        match found.as_slice() {
            [] => {}
            [only] => return Ok(Some((only, names))),
            _ => return Err(AttestError::Several(what.to_owned())),
        }
    }
    Ok(None)
}

/// What is kept beside the image, as a statement names it.
fn byproduct(name: &str, media_type: &str, taken: &Taken, by: &str) -> ResourceDescriptor {
    let annotations = json!({"file": taken.name, "size": taken.size_bytes, "by": by});
    ResourceDescriptor {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), taken.digest.hex())]),
        annotations: annotations.as_object().cloned().unwrap_or_default(),
        ..ResourceDescriptor::default()
    }
}

fn file(taken: &Taken) -> ResourceDescriptor {
    ResourceDescriptor {
        name: taken.name.clone(),
        digest: BTreeMap::from([("sha256".to_owned(), taken.digest.hex())]),
        ..ResourceDescriptor::default()
    }
}
