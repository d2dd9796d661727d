//! Where an image came from, down to the bottom, and what of it was looked at: for `trace` and for evidence.
//!
//! A part is *verified* if it was looked at here: its statement is signed by who is trusted, as is all above it, and its bytes, where
//! it has some, are there and of the digest that this statement names. What is only said is *claimed*, whoever says it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Ports,
    evidence::{Believed, By, Evidence, Found, Trust, chain, whole},
    source::options,
};
use crate::{
    attest::{Attested, BuildDefinition, Imported, Origin, RunDetails},
    model::{Blobs as _, Digest, ImageName, ResourceDescriptor, limits, names, reference},
    oci::Manifest,
    report::{
        size,
        tree::{Node, State},
    },
    source::{Checkout, Wanted},
    transcript::{Exchange, Transcript},
};

/// Bytes of a log or a kept source that are fetched to be looked at, unless everything is.
const LOOKED_SIZE_BYTES_MAX: u64 = 64 << 20;

/// How far to look.
#[derive(Debug, Clone)]
pub struct Looking {
    /// Whose statements count as verified.
    pub trust: Trust,
    /// Name every input.
    pub inputs: bool,
    /// Fetch every input and every blob, however large, and hold it against its digest.
    pub deep: bool,
}

/// The tree below `image`, whose manifest `bytes` were held against its digest.
pub async fn tree(ports: &Ports, image: &ImageName, digest: Digest, bytes: &[u8], looking: &Looking) -> Node {
    let mut walk = Walk { ports, looking, seen: BTreeSet::new() };
    let top = Node::new("image", image.to_string(), State::Verified, "its manifest has this digest")
        .digest(digest.to_string());
    let trusted = looking.trust.is_particular();
    walk.image(top, image, digest, Some(bytes.to_vec()), trusted, limits::LINEAGE_DEPTH_MAX).await
}

struct Walk<'a> {
    ports: &'a Ports,
    looking: &'a Looking,
    seen: BTreeSet<Digest>,
}

/// One image whose statement was found.
struct Place<'a> {
    image: &'a ImageName,
    evidence: &'a Evidence,
    /// All from the top down to its statement was signed by who is trusted.
    vouched: bool,
    depth: usize,
}

impl Walk<'_> {
    /// `node` with all that is below it.
    async fn image(
        &mut self,
        mut node: Node,
        image: &ImageName,
        digest: Digest,
        manifest: Option<Vec<u8>>,
        trusted: bool,
        depth: usize,
    ) -> Node {
        if !self.seen.insert(digest) {
            node.why.push_str("; what is below it stands above");
            return node;
        }
        if depth == 0 {
            node.why.push_str("; what is below it is not looked for");
            return node;
        }
        let evidence = match Evidence::gather(self.ports, image, digest).await {
            Ok(evidence) => evidence,
            Err(error) => {
                node.children.push(Node::new("provenance", "", State::Missing, chain(&error)));
                return node;
            }
        };
        let trust = if trusted { self.looking.trust.clone() } else { Trust::AnyoneUnsafe };
        let (found, vouched) = match self.believed(&evidence, &trust).await {
            Err(why) if trusted => match self.believed(&evidence, &Trust::AnyoneUnsafe).await {
                Ok(found) => (Ok((found, why)), false),
                Err(_) => (Err(why), false),
            },
            Ok(found) => (Ok((found, String::new())), trusted),
            Err(why) => (Err(why), false),
        };
        match found {
            Err(why) => node.children.push(Node::new("provenance", "", State::Missing, why)),
            Ok((believed, why)) => {
                let place = Place { image, evidence: &evidence, vouched, depth };
                self.origin(&mut node, &believed, &why, &place).await;
                if let Some(layers) = manifest.and_then(|bytes| layers(&bytes)) {
                    node.name = format!("{} ({layers})", node.name);
                }
            }
        }
        node
    }

    async fn believed(&self, evidence: &Evidence, trust: &Trust) -> Result<Believed<Origin>, String> {
        match evidence.provenance(self.ports, trust, None).await {
            Ok(Found::Believed(all)) => Ok(all.into_iter().next().expect("believed is never empty")),
            Ok(Found::Refused(reasons)) => Err(reasons.join("; ")),
            Err(error) => Err(chain(&error)),
        }
    }

    async fn origin(&mut self, node: &mut Node, believed: &Believed<Origin>, why: &str, place: &Place<'_>) {
        let (state, why) = match (place.vouched, why) {
            (true, _) if believed.by == By::Identity => {
                (State::Verified, "signed by a trusted identity, by its certificate".to_owned())
            }
            (true, _) => (State::Verified, "signed by a trusted key".to_owned()),
            (false, "") => (State::Claimed, "no trusted key vouches for it".to_owned()),
            (false, why) => (State::Claimed, why.to_owned()),
        };
        let provenance = Node::new("provenance", "", state, why).digest(believed.referrer.to_string());
        node.children.push(provenance);
        let origin = &believed.provenance;
        node.children.push(Node::new("builder", origin.builder_id(), State::Claimed, said(place.vouched)));
        match origin {
            Origin::Built(built) => {
                let commit = self.commit(&built.definition, place).await;
                node.children.push(commit);
                let buildroot = self.buildroot(&built.definition, place).await;
                node.children.push(buildroot);
                self.inputs(node, &built.definition, &built.run, place).await;
                self.byproducts(node, origin, &["log", "events"], place).await;
                for named in built.definition.role("base") {
                    let base = self.named("base", named, place).await;
                    node.children.push(base);
                }
            }
            Origin::Imported(imported) => {
                node.children.push(rootfs(imported, place.vouched));
                self.byproducts(node, origin, &["packages"], place).await;
            }
            Origin::Attested(said) => {
                node.children.push(attested(said));
                for named in said.role("base") {
                    let base = self.named("base", named, place).await;
                    node.children.push(base);
                }
                // A log that its builder keeps is not beside the image.
                let here = |log: &ResourceDescriptor| {
                    log.sha256().is_some()
                        && log.annotations.get("kept").and_then(Value::as_str) != Some("no")
                };
                let kept = origin.byproduct("log").is_some_and(here);
                self.byproducts(node, origin, if kept { &["log"] } else { &[] }, place).await;
            }
        }
    }

    /// The commit; verified if the source is kept beside the image and holds it.
    async fn commit(&self, definition: &BuildDefinition, place: &Place<'_>) -> Node {
        let source = &definition.external.source;
        let dependency = definition.role("source").next();
        let named = |algorithm: &str| {
            dependency.and_then(|source| source.digest.get(algorithm)).cloned().unwrap_or_default()
        };
        let wanted = Wanted {
            commit: named("gitCommit"),
            tree: named("gitTree"),
            subdir: source.subdir.clone(),
            uri: source.uri.clone(),
        };
        let place_of =
            source.uri.as_deref().map_or_else(|| "on no remote".to_owned(), |uri| format!("of {uri}"));
        let dirty = if source.dirty { " with uncommitted changes" } else { "" };
        let name = format!("{} {place_of}{dirty}, {}", wanted.commit, definition.external.dockerfile);
        let mut node = match self.kept(wanted, place).await {
            Some(Ok(())) => {
                let why = unless_vouched("the source kept beside the image holds it", place.vouched);
                Node::new("commit", name, State::of(true, place.vouched), why)
            }
            Some(Err(why)) => Node::new("commit", name, State::Missing, why),
            None => Node::new("commit", name, State::Claimed, said(place.vouched)),
        };
        node.digest = Some(format!("gitCommit:{}", named("gitCommit")));
        for module in definition.role("submodule") {
            let commit = module.digest.get("gitCommit").cloned().unwrap_or_default();
            let name = format!("{} {commit} of {}", module.name, module.uri);
            node.children.push(Node::new("submodule", name, State::Claimed, said(place.vouched)));
        }
        node
    }

    /// Whether a source kept beside the image holds the commit; none: there is none, or it is not looked at.
    async fn kept(&self, wanted: Wanted, place: &Place<'_>) -> Option<Result<(), String>> {
        let size_bytes_max =
            if self.looking.deep { limits::SOURCE_PACK_SIZE_BYTES_MAX } else { LOOKED_SIZE_BYTES_MAX };
        let packs = place.evidence.of_type(names::SOURCE).filter_map(|artifact| artifact.layers().first());
        let mut broken = None;
        for pack in packs.filter(|pack| pack.size <= size_bytes_max) {
            if let Err(error) = whole(self.ports, place.image, pack).await {
                broken = Some(Err(chain(&error)));
                continue;
            }
            let (ports, wanted, digest) = (self.ports.clone(), wanted.clone(), pack.digest);
            let looked = tokio::task::spawn_blocking(move || {
                let read = ports.store.open(&digest).map_err(|error| error.to_string())?;
                let checkout = Checkout::from_pack(read, &wanted, &options(&ports, false, Vec::new()));
                checkout.map(drop).map_err(|error| chain(&error))
            });
            match looked.await {
                Ok(Ok(())) => return Some(Ok(())),
                Ok(Err(why)) => broken = Some(Err(why)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        broken
    }

    async fn buildroot(&mut self, definition: &BuildDefinition, place: &Place<'_>) -> Node {
        let (engine, runtime) = (&definition.internal.engine, &definition.internal.runtime);
        let tools = format!("{} {}, {} {}", engine.name, engine.version, runtime.name, runtime.version);
        match definition.role("buildroot").next() {
            None => {
                let name = format!("the builder's own machine: {tools}");
                Node::new("buildroot", name, State::Claimed, said(place.vouched))
            }
            Some(named) => {
                let mut node = self.named("buildroot", named, place).await;
                node.name = format!("{}: {tools}", node.name);
                node
            }
        }
    }

    /// An image that the build names.
    async fn named(&mut self, kind: &'static str, named: &ResourceDescriptor, place: &Place<'_>) -> Node {
        let written = named.annotations.get("written").and_then(serde_json::Value::as_str);
        let shown = match written {
            Some(written) if written != named.uri => format!("{written} → {}", named.uri),
            _ => named.uri.clone(),
        };
        let Some((digest, name)) = named.sha256().zip(reference::from_uri(&named.uri).ok()) else {
            return Node::new(kind, shown, State::Claimed, "the build names no place and digest of it");
        };
        let name = name.at(digest);
        let kept = place.evidence.read(self.ports, &digest, limits::MANIFEST_SIZE_BYTES_MAX).await;
        let (bytes, why) = match kept {
            Ok(Some(bytes)) => {
                (Some(bytes), "its manifest, kept beside what is built on it, has this digest")
            }
            _ => match self.ports.registries.manifest(&name).await {
                Ok((_, bytes)) => (Some(bytes), "its manifest has this digest"),
                Err(_) => (None, "its manifest cannot be had"),
            },
        };
        let state = State::of(bytes.is_some(), place.vouched);
        let why = unless_vouched(why, place.vouched || bytes.is_none());
        let node = Node::new(kind, shown, state, why).digest(digest.to_string());
        Box::pin(self.image(node, &name, digest, bytes, place.vouched, place.depth - 1)).await
    }

    /// What the build might fetch, and what it did.
    async fn inputs(
        &self,
        node: &mut Node,
        definition: &BuildDefinition,
        run: &RunDetails,
        place: &Place<'_>,
    ) {
        let repositories = &definition.external.repositories;
        let mut all: Vec<Node> = repositories
            .iter()
            .map(|repository| {
                let key = repository.key.as_ref().map(|key| format!(", pinned to {}", key.path));
                let name = format!("{} {}{}", repository.name, repository.url, key.unwrap_or_default());
                Node::new("repository", name, State::Claimed, said(place.vouched))
            })
            .collect();
        let transcript = match run.byproduct("transcript").and_then(ResourceDescriptor::sha256) {
            None => None,
            Some(digest) => {
                let read = place.evidence.read(self.ports, &digest, limits::TRANSCRIPT_SIZE_BYTES_MAX).await;
                let bytes = read.map_err(|error| chain(&error));
                let (state, why) = looked(&bytes, place.vouched);
                node.children.push(Node::new("transcript", "", state, why).digest(digest.to_string()));
                bytes.ok().flatten().and_then(|bytes| Transcript::parse(&bytes).ok())
            }
        };
        if let Some(transcript) = transcript {
            let gone = self.gone(&transcript, run, place).await;
            for (index, repository) in repositories.iter().enumerate() {
                let of: Vec<_> = transcript
                    .exchanges()
                    .filter(|exchange| exchange.repository == repository.name)
                    .collect();
                all[index].children.extend(self.fetched(&of, gone.as_ref(), place));
            }
            let named = |exchange: &&Exchange| repositories.iter().any(|one| one.name == exchange.repository);
            let others: Vec<_> = transcript.exchanges().filter(|exchange| !named(exchange)).collect();
            all.extend(self.fetched(&others, gone.as_ref(), place));
        }
        for reason in &run.tainted {
            all.push(Node::new(
                "tainted",
                reason,
                State::Claimed,
                "the transcript may not be the whole truth",
            ));
        }
        node.children.extend(all);
    }

    /// Which bodies cannot be had; none: nobody looked.
    async fn gone(
        &self,
        transcript: &Transcript,
        run: &RunDetails,
        place: &Place<'_>,
    ) -> Option<BTreeSet<Digest>> {
        if !self.looking.deep {
            return None;
        }
        let keepers = run.byproducts.iter().filter(|byproduct| byproduct.name == "inputs");
        let keepers: Vec<_> = keepers
            .filter_map(|named| Some(reference::from_uri(&named.uri).ok()?.at(named.sha256()?)))
            .collect();
        let missing = place.evidence.inputs(self.ports, &transcript.bodies(), &keepers).await.ok()?;
        Some(missing.into_iter().map(|(digest, _)| digest).collect())
    }

    /// What came from one repository.
    fn fetched(
        &self,
        exchanges: &[&Exchange],
        gone: Option<&BTreeSet<Digest>>,
        place: &Place<'_>,
    ) -> Option<Node> {
        if exchanges.is_empty() {
            return None;
        }
        let state = |digest: &Digest| match gone {
            None => State::Claimed,
            Some(gone) => State::of(!gone.contains(digest), place.vouched),
        };
        let worst = exchanges.iter().map(|exchange| state(&exchange.body)).max().unwrap_or(State::Claimed);
        let bytes: u64 = exchanges.iter().map(|exchange| exchange.size).sum();
        let why = match (gone.is_some(), worst) {
            (true, State::Missing) => "not every body can be had",
            (true, _) => "every body was held against its digest",
            (false, _) => "recorded with their digests; --deep fetches them and holds each against its own",
        };
        let mut node = Node::new("inputs", format!("{}, {}", exchanges.len(), size(bytes)), worst, why);
        if self.looking.inputs {
            let input = |exchange: &&Exchange| {
                let name = format!("{} {} {}", exchange.status, size(exchange.size), exchange.url);
                Node::new("input", name, state(&exchange.body), "").digest(exchange.body.to_string())
            };
            node.children = exchanges.iter().map(input).collect();
        }
        Some(node)
    }

    async fn byproducts(&self, node: &mut Node, origin: &Origin, names: &[&'static str], place: &Place<'_>) {
        for name in names {
            let Some(digest) = origin.byproduct(name).and_then(ResourceDescriptor::sha256) else {
                node.children.push(Node::new(name, "", State::Missing, "the provenance names none"));
                continue;
            };
            let (state, why) = if self.looking.deep {
                let there = place.evidence.fetch(self.ports, &digest).await;
                looked(&there.map(|there| there.then_some(())).map_err(|error| chain(&error)), place.vouched)
            } else {
                let read = place.evidence.read(self.ports, &digest, LOOKED_SIZE_BYTES_MAX).await;
                match read {
                    Ok(None) if place.evidence.holds(&digest) => {
                        (State::Claimed, "it is large; --deep looks at it".to_owned())
                    }
                    read => looked(&read.map_err(|error| chain(&error)), place.vouched),
                }
            };
            node.children.push(Node::new(name, "", state, why).digest(digest.to_string()));
        }
    }
}

/// What a blob is worth that was looked for beside the image.
fn looked<T>(read: &Result<Option<T>, String>, vouched: bool) -> (State, String) {
    match read {
        Ok(Some(_)) => (State::of(true, vouched), unless_vouched("its bytes have this digest", vouched)),
        Ok(None) => (State::Missing, "it is not beside the image".to_owned()),
        Err(why) => (State::Missing, why.clone()),
    }
}

/// What is claimed of a build that reprov did not see: the commit, and what a rebuild would need and nobody named.
fn attested(said: &Attested) -> Node {
    let kinds: Vec<_> = said.internal.evidence.iter().map(|evidence| evidence.kind.as_str()).collect();
    let why = format!("attested after the fact, from {}; reprov did not see the build", kinds.join(", "));
    let source = said.external.source.clone().unwrap_or_default();
    let (commit, uri) = (source.commit.unwrap_or_default(), source.uri.unwrap_or_default());
    let mut node = Node::new("commit", format!("{commit} of {uri}"), State::Claimed, why);
    node.digest = Some(format!("gitCommit:{commit}")).filter(|_| !commit.is_empty());
    let missing = said.internal.missing.iter();
    node.children =
        missing.map(|part| Node::new("recipe", part.name(), State::Missing, part.why())).collect();
    node
}

/// What was seen, and what it is worth if nobody who is trusted names it.
fn unless_vouched(seen: &str, vouched: bool) -> String {
    let doubt = if vouched { "" } else { ", but nobody who is trusted names it" };
    format!("{seen}{doubt}")
}

fn said(vouched: bool) -> &'static str {
    if vouched { "a trusted signer says so; nobody looked" } else { "nobody who is trusted says so" }
}

fn rootfs(imported: &Imported, vouched: bool) -> Node {
    let origin = Some(&imported.rootfs.uri).filter(|uri| !uri.is_empty());
    let name = origin.map_or_else(|| "of unknown origin".to_owned(), |uri| format!("said to be from {uri}"));
    let why = if vouched {
        "a trusted signer saw these bytes; where they are from is said, and nobody looked"
    } else {
        said(false)
    };
    let node = Node::new("rootfs", name, State::Claimed, why);
    let digest = imported.rootfs.sha256().map(|digest| digest.to_string());
    Node { digest, ..node }
}

fn layers(manifest: &[u8]) -> Option<String> {
    let count = Manifest::parse(manifest).ok()?.layers().len();
    Some(if count == 1 { "1 layer".to_owned() } else { format!("{count} layers") })
}
