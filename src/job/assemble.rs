//! From what the engine made to the image that is pushed: canonical layers, config and history, and one layer for each
//! instruction that makes one (BUILDROOT.md §9.2–9.4, WIRE.md §6).

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bstr::{BStr, BString};
use rustix::fs::{Mode, OFlags};
use serde_json::{Map, Value, json};

use super::plan::Link;
use crate::{
    dockerfile::{Keyword, Layer, Step},
    layer::{
        Around, Entry, Index, Kind, Layer as Entries, LayerError, Lower, Patches, Profile, Reading,
        RuleCount, walk, write,
    },
    model::{Descriptor, DiffId, json, limits, names, rfc3339},
    oci::{Config, Image, manifest_bytes},
    store::{Store, StoreError},
};

/// Why the engine's result cannot become an image.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A file of the engine's output.
    #[error("cannot read the engine's result `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its manifest or config.
    #[error("the engine's result is not an image")]
    Image(#[from] crate::oci::OciError),
    /// One of its layers.
    #[error("layer of `{instruction}`")]
    Layer {
        /// Whose.
        instruction: String,
        /// Why.
        source: LayerError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's layers are not those of the instructions.
    #[error(
        "the engine made {found} layers for {expected} instructions that make one; this engine is not understood"
    )]
    Layers {
        /// By the Dockerfile.
        expected: usize,
        /// By the engine.
        found: usize,
    },
    /// It did not say what it built.
    #[error("the engine wrote no image id")]
    Id,
    /// The engine built on another base than it was given.
    #[error("the engine did not build on the base it was given")]
    Base,
}

/// A finished image, all of it in the store.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// Manifest, config and their digests.
    pub image: Image,
    /// Descriptor of the manifest.
    pub manifest: Descriptor,
    /// For each layer, the instruction that made it; none for the base's.
    pub instructions: Vec<Option<(u32, String)>>,
    /// Applications of the profile's rules.
    pub normalized: Vec<RuleCount>,
    /// What the recipe's own drops took, the first of it.
    pub dropped: Vec<BString>,
}

/// What to make an image from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Where blobs are and go.
    pub store: &'a Store,
    /// The engine's config of the result.
    pub config: &'a Config,
    /// The engine's layers above the base, uncompressed, lowest first.
    pub files: &'a [PathBuf],
    /// The base the first of `chain` stands on and what its layers hold, if not `scratch`.
    pub base: Option<(&'a Image, &'a Lower)>,
    /// The instructions from that base to the result, through all stages between.
    pub chain: &'a [Link],
    /// Times later than this are clamped to it.
    pub epoch_s: i64,
    /// Rules for layers made by RUN.
    pub profile: &'a Profile,
    /// Where the engine mounted something in RUN steps.
    pub mounts: &'a BTreeSet<BString>,
}

/// Makes the image.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(parts: &Parts<'_>) -> Result<Assembled, AssembleError> {
    let mut work = Work::on(parts);
    if parts.config.diff_ids().get(..work.diff_ids.len()) != Some(&work.diff_ids[..]) {
        return Err(AssembleError::Base);
    }
    let expected = parts.chain.iter().filter(|link| link.step.layer == Layer::Always).count();
    if parts.files.len() != expected {
        return Err(AssembleError::Layers { expected, found: parts.files.len() });
    }
    let mut own = parts.files.iter();
    for link in parts.chain {
        let step = &link.step;
        let made = match &step.layer {
            Layer::Always => own.next().map(|file| work.instruction(link, file)).transpose()?,
            Layer::WorkdirMaybe(path) => work.directory(step, path)?,
            Layer::None => None,
        };
        work.note(step, made);
    }
    work.finish(parts.config)
}

/// Opens a file of the engine's result: the cage wrote it, so neither it nor its directory may be a link to elsewhere.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let dir = path.parent().map(std::fs::symlink_metadata).transpose()?;
    if !dir.is_some_and(|dir| dir.is_dir()) {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The config that the engine wrote to `path`.
pub(super) fn read_config(path: &Path) -> Result<Config, AssembleError> {
    let bytes = open(path)
        .and_then(|file| limits::read_bounded(file, limits::CONFIG_SIZE_BYTES_MAX, "engine's result"));
    let bytes = bytes.map_err(|source| AssembleError::Read { path: path.to_owned(), source })?;
    Ok(Config::parse(&bytes)?)
}

/// Says which instruction's layer it is that fails.
fn of(step: &Step) -> impl Fn(LayerError) -> AssembleError + Copy {
    |source| AssembleError::Layer { instruction: step.text.clone(), source }
}

/// The caches that a symbolic link of any of the engine's layers leads into: such a cache is more than one.
fn reached(parts: &Parts<'_>, step: &Step) -> Result<BTreeSet<BString>, AssembleError> {
    let mut reached = BTreeSet::new();
    for path in parts.files {
        let file = open(path).map_err(|source| AssembleError::Read { path: path.clone(), source })?;
        let each = |entry: Entry| {
            reached.extend(parts.profile.reached(&entry));
            Ok(())
        };
        walk(BufReader::with_capacity(1 << 20, file), Reading::Strict, |_, _| {}, each).map_err(of(step))?;
    }
    Ok(reached)
}

struct Work<'a> {
    parts: &'a Parts<'a>,
    lower: Lower,
    layers: Vec<Descriptor>,
    diff_ids: Vec<DiffId>,
    history: Vec<Value>,
    instructions: Vec<Option<(u32, String)>>,
    normalized: Vec<RuleCount>,
    dropped: Vec<BString>,
    /// Caches that links of the image lead into; nothing if that was not asked yet.
    reached: Option<BTreeSet<BString>>,
}

type Made = (Descriptor, DiffId);

impl<'a> Work<'a> {
    /// Starts on the base: its layers pass through byte for byte.
    fn on(parts: &'a Parts<'a>) -> Self {
        let (base, lower) = parts.base.unzip();
        let layers = base.map(|base| base.manifest.layers().iter().map(oci_layer).collect());
        Self {
            parts,
            lower: lower.cloned().unwrap_or_default(),
            instructions: base.map(|base| vec![None; base.manifest.layers().len()]).unwrap_or_default(),
            layers: layers.unwrap_or_default(),
            diff_ids: base.map(|base| base.config.diff_ids().to_vec()).unwrap_or_default(),
            history: base.map(|base| base.config.history().to_vec()).unwrap_or_default(),
            normalized: Vec::new(),
            dropped: Vec::new(),
            reached: None,
        }
    }

    /// The canonical layer of a RUN, COPY or ADD, from the engine's.
    fn instruction(&mut self, link: &Link, path: &Path) -> Result<Made, AssembleError> {
        let step = &link.step;
        let opened = || open(path).map_err(|source| AssembleError::Read { path: path.to_owned(), source });
        let (of, store) = (of(step), self.parts.store);
        let mut entries = Entries::read(BufReader::with_capacity(1 << 20, opened()?), store).map_err(of)?;
        let (mut content, mut patches) = (opened()?, Patches::default());
        if step.keyword == Keyword::Run {
            let mut read = |entry: &Entry| -> io::Result<Box<dyn Read>> {
                let mut file = open(path)?;
                file.seek(SeekFrom::Start(entry.offset))?;
                Ok(Box::new(file.take(entry.size_bytes)))
            };
            let Parts { profile, mounts, epoch_s, .. } = *self.parts;
            if self.reached.is_none() && profile.has_cache(&entries).map_err(of)? {
                self.reached = Some(reached(self.parts, step)?);
            }
            let reached = self.reached.clone().unwrap_or_default();
            let around = Around { lower: &self.lower, mounts, reached: &reached, epoch_s };
            let applied = profile.apply(entries, &around, &mut read, store).map_err(of)?;
            self.count(applied.counts);
            self.dropped.extend(applied.dropped);
            (entries, patches) = (applied.layer, applied.patches);
            self.drop_removed_targets(&mut entries, link).map_err(of)?;
        }
        let entries = self.lower.without_equal(entries, self.parts.epoch_s, store).map_err(of)?;
        self.emit(step, &entries, &mut patches.over(&mut content))
    }

    /// buildah 1.28 removes the targets of a step's `--mount`s after it, also those that the image had: such whiteouts
    /// are the engine's doing (the step cannot remove what is mounted) and would lose files of the image.
    fn drop_removed_targets(&mut self, entries: &mut Entries, link: &Link) -> Result<(), LayerError> {
        let hides_target = |entry: &Entry| {
            let name = entry.name().strip_prefix(b".wh.").unwrap_or_default();
            let dir = &entry.path[..entry.path.len() - entry.name().len()];
            entry.is_whiteout() && link.mounts.contains(&[dir, name].concat()[..])
        };
        let dropped = entries.retain(|entry| !hides_target(entry))?;
        if dropped > 0 {
            self.count(vec![RuleCount { rule: "engine-mount-target".to_owned(), entries: dropped }]);
        }
        Ok(())
    }

    /// A layer for the directory a WORKDIR makes, if it makes one.
    fn directory(&mut self, step: &Step, path: &str) -> Result<Option<Made>, AssembleError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let paths: Vec<String> = (1..=parts.len()).map(|count| parts[..count].join("/")).collect();
        let kinds = self.lower.kinds(paths.iter().map(String::as_bytes)).map_err(of(step))?;
        let mut missing = Vec::new();
        for path in paths {
            match kinds.get(BStr::new(&path)) {
                Some(Kind::Directory) => {}
                Some(_) => return Ok(None), // A link on the way: where it leads is the engine's business.
                None => missing.push(Entry::new(path, Kind::Directory, 0o755, self.parts.epoch_s)),
            }
        }
        if missing.is_empty() {
            return Ok(None);
        }
        let store = self.parts.store;
        let missing = Index::of(missing, store).and_then(|index| index.canonical(store)).map_err(of(step))?;
        self.emit(step, &missing, &mut io::Cursor::new(Vec::new())).map(Some)
    }

    fn emit(
        &mut self,
        step: &Step,
        entries: &Entries,
        content: &mut dyn crate::model::ReadSeek,
    ) -> Result<Made, AssembleError> {
        let mut out = self.parts.store.writer()?;
        let archived = write(entries, content, self.parts.epoch_s, &mut out).map_err(of(step))?;
        let (digest, size_bytes) = out.finish()?;
        self.lower.apply(entries, self.parts.store).map_err(of(step))?;
        Ok((Descriptor::new(names::OCI_LAYER_GZIP, digest, size_bytes), archived.diff_id))
    }

    fn count(&mut self, counts: Vec<RuleCount>) {
        for count in counts {
            match self.normalized.iter_mut().find(|known| known.rule == count.rule) {
                Some(known) => known.entries += count.entries,
                None => self.normalized.push(count),
            }
        }
    }

    /// The instruction's history entry, and its layer.
    fn note(&mut self, step: &Step, made: Option<Made>) {
        let mut entry = json!({"created": rfc3339(self.parts.epoch_s), "created_by": step.created_by});
        match made {
            Some((layer, diff_id)) => {
                self.layers.push(layer);
                self.diff_ids.push(diff_id);
                self.instructions.push(Some((super::plan::line(step.line), step.text.clone())));
            }
            None => entry["empty_layer"] = Value::Bool(true),
        }
        self.history.push(entry);
    }

    fn finish(self, engine: &Config) -> Result<Assembled, AssembleError> {
        let config = json::canonical(&self.config(engine));
        let config_descriptor = Descriptor::of(names::OCI_CONFIG, &config);
        let manifest = manifest_bytes(&config_descriptor, &self.layers, &std::collections::BTreeMap::new());
        self.parts.store.put(&config)?;
        self.parts.store.put(&manifest)?;
        Ok(Assembled {
            image: Image::parse(&manifest, &config)?,
            manifest: Descriptor::of(names::OCI_MANIFEST, &manifest),
            instructions: self.instructions,
            normalized: self.normalized,
            dropped: self.dropped,
        })
    }

    /// The engine's config without what is the engine's own; history and diffIDs are ours.
    fn config(&self, engine: &Config) -> Value {
        let mut top = engine.raw().as_object().cloned().unwrap_or_default();
        for key in ["container", "container_config", "parent", "docker_version", "id"] {
            top.remove(key);
        }
        if let Some(Value::Object(run)) = top.get_mut("config") {
            for key in [
                "Hostname",
                "Domainname",
                "Image",
                "AttachStdin",
                "AttachStdout",
                "AttachStderr",
                "Tty",
                "OpenStdin",
                "StdinOnce",
            ] {
                run.remove(key);
            }
            run.retain(|_, value| !says_nothing(value));
            self.restore_label(run);
        }
        top.insert("created".into(), rfc3339(self.parts.epoch_s).into());
        top.insert("history".into(), Value::Array(self.history.clone()));
        top.insert("rootfs".into(), json!({"type": "layers", "diff_ids": self.diff_ids}));
        Value::Object(top)
    }

    /// The engine marks what it makes with its version; the base's own mark, if any, stays.
    fn restore_label(&self, run: &mut Map<String, Value>) {
        const LABEL: &str = "io.buildah.version";
        let of_base = self.parts.base.and_then(|(base, _)| {
            base.config.raw().pointer("/config/Labels").and_then(|labels| labels.get(LABEL)).cloned()
        });
        let Some(Value::Object(labels)) = run.get_mut("Labels") else { return };
        match of_base {
            Some(value) => drop(labels.insert(LABEL.into(), value)),
            None => drop(labels.remove(LABEL)),
        }
        if labels.is_empty() {
            run.remove("Labels");
        }
    }
}

/// What the engine writes for a key that nobody set; `ENTRYPOINT []` means the same as none.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A base's layer under its OCI media type; the bytes are the same.
fn oci_layer(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        names::DOCKER_LAYER_GZIP => names::OCI_LAYER_GZIP,
        names::DOCKER_LAYER => names::OCI_LAYER,
        other => other,
    };
    Descriptor::new(media_type, layer.digest, layer.size)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "lays out a directory")]
    use super::*;

    #[test]
    fn what_the_cage_wrote_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("out")).unwrap();
        std::fs::write(at("out/file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("out/link")).unwrap();
        std::os::unix::fs::symlink("out", at("linked")).unwrap();
        assert!(open(&at("out/file")).is_ok());
        assert!(open(&at("out/link")).is_err());
        assert!(open(&at("linked/file")).is_err());
        assert!(open(&at("out/none")).is_err());
    }
}
