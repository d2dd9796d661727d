//! A composed root file system becomes a base image; what is built on it is traced down to the archive.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{Base, Image, Lab, Ran, Registry, must, root};

const SOURCE: &str = "https://images.example.org/bookworm/rootfs.tar.gz";

/// Imports with the lab's key, JSON on standard output.
fn import(lab: &Lab, rootfs: &str, to: &str, more: &[&str]) -> Ran {
    let (store, key) = (lab.path("store"), lab.path("signer.key"));
    let mut args = vec!["import", rootfs, "--tag", to, "--store", &store, "--format", "json"];
    if !more.contains(&"--no-sign") {
        args.extend(["--key", &key]);
    }
    args.extend(more);
    lab.reprov(&args)
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).unwrap());
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn trace(lab: &Lab, image: &str, more: &[&str]) -> Value {
    let key = lab.path("signer.pub");
    let args =
        [&["trace", image, "--trust", &key, "--store", &lab.path("elsewhere"), "--format", "json"], more];
    lab.reprov(&args.concat()).exits(0).json()
}

#[test]
fn from_an_archive_to_a_layered_image_and_back_down() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let rootfs = Base::Debian.rootfs();
    let base = registry.name("imported");
    let answer = import(&lab, rootfs.to_str().unwrap(), &base, &["--source", SOURCE]).exits(0).json();
    assert_eq!(answer["rootfs"]["digest"], sha256(&rootfs));
    assert_eq!(
        (&answer["rootfs"]["form"], &answer["rootfs"]["compression"]),
        (&"tar".into(), &"gzip".into())
    );
    assert_eq!(answer["dropped"][0]["rule"], "device-node", "{answer:#}");
    assert!(answer["packages"]["kinds"]["deb"].as_u64().unwrap() > 50, "{answer:#}");
    let image = registry.image("imported");
    assert_eq!(answer["manifest"], image.digest.as_str());
    assert_eq!(image.config["config"]["Cmd"][0], "/bin/sh");
    assert_eq!(image.config["created"], answer["created"]);
    assert_eq!(format!("linux/{}", image.config["architecture"].as_str().unwrap()), answer["platform"]);
    assert!(!image.layers[0].contains_key("dev/null") && image.layers[0].contains_key("dev/pts"));
    let list = registry.blob_json(answer["packages"]["digest"].as_str().unwrap());
    assert!(list["packages"].as_array().unwrap().iter().any(|package| package["name"] == "apt"), "{list:#}");

    let source =
        lab.source("app", &[("Dockerfile", "FROM imported.example/base:1\nRUN dpkg-query -W apt > /apt\n")]);
    let app = registry.name("on-imported");
    lab.build(registry, &source, &app, &["--from", &format!("imported.example/base:1={base}")]).exits(0);
    let answer = trace(&lab, &app, &[]);
    assert_eq!((&answer["layers"]["own"], &answer["layers"]["inherited"]), (&1.into(), &1.into()));
    let below = &answer["bases"][0];
    assert_eq!((&below["digest"], &below["layers"]), (&image.digest.as_str().into(), &1.into()));
    assert_eq!(below["origin"]["verified"], true, "{answer:#}");
    let imported = &below["origin"]["imported"];
    assert_eq!(imported["rootfs"]["digest"], sha256(&rootfs));
    assert_eq!(imported["rootfs"]["source"], SOURCE);
    assert_eq!(imported["packages"], list["packages"].as_array().unwrap().len());
    let text = lab.reprov(&["trace", &app, "--store", &lab.path("elsewhere")]).exits(0);
    text.says(&format!("  rootfs    {}", sha256(&rootfs)))
        .says("claimed; nobody looked")
        .says("NOT VERIFIED");
    assert_eq!(lab.rebuild(&app, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");

    let answer = trace(&lab, &base, &[]);
    assert_eq!(answer["imported"]["rootfs"]["digest"], sha256(&rootfs));
    assert_eq!((&answer["source"], &answer["layers"]["own"]), (&Value::Null, &1.into()));
    lab.rebuild(&base, &[]).exits(1).says("it was imported, not built");
}

#[test]
fn an_unsigned_base_is_shown_but_not_verified() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let base = registry.name("imported-unsigned");
    import(&lab, Base::Tiny.rootfs().to_str().unwrap(), &base, &["--no-sign"]).exits(0).says("not signed");
    let source = lab.source("app", &[("Dockerfile", "FROM imported.example/base:1\nRUN echo x > /x\n")]);
    let (one, two) = (registry.name("on-unsigned"), registry.name("on-tiny"));
    lab.build(registry, &source, &one, &["--from", &format!("imported.example/base:1={base}")]).exits(0);
    let below = &trace(&lab, &one, &[])["bases"][0];
    assert_eq!((&below["origin"]["verified"], &below["layers"]), (&false.into(), &1.into()));
    assert_eq!(below["origin"]["imported"]["rootfs"]["source"], Value::Null);

    // The fixture's own base has no provenance, another layer, and the same files but for the order of some fields.
    let from = format!("imported.example/base:1={}", Base::Tiny.used(registry));
    lab.build(registry, &source, &two, &["--from", &from]).exits(0);
    let below = &trace(&lab, &two, &[])["bases"][0];
    assert_eq!((&below["origin"], &below["layers"]), (&Value::Null, &1.into()));
    assert!(below["unknown"].as_str().unwrap().contains("no provenance"), "{below:#}");
    let answer =
        lab.reprov(&["diff", &one, &two, "--store", &lab.path("store"), "--format", "json"]).exits(1).json();
    assert_eq!(
        (&answer["inherited"]["a"]["layers"], &answer["inherited"]["b"]["layers"]),
        (&1.into(), &1.into())
    );
    assert_ne!(answer["inherited"]["a"]["base"], answer["inherited"]["b"]["base"]);
}

#[test]
fn every_form_of_one_root_makes_one_image() {
    let lab = Lab::new();
    let gz = Base::Tiny.rootfs();
    let script = "mkdir root && gzip -dc \"$0\" | tar --extract --preserve-permissions --same-owner --directory root &&
        ln root/bin/busybox root/bin/another && ln root/etc/passwd root/etc/a-first-name && touch -d @1704067200 root/bin root/etc && touch -d @1704067300 root/etc/group &&
        tar --numeric-owner --directory root --create --file plain.tar . &&
        gzip --keep plain.tar && zstd -q plain.tar && xz --keep plain.tar && mv plain.tar.gz no-ending";
    let mut shell = lab.command("sh");
    must(shell.args(["-c", script, gz.to_str().unwrap()]));
    let mut forms =
        vec![("plain.tar", "none"), ("no-ending", "gzip"), ("plain.tar.zst", "zstd"), ("plain.tar.xz", "xz")];
    if root() {
        forms.push(("root", "none")); // Whoever is not root has other owners in the directory.
    }
    let mut images = Vec::new();
    for (name, compression) in &forms {
        let layout = lab.path(&format!("layout-{name}"));
        let answer = import(&lab, &lab.path(name), &format!("oci:{layout}:1"), &[]).exits(0).json();
        assert_eq!(answer["rootfs"]["compression"], *compression);
        assert_eq!(answer["created"], "2024-01-01T00:01:40Z", "the newest time in it: {answer:#}");
        let digest = &answer["rootfs"]["digest"];
        match *name {
            "root" => assert_eq!(*digest, answer["layer"]["diff_id"]),
            name => assert_eq!(*digest, sha256(Path::new(&lab.path(name)))),
        }
        images.push(Image::in_layout(Path::new(&layout)));
    }
    for image in &images {
        assert_eq!(image.digest, images[0].digest);
    }
    let other =
        import(&lab, &lab.path("plain.tar"), &format!("oci:{}:1", lab.path("other")), &["--epoch", "1"]);
    assert_eq!(other.exits(0).json()["created"], "1970-01-01T00:00:01Z");
}

#[test]
fn an_ordinary_users_directory_has_that_users_ids() {
    let lab = Lab::ordinary();
    let mut shell = lab.command("sh");
    must(shell.args(["-c", "mkdir -p root/bin && cp \"$(command -v busybox)\" root/bin/sh"]));
    let answer = import(&lab, &lab.path("root"), &format!("oci:{}:1", lab.path("layout")), &[]);
    answer.exits(0).says("belongs to user").json();
}

#[test]
fn what_cannot_be_a_base_is_refused() {
    let lab = Lab::new();
    let to = format!("oci:{}:1", lab.path("layout"));
    let device = lab.path("device.tar");
    let mut builder = tar::Builder::new(fs::File::create(&device).unwrap());
    let mut header = tar::Header::new_gnu();
    for (path, kind) in [("etc/", tar::EntryType::Directory), ("etc/evil", tar::EntryType::Char)] {
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o755);
        header.set_device_major(1).unwrap();
        header.set_device_minor(1).unwrap();
        builder.append_data(&mut header, path, std::io::empty()).unwrap();
    }
    builder.finish().unwrap();
    let refused =
        import(&lab, &device, &to, &[]).exits(1).says("etc/evil").says("device outside of dev/").json();
    assert_eq!(refused["image"], Value::Null);
    fs::write(lab.path("cut.tar"), &fs::read(&device).unwrap()[..700]).unwrap();
    import(&lab, &lab.path("cut.tar"), &to, &[]).exits(1).says("cut off").json();
    fs::write(lab.path("empty.tar"), [0; 1024]).unwrap();
    import(&lab, &lab.path("empty.tar"), &to, &[]).exits(2).says("--platform").json();
    import(&lab, &lab.path("nothing.tar"), &to, &[]).exits(2).says("cannot read and copy").json();
    let tiny = Base::Tiny.rootfs();
    let tiny = tiny.to_str().unwrap();
    import(&lab, tiny, &to, &["--platform", "linux/s390x"]).exits(2).says("are for linux/").json();
    import(&lab, tiny, &to, &["--platform", "plan9/amd64"]).exits(2).says("is not linux/ARCH").json();
    import(&lab, tiny, &to, &["--source", "not a url"]).exits(2).json();
    import(&lab, tiny, &to, &["--source", "https://me:secret@images.example.org/x"])
        .exits(2)
        .says("password")
        .json();
    lab.reprov(&["import", tiny, "--tag", &to]).exits(2).says("--key");
    assert!(!Path::new(&lab.path("layout")).join("index.json").exists(), "nothing was tagged");
    assert_eq!(lab.leftovers(), Vec::<String>::new());
    let left = Command::new("find").args([&lab.path("store/tmp"), "-type", "f"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}
