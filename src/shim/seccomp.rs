//! A step's filter of system calls: the engine's, tightened. What holds for the whole cage is `filter`'s.

use super::json::Json;

/// System calls no build needs and that open attack surface; answered EPERM.
const DENIED: &[&str] = &[
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    // Sockets by 32-bit programs' old call, whose address family a filter cannot see; `socket` is still there.
    "socketcall",
];
/// Families of sockets from here on are refused: packets, and those that leave the network namespace (the virtual
/// machine's host, Qualcomm's routers) or that no build needs (kernel cryptography, Bluetooth). Below are unix, inet,
/// inet6, netlink.
const AF_PACKET: &str = "17";
const AF_NETLINK: &str = "16";
const NETLINK_AUDIT: &str = "9";
const EPERM: Option<&str> = Some("1");
const EINVAL: Option<&str> = Some("22");

/// Tightens the engine's filter; a step without one is not started.
pub fn tighten(config: &mut Json) -> Result<(), String> {
    let rules = config
        .entry("linux", Json::Object(Vec::new()))
        .and_then(|linux| linux.entry("seccomp", Json::Object(Vec::new())))
        .and_then(|filter| filter.entry("syscalls", Json::Array(Vec::new())))
        .and_then(Json::items)
        .filter(|rules| !rules.is_empty())
        .ok_or("the engine set no seccomp filter for this step; its profile (package golang-github-containers-common) is missing or empty")?;
    for rule in rules.iter_mut() {
        if let Some(names) = rule.entry("names", Json::Array(Vec::new())).and_then(Json::items) {
            names.retain(|name| !name.text().is_some_and(|name| name == "socket" || DENIED.contains(&name)));
        }
    }
    rules.retain(|rule| !matches!(rule.get("names"), Some(Json::Array(names)) if names.is_empty()));
    rules.push(rule(DENIED, EPERM, &[]));
    // No two conditions that can hold at once: which of two rules wins then is not defined.
    rules.push(rule(&["socket"], EPERM, &[("0", AF_PACKET, "SCMP_CMP_GE")]));
    rules.push(rule(
        &["socket"],
        EINVAL, // As the engine has it: to libaudit, so to every useradd, it means a kernel without audit.
        &[("0", AF_NETLINK, "SCMP_CMP_EQ"), ("2", NETLINK_AUDIT, "SCMP_CMP_EQ")],
    ));
    rules.push(rule(
        &["socket"],
        None,
        &[("0", AF_PACKET, "SCMP_CMP_LT"), ("2", NETLINK_AUDIT, "SCMP_CMP_NE")],
    ));
    Ok(())
}

/// A rule of the filter: system calls, the error they give (none: they are allowed), and (argument, value, comparison)
/// that must all hold.
fn rule(names: &[&str], error: Option<&str>, conditions: &[(&str, &str, &str)]) -> Json {
    let action = if error.is_some() { "SCMP_ACT_ERRNO" } else { "SCMP_ACT_ALLOW" };
    let mut fields =
        vec![("names".into(), Json::strings(names.iter().copied())), ("action".into(), Json::string(action))];
    if let Some(error) = error {
        fields.push(("errnoRet".into(), Json::Scalar(error.into())));
    }
    if !conditions.is_empty() {
        let condition = |(argument, value, comparison): &(&str, &str, &str)| {
            Json::Object(vec![
                ("index".into(), Json::Scalar((*argument).into())),
                ("value".into(), Json::Scalar((*value).into())),
                ("op".into(), Json::string(comparison)),
            ])
        };
        fields.push(("args".into(), Json::Array(conditions.iter().map(condition).collect())));
    }
    Json::Object(fields)
}
