//! Certificates and keys, as real libraries make them.

use rcgen::{CertificateParams, DnType, IsCa, BasicConstraints, KeyPair};

use super::*;

/// A key and a certificate of it that it signed itself.
fn issued(name: &str, change: fn(&mut CertificateParams)) -> (String, String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["app.example.org".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    (key.serialize_pem(), certificate.pem(), certificate.der().to_vec())
}

fn plain(name: &str) -> (String, String, Vec<u8>) {
    issued(name, |_| {})
}

#[test]
fn reissued_or_another() {
    let (one, other) = (plain("app"), plain("app"));
    check("srv/x.pem", &one.1, &other.1, "certificate");
    check("srv/x.der", &one.2, &other.2, "certificate");
    check("srv/both.pem", one.0.clone() + &one.1, other.0.clone() + &other.1, "certificate");
    check("srv/x.pem", plain("3f2a1b9c8d7e").1, plain("91c0d2e4f6a8").1, "certificate");
    check("srv/x.pem", &one.1, plain("another").1, "unexplained");
    check("srv/x.pem", &one.1, issued("app", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).1, "unexplained");
    check("srv/x.pem", &one.1, other.1.clone() + "x", "unexplained");
    check("srv/x.pem", &one.1, other.1.replace('\n', "\r"), "unexplained");
    check("srv/x.der", &one.2, [&other.2[..], b"x"].concat(), "unexplained");
    check("srv/x.der", &one.2, &other.2[..other.2.len() - 1], "unexplained");
    check("srv/all.pem", one.1.repeat(2), other.1.repeat(2), "unexplained");
    check("etc/ssl/certs/x.pem", &one.1, &other.1, "unexplained");
    let garbage = format!("{}!!!!{}", &other.1[..80], &other.1[84..]);
    check("srv/x.pem", &one.1, garbage, "unexplained");
}

#[test]
fn links_named_after_certificates() {
    let of = |hash: &str, (key, certificate, _): (String, String, Vec<u8>)| {
        let link = format!("etc/ssl/certs/{hash}.0");
        let issued = fake().file("etc/ssl/certs/x.pem", certificate.as_bytes()).symlink(&link, "x.pem");
        issued.file("etc/ssl/private/x.key", key.as_bytes())
    };
    check_layers(
        of("0123abcd", plain("app")),
        of("dcba3210", plain("app")),
        "etc/ssl/certs/0123abcd.0 key-material<etc/ssl/certs/x.pem; \
         etc/ssl/certs/dcba3210.0 key-material<etc/ssl/certs/x.pem; etc/ssl/certs/x.pem certificate; \
         etc/ssl/private/x.key key-material",
    );
}

#[test]
fn private_keys() {
    let (one, other) = (plain("app").0, plain("app").0);
    check("srv/x.key", &one, &other, "key-material");
    check("srv/x.key", &one, other.clone() + "PermitRootLogin yes\n", "unexplained");
    check("srv/x.key", &one, other.replace("PRIVATE", "PUBLIC"), "unexplained");
    let text = |label: &str, bytes: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    check("srv/x.key", &one, text("PRIVATE KEY", &[7; 99]), "unexplained");
    let curve = text("EC PARAMETERS", b"\x06\x08secp256r");
    check("srv/ec.pem", curve.clone() + &one, curve.clone() + &other, "key-material");
    check("srv/ec.pem", curve.clone() + &one, curve.replace("cg==", "cw==") + &other, "unexplained");
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let public = |key: u8| [string(b"ssh-ed25519"), string(&[key; 32])].concat();
    let private = |key: u8| {
        let parts = [string(b"none"), string(b"none"), string(b""), vec![0, 0, 0, 1], string(&public(key)), string(&[key; 99])];
        text("OPENSSH PRIVATE KEY", &[b"openssh-key-v1\0", &parts.concat()[..]].concat())
    };
    let pair = |key: u8, half: u8, comment: &str| {
        let line = format!("ssh-ed25519 {} {comment}\n", base64::engine::general_purpose::STANDARD.encode(public(half)));
        fake().file("root/.ssh/id", private(key).as_bytes()).file("root/.ssh/id.pub", line.as_bytes())
    };
    let both = "root/.ssh/id key-material; root/.ssh/id.pub key-material<root/.ssh/id";
    let not = "root/.ssh/id key-material; root/.ssh/id.pub unexplained";
    check_layers(pair(1, 1, "root@a"), pair(2, 2, "root@a"), both);
    check_layers(pair(1, 1, "root@3f2a1b9c8d7e"), pair(2, 2, "root@91c0d2e4f6a8"), both);
    check_layers(pair(1, 1, "root@a"), pair(2, 2, "root@a evil"), not);
    check_layers(pair(1, 1, "root@a"), pair(2, 3, "root@a"), not);
    check_layers(pair(1, 1, "a"), pair(1, 2, "a"), "root/.ssh/id.pub unexplained");
    check("srv/x.key", private(1), private(2).replace("AAAA", "AAAB"), "unexplained");
    let key = |pem: bool, key: &KeyPair| if pem { key.public_key_pem() } else { key.serialize_pem() };
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let layer = |of: &KeyPair, half: &KeyPair| {
        fake().file("srv/k.key", key(false, of).as_bytes()).file("srv/k.pub", key(true, half).as_bytes())
    };
    check_layers(layer(&one, &one), layer(&other, &other), "srv/k.key key-material; srv/k.pub key-material<srv/k.key");
    check("usr/share/app/release.pem", key(true, &one), key(true, &other), "unexplained");
}

#[test]
fn ids_of_machines() {
    let id = |digit: &str| digit.repeat(32) + "\n";
    let both = |etc: &str, dbus: &str| {
        fake().file("etc/machine-id", id(etc).as_bytes()).file("var/lib/dbus/machine-id", id(dbus).as_bytes())
    };
    check_layers(both("a", "a"), both("b", "b"), "etc/machine-id machine-id; var/lib/dbus/machine-id machine-id");
    check_layers(both("a", "a"), both("b", "c"), "etc/machine-id unexplained; var/lib/dbus/machine-id unexplained");
}
