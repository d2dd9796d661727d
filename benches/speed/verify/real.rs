//! Verifying images at Debian's registry, whose own work is part of all times, beside a plain client that asks for the
//! same bytes and beside cosign 3.

use std::{
    io::{BufRead, BufReader},
    ops::Range,
    process::{Child, Command, Stdio},
};

use futures_util::StreamExt as _;

use super::{AT_ONCE, IMAGES, Pages, REPROV, Registry, names, plain};
use crate::{
    run::{self, ROUNDS, median},
    table::{Row, Target},
};

/// How many images cosign is given, in one command and one by one.
const SOME: u16 = 100;

/// What one round of [`rows`] took.
struct Turn {
    all: run::Cost,
    client_all_s: f64,
    many: run::Cost,
    client_many_s: f64,
    one: Pair,
    cosign_one_by_one_s: f64,
    cosign_some: run::Cost,
}

/// What one image takes, each repeated: ours, and cosign.
type Pair = (run::Cost, run::Cost);

/// Measures, each beside the others in turns.
pub(super) fn rows(
    pages: &Pages,
    (trusted, store): (&str, &str),
    verify: &dyn Fn(&str, Range<usize>) -> run::Cost,
) -> Vec<Row> {
    let pages = by_tag(pages);
    let memory = Registry::start(pages.clone());
    let asked = |images| {
        verify(&memory.host, images);
        std::mem::take(&mut *memory.asked.lock().unwrap())
    };
    let (of_all, of_many) = (asked(0..IMAGES), asked(IMAGES..IMAGES + 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let real = runtime.block_on(Real::start(&pages));
    let cosign = cosign();
    let theirs = |images: Range<usize>| {
        let words =
            ["verify-attestation", "--key", trusted, "--insecure-ignore-tlog", "--type", "slsaprovenance1"];
        let words = [cosign.as_str()].into_iter().chain(words).map(str::to_owned);
        words.chain(names(&real.host, images)).collect::<Vec<_>>()
    };
    let one = || {
        let name = &names(&real.host, 0..1)[0];
        let ours = [REPROV, "verify", "--trust", trusted, "--store", store, name];
        (run::steady(&ours), run::steady(&texts(&theirs(0..1))))
    };
    let some = 0..usize::from(SOME);
    let mut turns = Vec::new();
    for _ in 0..ROUNDS {
        turns.push(Turn {
            all: verify(&real.host, 0..IMAGES),
            client_all_s: plain(&real.host, &of_all),
            many: verify(&real.host, IMAGES..IMAGES + 1),
            client_many_s: plain(&real.host, &of_many),
            one: one(),
            cosign_one_by_one_s: some.clone().map(|image| run::once(&texts(&theirs(image..image + 1)))).sum(),
            cosign_some: run::run(&texts(&theirs(some.clone()))),
        });
    }
    told(&turns, [of_all.len(), of_many.len()])
}

/// The rows of these rounds, in which so many requests were made of a thousand images, and of one with 200 attestations.
fn told(turns: &[Turn], [of_all, of_many]: [usize; 2]) -> Vec<Row> {
    let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure));
    let all = of(|turn| turn.all.wall_s);
    let an_image = all / 1000.0;
    let beside_client = |what, ours: f64, peer: f64, asked: usize| Row {
        what,
        ours: format!("{ours:.2} s, {asked} requests"),
        peer: format!("{peer:.2} s"),
        figure: ours / peer,
        unit: " ×",
        target: Target::AtMost(1.3),
    };
    let beside_cosign = |what, ours: f64, peer: f64, least| Row {
        what,
        ours: format!("{:.1} ms", ours * 1000.0),
        peer: format!("{:.1} ms", peer * 1000.0),
        figure: peer / ours,
        unit: " ×",
        target: Target::AtLeast(least),
    };
    let cosign_each = of(|turn| turn.cosign_some.wall_s) / f64::from(SOME);
    vec![
        beside_client(
            "verify of 1,000 images at docker-registry; peer: a plain client asks for the same at the same concurrency",
            all,
            of(|turn| turn.client_all_s),
            of_all,
        ),
        beside_client(
            "verify of one image with 200 attestations there; peer: a plain client asks for the same",
            of(|turn| turn.many.wall_s),
            of(|turn| turn.client_many_s),
            of_many,
        ),
        beside_cosign(
            "verify of one image there, repeated; peer: `cosign verify-attestation` 3",
            of(|turn| turn.one.0.wall_s),
            of(|turn| turn.one.1.wall_s),
            5.0,
        ),
        beside_cosign("the same, CPU time", of(|turn| turn.one.0.cpu_s), of(|turn| turn.one.1.cpu_s), 5.0),
        beside_cosign(
            "verify of 1,000 images there, an image; peer: cosign 3, one by one",
            an_image,
            of(|turn| turn.cosign_one_by_one_s) / f64::from(SOME),
            10.0,
        ),
        beside_cosign("the same; peer: cosign 3, 100 images in one command", an_image, cosign_each, 1.0),
    ]
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The same where what refers to an image is listed by the fallback tag.
fn by_tag(pages: &Pages) -> Pages {
    let tagged = |(path, page): (&String, &(&'static str, Vec<u8>))| {
        (path.replace("/referrers/sha256:", "/manifests/sha256-"), page.clone())
    };
    pages.iter().map(tagged).collect()
}

/// Debian's registry, until it is dropped.
struct Real {
    host: String,
    child: Child,
}

impl Real {
    /// With all that is in `pages`.
    async fn start(pages: &Pages) -> Self {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/registry"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let real = Self { host: line.split(' ').next().unwrap().to_owned(), child };
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        // What is named before what names it.
        for (part, blobs) in [
            ("/blobs/", true),
            ("/manifests/1", false),
            ("/manifests/sha256:", false),
            ("/manifests/sha256-", false),
        ] {
            let pages = pages.iter().filter(|(path, _)| path.contains(part));
            let puts: Vec<_> = pages.map(|(path, page)| real.put(&client, path, page, blobs)).collect();
            futures_util::stream::iter(puts).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        }
        real
    }

    async fn put(
        &self,
        client: &reqwest::Client,
        path: &str,
        (kind, body): &(&'static str, Vec<u8>),
        blob: bool,
    ) {
        let mut url = format!("http://{}{path}", self.host);
        if blob {
            let (place, digest) = url.split_once("/blobs/").unwrap();
            let opened = client.post(format!("{place}/blobs/uploads/")).send().await.unwrap();
            let location = opened.headers()["location"].to_str().unwrap();
            url = format!("{location}&digest={digest}");
        }
        let sent = client.put(url).header("content-type", *kind).body(body.clone()).send().await.unwrap();
        assert_eq!(sent.status(), 201, "{path}: {}", sent.text().await.unwrap());
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // Which is its sign to end.
        let _ = self.child.wait();
    }
}

/// cosign 3, as Debian packages it.
fn cosign() -> String {
    let installed = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/interop")).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    format!("{}/cosign3", String::from_utf8(installed.stdout).unwrap().trim())
}
