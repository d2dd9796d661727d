//! What a Dockerfile says about the image stands in its config, and nothing else does.

use serde_json::json;

use crate::support::{Lab, Registry};

#[test]
fn every_key_is_what_the_dockerfile_says() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    lab.build(registry, &lab.fixture("config"), &registry.name("config"), &[]).exits(0);
    let image = registry.image("config");
    let wanted = json!({
        "Cmd": ["-c", "true"],
        "Entrypoint": ["/bin/sh"],
        "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=fr_FR.UTF-8", "MODE=a b"],
        "ExposedPorts": {"8080/tcp": {}, "8443/tcp": {}},
        "Healthcheck": {
            "Interval": 30_000_000_000_u64, "Retries": 2, "Test": ["CMD", "/bin/true"], "Timeout": 3_000_000_000_u64,
        },
        "Labels": {"org.example.title": "config", "org.example.words": "two words"},
        "OnBuild": ["RUN echo on top"],
        "Shell": ["/bin/ash", "-c"],
        "StopSignal": "SIGUSR1",
        "User": "1000:1001",
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv/app",
    });
    assert_eq!(image.config["config"], wanted, "{:#}", image.config);
    let keys: Vec<_> = image.config.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["architecture", "config", "created", "history", "os", "rootfs"]);

    let service = image.entry("run/service");
    assert_eq!((service.owner, service.mode, service.kind.is_dir()), ((1000, 1001), 0o750, true));
    let workdir = image.entry("srv/app");
    assert_eq!((workdir.owner, workdir.mode, workdir.kind.is_dir()), ((0, 0), 0o755, true));
    assert_eq!(image.text("lang"), "fr_FR.UTF-8\n", "a locale of the Dockerfile wins over the buildroot's");
}

#[test]
fn history_has_one_entry_for_each_instruction() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    lab.build(registry, &lab.fixture("config"), &registry.name("history"), &[]).exits(0);
    let image = registry.image("history");
    let history = image.config["history"].as_array().unwrap();
    let made_by: Vec<_> = history.iter().map(|entry| entry["created_by"].as_str().unwrap()).collect();
    assert_eq!(made_by[0], "rootfs", "the base's own entry passes through");
    let with_layer = history.iter().filter(|entry| entry["empty_layer"] != true).count();
    assert_eq!(with_layer, image.layers.len(), "{made_by:#?}");
    assert!(made_by.iter().any(|text| text.contains("mkdir /run/service")), "{made_by:#?}");
    assert!(history.iter().skip(1).all(|entry| entry["created"] == image.config["created"]), "{history:#?}");
}
