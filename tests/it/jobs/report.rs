//! Reports as files: what the end of a name asks for, whole or not at all; and what a browser makes of the page.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{Lab, Ran, Registry, schemas, sha256};

/// Set, the demo's screenshot goes into the documentation.
const WRITE: &str = "REPROV_WRITE_SCREENSHOT";
/// Names that want to be more than names.
const HOSTILE: [&[u8]; 6] = [
    b"<script>document.title='pwned'</script>",
    b"\"><img src=x onerror=document.title='pwned'>",
    "gpj\u{202e}exe.\u{2066}\u{200b}txt".as_bytes(),
    b"bell\x07\x1b[2J\nnext",
    b"</style><style>body{display:none}",
    b"not\xffutf8",
];

#[test]
fn one_answer_in_every_form() {
    let lab = Lab::new();
    let [a, b] = hostile_pair(&lab);
    let files: Vec<_> =
        ["r.html", "r.md", "r.json", "r.xml", "r.sarif", "r.txt"].map(|name| lab.path(name)).into();
    let mut args = vec!["diff", &a, &b, "--format", "json"];
    args.extend(files.iter().flat_map(|file| ["--report", file]));
    let ran = lab.reprov(&args).exits(1);
    ran.json();
    let read = |name: &str| fs::read_to_string(lab.path(name)).unwrap();
    assert_eq!(read("r.json"), ran.out, "the same JSON");
    assert_eq!(lab.reprov(&["diff", &a, &b, "-v"]).exits(1).out, read("r.txt"), "the same text");
    let before: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    lab.reprov(&args).exits(1);
    let again: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == again, "the same bytes each time");
    let xml = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    let mut python = lab.command("python3");
    python.args(["-c", xml, &lab.path("r.xml")]);
    Lab::run(python).exits(0);
    let sarif: Value = serde_json::from_str(&read("r.sarif")).unwrap();
    assert_eq!(
        (&sarif["version"], &sarif["runs"][0]["tool"]["driver"]["name"]),
        (&"2.1.0".into(), &"reprov".into())
    );
    assert_eq!(schemas::sarif_violations(&sarif), [""; 0]);
    let left = fs::read_dir(Path::new(&lab.path("r.txt")).parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with(".reprov-")), "{left:?}");
}

#[test]
fn steps_that_drift_say_what_they_said_otherwise() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let steps = "RUN cat /proc/sys/kernel/random/uuid > /id; cat /id; echo same\nRUN echo same; date > /same; echo > /same\n";
    let source = lab.source("logs", &[("Dockerfile", &format!("FROM base.example/tiny:1\n{steps}"))]);
    let to = registry.name("logs");
    let built = lab.build(registry, &source, &to, &["--check"]).exits(1).json();
    let page = lab.path("logs.html");
    let ran = lab.rebuild(&to, &["--report", &page]).exits(1);
    for image in [&built["check"], &ran.json()["images"][0]] {
        let logs = image["logs"].as_array().unwrap();
        assert_eq!(logs.len(), 1, "{image:#}");
        assert_eq!(logs[0]["instruction"]["line"], 2, "{image:#}");
        let rows = &logs[0]["excerpt"]["hunks"][0]["rows"];
        assert_eq!((&rows[0]["equal"], &rows[1]["a"]["text"]), (&false.into(), &"same".into()), "{image:#}");
    }
    let before = registry.image("logs").text("id");
    assert!(fs::read_to_string(page).unwrap().contains("What the step said otherwise"));
    let text = lab.rebuild(&to, &["-v", "--format", "text"]).exits(1).out;
    assert!(text.contains("  log of line 2: RUN cat") && text.contains(&format!("    - {before}")), "{text}");
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_done() {
    let lab = Lab::new();
    let never = lab.path("never");
    let refused = |report: &str, words: &str| {
        for command in
            [&["diff", "oci:none:1", "oci:none:1"][..], &["rebuild", "oci:none:1", "--insecure-skip-verify"]]
        {
            let args = [command, &["--report", report, "--store", &never]].concat();
            lab.reprov(&args).exits(2).says(words);
        }
        assert!(!Path::new(&never).exists());
    };
    refused("drift.pdf", "the name of a report ends in one of .html, .md, .json, .xml, .sarif, .txt");
    refused("", "the name of a report ends in one of");
    refused("nowhere/drift.html", "there is no directory `nowhere`");
    fs::create_dir(lab.path("d.html")).unwrap();
    refused(&lab.path("d.html"), "it is a directory");
}

#[test]
#[ignore = "needs chromium: make acceptance"]
fn a_browser_shows_hostile_names_and_runs_none() {
    let lab = Lab::new();
    let [a, b] = hostile_pair(&lab);
    let page = lab.path("hostile.html");
    lab.reprov(&["diff", &a, &b, "--report", &page]).exits(1);
    let dom = chromium(&lab, &["--dump-dom"], &page).exits(0).out;
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
    assert!(title.starts_with("unexplained"), "{title}");
    for element in ["<script", "<img", "<iframe", "onerror=\""] {
        assert!(!dom.contains(element), "{element}");
    }
    assert_eq!(dom.matches("<style").count(), 1, "no name ends the page's own style");
    for shown in [
        "&lt;script&gt;document.title",
        "gpj\\u{202e}exe.\\u{2066}",
        "bell\\u{7}\\u{1b}[2J\\u{a}next",
        "not%FFutf8",
    ] {
        assert!(dom.contains(shown), "{shown}");
    }
    assert!(dom.contains(&"n".repeat(200)), "a name of 4,096 bytes");
    let shot = screenshot(&lab, &page, "1200,2400");
    assert_eq!(size(&shot), (1200, 2400));
    // An empty page of this size is packed to a few KiB.
    assert!(shot.len() > 40_000, "{} bytes: little is shown", shot.len());
}

#[test]
#[ignore = "needs chromium: make acceptance"]
fn the_demos_drifting_image_in_a_browser() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("report");
    lab.build(registry, &lab.fixture("drift"), &to, &[]).exits(0);
    let page = lab.path("drift.html");
    lab.rebuild(&to, &["--report", &page]).exits(1);
    let dom = chromium(&lab, &["--dump-dom"], &page).exits(0).out;
    for words in
        ["explained", "etc/build-date", "clock-in-text", "line 3", "etc/build-id", "random-token", "<mark>"]
    {
        assert!(dom.contains(words), "{words}");
    }
    let shot = screenshot(&lab, &page, "1180,1490");
    assert!((20_000..300 << 10).contains(&shot.len()), "{} bytes", shot.len());
    if std::env::var_os(WRITE).is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.png"), shot).unwrap();
    }
}

/// What chromium prints; as root it needs `--no-sandbox`.
pub(crate) fn chromium(lab: &Lab, args: &[&str], page: &str) -> Ran {
    let mut command = lab.command("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.args(["--disable-background-networking", "--virtual-time-budget=2000"]);
    command.arg(format!("--user-data-dir={}", lab.path("chromium"))).args(args).arg(format!("file://{page}"));
    Lab::run(command)
}

pub(crate) fn screenshot(lab: &Lab, page: &str, size: &str) -> Vec<u8> {
    let file = lab.path("shot.png");
    let (window, to) = (format!("--window-size={size}"), format!("--screenshot={file}"));
    chromium(lab, &[&window, &to], page).exits(0);
    fs::read(file).unwrap()
}

/// Width and height of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// Two images that differ in files of such names, and in a value of the config.
fn hostile_pair(lab: &Lab) -> [String; 2] {
    ["one", "two"].map(|word| {
        let mut names: Vec<Vec<u8>> = HOSTILE.iter().map(|name| [b"srv/", *name].concat()).collect();
        names.push([&b"srv/"[..], &[b'n'; 250]].concat());
        names.push([&b"srv"[..], &b"/nnnnnnnnnnnnnnn".repeat(255), b"/the-very-end"].concat());
        let mut tar = tar::Builder::new(Vec::new());
        for (index, name) in names.iter().enumerate() {
            let content = if index % 2 == 0 {
                format!("first\n<script>{word}</script>\nlast\n").into_bytes()
            } else {
                [&b"\x7fELF\0"[..], &[b'x'; 40], word.as_bytes(), &[0; 20]].concat()
            };
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            header.set_mtime(1);
            tar.append_data(&mut header, Path::new(std::ffi::OsStr::from_bytes(name)), content.as_slice())
                .unwrap();
        }
        let directory = PathBuf::from(lab.path(&format!("layout-{word}")));
        layout(&directory, &tar.into_inner().unwrap(), &json!({"Labels": {"<b>\u{202e}": word}}));
        format!("oci:{}:1", directory.display())
    })
}

/// An OCI layout of one image with one layer, tagged 1.
fn layout(directory: &Path, layer: &[u8], config: &Value) {
    fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = sha256(bytes);
        fs::write(directory.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let oci = "application/vnd.oci.image";
    let history = [json!({"created_by": "RUN echo <script>\u{202e} && make install"})];
    let rootfs = json!({"type": "layers", "diff_ids": [sha256(layer)]});
    let config = json!({"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs, "history": history});
    let config = put(config.to_string().as_bytes(), &format!("{oci}.config.v1+json"));
    let layer = put(layer, &format!("{oci}.layer.v1.tar"));
    let media_type = format!("{oci}.manifest.v1+json");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut manifest = put(manifest.to_string().as_bytes(), &media_type);
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
