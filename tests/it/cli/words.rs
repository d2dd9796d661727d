//! What the program says of itself: help, manual pages, completions, explanations.

use crate::support::Lab;

const COMMANDS: &[&str] = &[
    "build",
    "rebuild",
    "import",
    "copy",
    "attest",
    "diff",
    "verify",
    "promote",
    "audit",
    "report",
    "notify",
    "test",
    "policy",
    "trace",
    "evidence",
    "history",
    "ledger",
    "key",
    "doctor",
    "store",
    "explain",
    "completions",
    "man",
    "help",
    "",
];
const NESTED: &[&str] = &[
    "evidence verify",
    "ledger check",
    "ledger rebuild",
    "key generate",
    "key public",
    "key import",
    "policy check",
    "policy print",
    "store du",
    "store gc",
    "store prune",
    "store rm",
];

/// Every command that has help of its own.
fn commands() -> impl Iterator<Item = Vec<&'static str>> {
    let all = COMMANDS.iter().chain(NESTED).filter(|command| **command != "help");
    all.map(|command| command.split_whitespace().collect())
}

#[test]
fn help_lists_what_there_is_and_nothing_else() {
    let lab = Lab::new();
    let listed = |args: &[&str]| -> Vec<String> {
        let help = lab.reprov(args).exits(0);
        let lines = help.out.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
        lines.map_while(|line| Some(line.strip_prefix("  ")?.split_whitespace().next()?.to_owned())).collect()
    };
    assert_eq!(listed(&["--help"]), COMMANDS[..COMMANDS.len() - 1]);
    for parent in ["key", "ledger", "policy", "store"] {
        let nested = NESTED.iter().filter_map(|command| command.strip_prefix(parent));
        let names: Vec<_> = nested.map(str::trim).chain(["help"]).collect();
        assert_eq!(listed(&[parent, "--help"]), names);
    }
}

#[test]
fn help_of_every_command() {
    let lab = Lab::new();
    for words in commands() {
        let ran = lab.reprov(&[&words[..], &["--help"]].concat()).exits(0);
        let name = [&["help"], &words[..]].concat().join("-");
        insta::assert_snapshot!(name, ran.out);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let lab = Lab::new();
    for words in commands() {
        let page = lab.reprov(&[&["man"], &words[..]].concat()).exits(0).out;
        let name = [&["reprov"], &words[..]].concat().join("-");
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        assert!(page.contains(".SH OPTIONS"), "{page}");
    }
    lab.reprov(&["man", "frobnicate"]).exits(2).says("no command `reprov frobnicate`");
}

#[test]
fn completions_are_scripts_that_their_shell_can_read() {
    let lab = Lab::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = lab.reprov(&["completions", shell]).exits(0).out;
        assert!(script.contains("rebuild") && script.contains("insecure-skip-verify"), "{shell}");
    }
    for before in ["store", "help store"] {
        let complete = "eval \"$(\"$0\" completions bash)\"; COMP_WORDS=(reprov $1 p); \
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _reprov reprov p store; echo \"${COMPREPLY[*]}\"";
        let mut bash = lab.command("bash");
        bash.args(["-c", complete, lab.program(), before]);
        assert_eq!(Lab::run(bash).exits(0).out.trim(), "prune", "{before}");
    }
    lab.reprov(&["completions", "sh"]).exits(2);
}

#[test]
fn codes_are_explained() {
    let lab = Lab::new();
    let all = lab.reprov(&["explain", "--format", "json"]).exits(0).json();
    let entries = all["entries"].as_array().unwrap();
    for entry in entries {
        let code = entry["code"].as_str().unwrap();
        let one = lab.reprov(&["explain", code, "--format", "json"]).exits(0).json();
        assert!(one["entries"].as_array().unwrap().contains(entry), "{code}: {one:#}");
    }
    let list = lab.reprov(&["explain"]).exits(0).out;
    assert!(entries.iter().all(|entry| list.contains(entry["code"].as_str().unwrap())), "{list}");
    let page = lab.reprov(&["explain", "shadow-date"]).exits(0);
    assert!(page.out.contains("/etc/shadow") && page.out.contains("remedy"), "{page}");
    lab.reprov(&["explain", "shadow-data"]).exits(2).says("shadow-date");
}
