//! What an image's history says of its layers, whoever built it (image-spec, config.md, `history`).

use serde_json::Value;

use super::Config;

/// Characters of an instruction that are kept.
const SHOWN_CHARS_MAX: usize = 500;
/// How builders write that a shell runs what follows, and that it does not.
const SHELL: &str = "/bin/sh -c ";
const NO_OPERATION: &str = "#(nop) ";
const BUILDKIT: &str = " # buildkit";

impl Config {
    /// The instruction that made each layer, as a Dockerfile has it, in one line; `one of A; B` where a builder made one layer
    /// of several; nothing if the history does not fit the layers.
    #[must_use]
    pub fn made_by(&self) -> Vec<Option<String>> {
        let is_empty = |step: &Value| step.get("empty_layer").and_then(Value::as_bool) == Some(true);
        let (mut made, mut since) = (Vec::new(), Vec::new());
        for step in self.history() {
            let text = step.get("created_by").and_then(Value::as_str).map(instruction).unwrap_or_default();
            if makes_files(&text) {
                since.push(text);
            }
            if !is_empty(step) {
                made.push(one_of(&std::mem::take(&mut since)));
            }
        }
        if made.len() == self.diff_ids().len() { made } else { vec![None; self.diff_ids().len()] }
    }
}

/// Whether an instruction can put files into a layer; of what is none that is known, it can.
fn makes_files(text: &str) -> bool {
    const OTHERS: [&str; 12] = [
        "ARG",
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
    ];
    let word = text.split(' ').next().unwrap_or_default();
    !word.is_empty() && !OTHERS.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// The instruction, if there is one; each of several.
fn one_of(instructions: &[String]) -> Option<String> {
    match instructions {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(shorten(&format!("one of {}", several.join("; ")))),
    }
}

/// `RUN …` for what docker, BuildKit and buildah write of one; other instructions by their own words.
fn instruction(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix(BUILDKIT).unwrap_or(text);
    let (run, text) = text.strip_prefix("RUN ").map_or((false, text), |rest| (true, rest));
    let command = without_arguments(text).strip_prefix(SHELL);
    let text = match command {
        Some(command) => command
            .strip_prefix(NO_OPERATION)
            .map_or_else(|| format!("RUN {command}"), |words| words.trim().to_owned()),
        None if run => format!("RUN {text}"),
        None => text.strip_prefix(NO_OPERATION).unwrap_or(text).to_owned(),
    };
    shorten(&text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX - 1) {
        Some((at, last)) if at + last.len_utf8() < text.len() => format!("{}…", &text[..at]),
        _ => text.to_owned(),
    }
}

/// Without the build arguments that docker writes before a command: `|2 A=1 B=2 /bin/sh -c …`.
fn without_arguments(text: &str) -> &str {
    let count = text.strip_prefix('|').and_then(|rest| rest.split(' ').next());
    match count.filter(|count| count.parse::<u32>().is_ok()).and_then(|_| text.find(SHELL)) {
        Some(at) => &text[at..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_every_builder() {
        for (created_by, expected) in [
            ("/bin/sh -c apt-get update   && true", "RUN apt-get update && true"),
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            ("/bin/sh -c #(nop) COPY file:0a1b in /app ", "COPY file:0a1b in /app"),
            ("RUN /bin/sh -c make # buildkit", "RUN make"),
            ("RUN |1 A=1 /bin/sh -c make # buildkit", "RUN make"),
            ("|2 A=1 B=x y /bin/sh -c make", "RUN make"),
            ("COPY . /app # buildkit", "COPY . /app"),
            ("#(nop) ARG WORD", "ARG WORD"),
            ("RUN date > /built", "RUN date > /built"),
            ("|x", "|x"),
            ("", ""),
        ] {
            assert_eq!(instruction(created_by), expected);
        }
        assert_eq!(instruction(&"ä".repeat(2_000)).chars().count(), SHOWN_CHARS_MAX);
    }

    #[test]
    fn only_a_history_that_fits() {
        let config = |history: &str, layers: usize| {
            let ids = vec![format!("\"sha256:{}\"", "0".repeat(64)); layers].join(",");
            let text = format!(
                r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{ids}]}},"history":{history}}}"#
            );
            Config::parse(text.as_bytes()).unwrap().made_by()
        };
        let history = r#"[{"created_by":"RUN a"},{"empty_layer":true,"created_by":"ENV x"},{"comment":"x"}]"#;
        assert_eq!(config(history, 2), [Some("RUN a".to_owned()), None]);
        assert_eq!(config(history, 3), [None, None, None]);
        assert_eq!(config("[]", 1), [None]);
        let in_one = r#"[{"created_by":"base"},{"empty_layer":true,"created_by":"COPY a /a"},
            {"empty_layer":true,"created_by":"/bin/sh -c b"},{"created_by":"/bin/sh -c #(nop) CMD [\"c\"]"}]"#;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(config(in_one, 2), [text("base"), text("one of COPY a /a; RUN b")]);
        assert_eq!(config(r#"[{"created_by":"CMD c"}]"#, 1), [None]);
    }
}
