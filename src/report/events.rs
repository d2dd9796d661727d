//! Events as lines for people: output as it is, all else as a sentence of reprov's.

use super::size;
use crate::transcript::Event;

/// `event` as one line, without its end; what is in it is the build's and not fit for a terminal yet.
#[must_use]
pub fn shown(event: &Event) -> String {
    if let Some(text) = &event.text {
        let cut = event.cut.map(|bytes| format!(" [{bytes} more bytes]")).unwrap_or_default();
        return format!("{text}{cut}");
    }
    let line = event.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("reprov: {line}{}", sentence(event))
}

fn sentence(event: &Event) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let because = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let step = text(&event.step);
    match event.kind.as_str() {
        "began" => format!("build {} of {}", text(&event.build), text(&event.image)),
        "cage" => {
            let (mode, namespaces) = (text(&event.mode), event.namespaces.join(", "));
            let varied = event.varied.join(",");
            let varied = if varied.is_empty() { varied } else { format!("; varied: {varied}") };
            format!("entered the cage, mode {mode}: {namespaces}{varied}")
        }
        "limit" => format!("limit {}: {}", text(&event.limit), event.allowed.unwrap_or(0)),
        "exceeded" => {
            let (allowed, found) = (event.allowed.unwrap_or(0), event.found.unwrap_or(0));
            format!("limit {} passed: {allowed} allowed, {found} found", text(&event.limit))
        }
        "step" => format!("comes to {step}"),
        "step-began" => format!("runs {step}"),
        "step-ended" => format!("ended {step}"),
        "cut-off" => {
            let what = match event.protocol.as_deref() {
                Some("udp") => "datagram(s) to loopback, where nobody is (DNS, often)".to_owned(),
                protocol => format!("attempt(s) without a route by {}", protocol.unwrap_or("any protocol")),
            };
            format!("cut off, since they ignored the proxy: {} {what}", event.count.unwrap_or(0))
        }
        "cut" => format!("events are cut{because}"),
        "ended" => {
            format!("{}{because}", text(&event.outcome))
        }
        kind => {
            let bytes = event.size.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
            let status = event.status.map(|status| format!(" {status}")).unwrap_or_default();
            format!("{kind} {} {}{status}{bytes}{because}", text(&event.method), text(&event.url))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> Event {
        Event::new("2026-11-25T00:00:00Z".into(), kind)
    }

    #[test]
    fn lines() {
        let long = [b"a".repeat(4096), b"bcd\n".to_vec()].concat();
        let shown_long = shown(&Event::output("2026-11-25T00:00:00Z".into(), &long));
        assert!(shown_long.ends_with("aa [3 more bytes]"), "{shown_long}");
        let refused = Event {
            line: Some(3),
            method: Some("GET".into()),
            url: Some("http://mirror.example.org/x".into()),
            reason: Some("not-allowed".into()),
            ..event("refused")
        };
        let cut_off =
            Event { line: Some(4), protocol: Some("ipv6".into()), count: Some(2), ..event("cut-off") };
        let ended = Event {
            outcome: Some("failed".into()),
            reason: Some("no".into()),
            exit: Some(7),
            ..event("ended")
        };
        let fetched = Event {
            size: Some(2048),
            status: Some(200),
            reason: None,
            ..Event { kind: "fetched".into(), ..refused.clone() }
        };
        let cage = Event {
            mode: Some("host".into()),
            namespaces: vec!["net".into(), "pid".into()],
            varied: vec!["time=+400d".into(), "cpus".into()],
            ..event("cage")
        };
        let text: Vec<_> = [cage, refused, cut_off, ended, fetched].iter().map(shown).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        reprov: entered the cage, mode host: net, pid; varied: time=+400d,cpus
        reprov: line 3: refused GET http://mirror.example.org/x: not-allowed
        reprov: line 4: cut off, since they ignored the proxy: 2 attempt(s) without a route by ipv6
        reprov: failed: no
        reprov: line 3: fetched GET http://mirror.example.org/x 200, 2.0 KiB
        ");
    }
}
