//! Verifying images over loopback registries, one in memory and Debian's: one image, and a thousand, beside a plain
//! client that asks for the same bytes.

mod real;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use futures_util::StreamExt as _;
use reprov::{
    attest::{Bundle, Envelope, Statement, Subject, View, pae},
    model::{Descriptor, Digest, names},
    oci::artifact_bytes,
    policy::Policy,
    signing::{KeyType, PrivateKey},
    verify::{Candidate, Evidence, Form, Judged, Place, Root, Roots, judge, open},
};
use serde_json::{Value, json};

use crate::{
    run::{self, ROUNDS, median, timed},
    table::{Row, Target},
};

const REPROV: &str = env!("CARGO_BIN_EXE_reprov");
const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/build/v1/example.json"));
const IMAGES: usize = 1000;
/// As many as reprov has under way at one registry.
const AT_ONCE: usize = reprov::model::limits::REGISTRY_REQUESTS_MAX;

/// Path → content type and body; anything else is 404. Connections are kept.
struct Registry {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

type Pages = BTreeMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    fn start(pages: Pages) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (asked, pages) = (Arc::new(Mutex::new(Vec::new())), Arc::new(pages));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, pages) = (Arc::clone(&log), Arc::clone(&pages));
                thread::spawn(move || serve(stream, &pages, &log));
            }
        });
        Self { host, asked }
    }
}

fn serve(stream: TcpStream, pages: &Pages, log: &Mutex<Vec<String>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut path = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            if path.is_empty() {
                line.split(' ').nth(1)?.clone_into(&mut path);
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        let (status, (kind, body)) = match pages.get(&path) {
            Some((kind, body)) => ("200 OK", (*kind, body.as_slice())),
            None => ("404 Not Found", ("text/plain", &b"404"[..])),
        };
        log.lock().unwrap().push(path);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        writer.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}

/// Images `app/0` to `app/999`, each with a provenance of its own, and `app/1000` with two hundred.
fn pages(key: &PrivateKey) -> Pages {
    let mut pages = Pages::new();
    for number in 0..IMAGES {
        image(&mut pages, key, number, 1);
    }
    image(&mut pages, key, IMAGES, 200);
    pages
}

fn image(pages: &mut Pages, key: &PrivateKey, number: usize, attestations: usize) {
    let config = format!("{{\"number\":{number}}}");
    let manifest = json!({"schemaVersion": 2, "mediaType": names::OCI_MANIFEST, "layers": [],
        "config": Descriptor::of(names::OCI_CONFIG, config.as_bytes())})
    .to_string()
    .into_bytes();
    let subject = Descriptor::of(names::OCI_MANIFEST, &manifest);
    let base = format!("/v2/app/{number}");
    let mut blobs = vec![config.into_bytes(), b"{}".to_vec()];
    let mut entries = Vec::new();
    for more in 0..attestations {
        let bundle = bundle(key, &subject.digest, more);
        let layer = Descriptor::of(names::BUNDLE, &bundle);
        let referrer = artifact_bytes(names::BUNDLE, &[layer], Some(&subject), &BTreeMap::new());
        let entry = Descriptor::of(names::OCI_MANIFEST, &referrer);
        pages.insert(format!("{base}/manifests/{}", entry.digest), (names::OCI_MANIFEST, referrer));
        entries.push(entry);
        blobs.push(bundle);
    }
    let index = json!({"schemaVersion": 2, "mediaType": names::OCI_INDEX, "manifests": entries}).to_string();
    let list = format!("{base}/referrers/{}", subject.digest);
    pages.insert(list, (names::OCI_INDEX, index.into_bytes()));
    pages.insert(format!("{base}/manifests/1"), (names::OCI_MANIFEST, manifest));
    for blob in blobs {
        pages.insert(format!("{base}/blobs/{}", Digest::of(&blob)), ("application/octet-stream", blob));
    }
}

/// The documented example about `digest`, with `more` dependencies, signed.
fn bundle(key: &PrivateKey, digest: &Digest, more: usize) -> Vec<u8> {
    let mut statement = Statement::parse(EXAMPLE.as_bytes()).unwrap();
    statement.subject = vec![Subject::new("app", digest)];
    let dependencies = statement.predicate.pointer_mut("/buildDefinition/resolvedDependencies").unwrap();
    let input = |number: usize| {
        json!({"uri": format!("http://mirror.example.org/debian/pool/main/p/package/package-{number}_1.0-1_amd64.deb"),
            "digest": {"sha256": Digest::of(number.to_string().as_bytes()).hex()},
            "annotations": {"role": "input", "method": "GET", "status": 200, "size": 315_500, "repository": "debian",
                "kept": "registry"}})
    };
    dependencies.as_array_mut().unwrap().extend((0..more).map(input));
    let payload = statement.to_bytes();
    let signatures = vec![key.sign(&pae(names::IN_TOTO_JSON, &payload))];
    let envelope = Envelope { payload, payload_type: names::IN_TOTO_JSON.to_owned(), signatures };
    Bundle { hint: key.public().hint(), envelope }.to_bytes()
}

fn names(host: &str, images: Range<usize>) -> Vec<String> {
    images.map(|number| format!("{host}/app/{number}:1")).collect()
}

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("verify");
    let dir = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate(KeyType::P256);
    let trusted = dir.path().join("key.pub");
    fs::write(&trusted, key.public_pem()).unwrap();
    let trusted = trusted.to_str().unwrap();
    let pages = pages(&key);
    let registry = Registry::start(pages.clone());
    let store = dir.path().join("store");
    let verify_at = |host: &str, images: Range<usize>| {
        let names = names(host, images);
        let mut words = vec![REPROV, "verify", "--trust", trusted, "--store", store.to_str().unwrap()];
        words.extend(names.iter().map(String::as_str));
        run::run(&words)
    };
    let verify = |count: usize| verify_at(&registry.host, 0..count);
    verify(1);
    registry.asked.lock().unwrap().clear();
    verify(IMAGES);
    let asked: Vec<String> = std::mem::take(&mut *registry.asked.lock().unwrap());
    let mut turns = Vec::new();
    for _ in 0..ROUNDS {
        turns.push((verify(IMAGES), verify(IMAGES / 4), verify(1), plain(&registry.host, &asked)));
    }
    let of = |figure: fn(&(run::Cost, run::Cost, run::Cost, f64)) -> f64| median(turns.iter().map(figure));
    let (all, quarter, one) = (of(|turn| turn.0.wall_s), of(|turn| turn.1.wall_s), of(|turn| turn.2.wall_s));
    let (client, memory) = (of(|turn| turn.3), of(|turn| turn.0.peak_mib));
    let per_image = asked.len() / IMAGES;
    let mut rows = real::rows(&pages, (trusted, store.to_str().unwrap()), &verify_at);
    rows.extend([
        Row {
            what: "verify of 1,000 images, served from memory; peer: a plain client asks for the same at the same concurrency",
            ours: format!("{all:.2} s, {per_image} requests an image"),
            peer: format!("{client:.2} s"),
            figure: all / client,
            unit: " ×",
            target: Target::AtMost(1.3),
        },
        Row {
            what: "verify of 1,000 images; peer: four times 250",
            ours: format!("{all:.2} s"),
            peer: format!("{:.2} s", quarter * 4.0),
            figure: all / (quarter * 4.0),
            unit: " ×",
            target: Target::AtMost(1.1),
        },
        Row {
            what: "memory of that",
            ours: format!("{memory:.0} MiB"),
            peer: String::new(),
            figure: memory,
            unit: " MiB",
            target: Target::AtMost(96.0),
        },
        Row {
            what: "verify of one image, served from memory, start and end included; a fifth of what FORMATS.md has for cosign 3",
            ours: format!("{:.1} ms", one * 1000.0),
            peer: String::new(),
            figure: one * 1000.0,
            unit: " ms",
            target: Target::AtMost(12.4),
        },
        statement(&key),
    ]);
    rows
}

/// Seconds that a plain client takes for the same requests, `AT_ONCE` at a time.
fn plain(host: &str, asked: &[String]) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let begun = Instant::now();
        let gets = asked.iter().map(|path| {
            let (client, url) = (client.clone(), format!("http://{host}{path}"));
            async move { client.get(url).send().await.unwrap().bytes().await.unwrap().len() }
        });
        let gets: Vec<_> = gets.collect();
        let sizes: Vec<usize> = futures_util::stream::iter(gets).buffer_unordered(AT_ONCE).collect().await;
        assert_eq!(sizes.len(), asked.len());
        begun.elapsed().as_secs_f64()
    })
}

/// A statement of 5,000 dependencies, from bytes to a verdict.
fn statement(key: &PrivateKey) -> Row {
    let digest = Digest::of(b"image");
    let bytes = bundle(key, &digest, 5000);
    let builders = reprov::policy::Allowed::Any;
    let roots = Arc::new(Roots(vec![Root::key(key.public(), builders, 1)]));
    let policy = Policy::parse(
        "builders = [\"*\"]\n[inputs]\nrefuse = [{ package = \"none\", because = \"x\" }]\n",
        &[],
    )
    .unwrap();
    let judged = Judged {
        image: "app".to_owned(),
        descriptor: Descriptor::new(names::OCI_MANIFEST, digest, 1),
        sha512: String::new(),
        index: false,
    };
    let ours = timed(|| {
        let candidate = Candidate::new(Place::File(digest), Form::Bundle, bytes.clone(), None);
        let mut evidence = Evidence::new(judged.clone(), Arc::clone(&roots));
        evidence.opened.push(open(candidate, &roots, &judged));
        let judgement = judge(&evidence, &policy, 1_800_000_000);
        assert_eq!(judgement.attestations.len(), 1);
        assert!(judgement.attestations[0].verified);
    });
    let payload = Bundle::parse(&bytes).unwrap().envelope.payload;
    let peer = timed(|| assert!(serde_json::from_slice::<Value>(&payload).unwrap().is_object()));
    assert!(View::read(&Statement::parse(&payload).unwrap()).unwrap().dependencies.len() > 5000);
    Row {
        what: "judging a statement of 5,000 dependencies; peer: serde_json reads the payload",
        ours: format!("{:.1} ms", ours * 1000.0),
        peer: format!("{:.1} ms", peer * 1000.0),
        figure: ours * 1000.0,
        unit: " ms",
        target: Target::AtMost(30.0),
    }
}
