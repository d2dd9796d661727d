//! Through a proxy of this machine, to a host with a private authority.

use std::process::Command;

use crate::support::{Lab, Proxy, Ran, Registry};

/// base64 of `reader:canary-7261`, and the password in it.
const LOGIN: (&str, &str) = ("cmVhZGVyOmNhbmFyeS03MjYx", "canary-7261");

const DOCKERFILE: &str = "FROM base.example/tiny:1\nADD https://mirror.example.org/greeting /secure\n\
    RUN wget -q -O /plain http://mirror.example.org/plain\n";

struct Rig {
    lab: Lab,
    proxy: Proxy,
    to: String,
}

impl Rig {
    fn new(name: &str) -> Self {
        let (lab, proxy) = (Lab::new(), Proxy::start());
        std::fs::write(lab.path("ca.pem"), &proxy.ca).unwrap();
        Self { lab, proxy, to: Registry::shared().name(name) }
    }

    /// Builds with exactly these proxy variables, and the proxy's authority alone.
    fn build(&self, name: &str, variables: &[(&str, &str)]) -> Ran {
        let ca = self.lab.path("ca.pem");
        let variables: Vec<_> = variables.iter().copied().chain([("SSL_CERT_FILE", ca.as_str())]).collect();
        self.build_with(name, &variables, &[])
    }

    fn build_with(&self, name: &str, variables: &[(&str, &str)], more: &[&str]) -> Ran {
        let source = self.lab.source(name, &[("Dockerfile", DOCKERFILE)]);
        let allow = ["--allow", "s=https://mirror.example.org/", "--allow", "p=http://mirror.example.org/"];
        let more = [&allow, more].concat();
        let mut command: Command = self.lab.building(Registry::shared(), &source, &self.to, &more);
        let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for name in set.iter().filter(|name| name.to_string_lossy().to_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        Lab::run(command)
    }
}

#[test]
fn builds_through_a_proxy_and_replays_without() {
    let rig = Rig::new("proxied");
    let url = format!("http://reader:{}@{}", LOGIN.1, rig.proxy.host);
    let built = rig.build("proxied", &[("https_proxy", &url), ("http_proxy", &url)]).exits(0);
    let asked = rig.proxy.asked();
    let line = |text: &str| asked.iter().any(|line| line.eq_ignore_ascii_case(text));
    assert!(line("CONNECT mirror.example.org:443 HTTP/1.1"), "{asked:?}");
    assert!(line("GET http://mirror.example.org/plain HTTP/1.1"), "{asked:?}");
    assert!(line(&format!("proxy-authorization: Basic {}", LOGIN.0)), "{asked:?}");
    let image = Registry::shared().image("proxied");
    assert_eq!((image.text("secure"), image.text("plain")), ("from afar...".into(), "from afar...".into()));
    for (text, word) in
        [(&built.out, LOGIN.0), (&built.out, LOGIN.1), (&built.err, LOGIN.0), (&built.err, LOGIN.1)]
    {
        assert!(!text.contains(word), "{built}");
    }
    for word in [LOGIN.0, LOGIN.1] {
        let mut grep = Command::new("grep");
        grep.args(["-rlaF", word, &rig.lab.path("store")]);
        assert_eq!(grep.output().unwrap().stdout, b"", "{word} is in the store");
    }
    assert_eq!(rig.lab.rebuild(&rig.to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
    assert_eq!(rig.proxy.asked(), asked, "a rebuild asked the proxy");
}

#[test]
fn a_file_may_say_it_too() {
    let rig = Rig::new("configured");
    let (file, ca) = (rig.lab.path("config.toml"), rig.lab.path("ca.pem"));
    let network = format!("[network]\nproxy = \"http://{}\"\nca = \"{ca}\"\n", rig.proxy.host);
    std::fs::write(&file, network).unwrap();
    rig.build_with("configured", &[], &["--config", &file]).exits(0);
    assert_eq!(rig.proxy.asked().len(), 2, "{:?}", rig.proxy.asked());
    std::fs::write(&file, "[network]\nproxies = 1\n").unwrap();
    rig.build_with("misspelt", &[], &["--config", &file]).exits(2).says("unknown field `proxies`");
}

#[test]
fn no_proxy_and_the_authority_count() {
    let rig = Rig::new("unproxied");
    let url = format!("http://{}", rig.proxy.host);
    let both = [("ALL_PROXY", url.as_str()), ("no_proxy", ".example.org")];
    rig.build("direct", &both).exits(1);
    assert_eq!(rig.proxy.asked(), [""; 0]);
    std::fs::write(rig.lab.path("ca.pem"), Proxy::start().ca).unwrap();
    rig.build("distrusted", &[("ALL_PROXY", &url)]).exits(1);
    let asked = rig.proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.starts_with("CONNECT ")), "{asked:?}");
}
