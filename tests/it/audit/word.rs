//! What is wrong with an inventory is said, with its place, before anything is done.

use std::fs;

use super::stand::{Night, bare};
use crate::support::Registry;

#[test]
fn an_inventory_is_read_strictly() {
    let night = Night::new();
    let group = "[[group]]\nname = \"a\"\nimages = [\"127.0.0.1:1/a:1\"]\n";
    let check = |groups: &str, words: &str| {
        night.inventory(groups);
        night.audit(&["--list"]).exits(2).says(words);
    };
    check("", "there is no [[group]]");
    check(&format!("{group}evry = \"7d\"\n"), "line 8: unknown key `evry`; did you mean `every`?");
    check(&format!("{group}policy = \"nowhere.toml\"\n"), "group `a` of the inventory names it");
    check(&format!("{group}trust = []\n"), "group `a` trusts nobody");
    check(&format!("{group}buildroot = \"registry.example.org/b:1\"\n"), "named by digest");
    check(&format!("{group}file = \"nowhere.txt\"\n"), "nowhere.txt");
    check(&format!("{group}file = \"/dev/zero\"\n"), "it is not a file");
    fs::write(night.lab.path("images.txt"), "127.0.0.1:1/b:1\nnot an image\n").unwrap();
    check(&format!("{group}file = \"images.txt\"\n"), "line 2: `not an image`");
    fs::write(night.lab.path("pods.json"), "{\"kind\": \"NodeList\", \"items\": []}").unwrap();
    check(&format!("{group}pods = \"pods.json\"\n"), "kubectl get pods");
    let many = "127.0.0.1:1/b:1\n".repeat(100_001);
    fs::write(night.lab.path("images.txt"), many).unwrap();
    check(&format!("{group}file = \"images.txt\"\n"), "more than 100000 images");
    let ran = night.lab.reprov(&["audit", &night.lab.path("absent.toml"), "--list"]).exits(2);
    assert!(ran.err.contains("absent.toml"), "{ran}");
}

#[test]
fn images_come_from_lists_tags_and_pods_and_each_once() {
    let (night, registry) = (Night::new(), Registry::shared());
    let host = registry.host();
    let one = bare(registry, "word-tags", "1.0", "one");
    bare(registry, "word-tags", "1.1", "two");
    registry.set_tag("word-tags", "1", &one);
    registry.set_tag("word-tags", "latest", &one);
    registry.set_tag("word-tags", &one.replace(':', "-"), &one); // What refers to it would be listed there.
    let running = bare(registry, "word-pods", "1", "three");
    let pods = format!(
        r#"{{"kind":"List","items":[{{"kind":"Pod","metadata":{{"namespace":"n","name":"p"}},"spec":{{"containers":[
        {{"name":"a","image":"{host}/word-pods:moved"}},{{"name":"b","image":"???"}}]}},"status":{{"phase":"Running",
        "containerStatuses":[{{"name":"a","imageID":"{host}/word-pods@{running}"}}]}}}}]}}"#
    );
    fs::write(night.lab.path("pods.json"), pods).unwrap();
    fs::write(
        night.lab.path("images.txt"),
        format!("# ours\n{host}/word-tags:1.1\n{host}/word-tags:1.1 # twice\n"),
    )
    .unwrap();
    fs::write(night.lab.path("empty.txt"), "# nothing\n").unwrap();
    night.inventory(&format!(
        "[[group]]\nname = \"lists\"\nfile = [\"images.txt\", \"empty.txt\"]\npods = \"pods.json\"\nrebuild = \"none\"\n\
         [[group]]\nname = \"tags\"\nrepository = \"{host}/word-tags\"\ntags = [\"1*\", \"2.*\", \"*\"]\nrebuild = \"none\"\n\
         [[group]]\nname = \"none\"\nrepository = \"{host}/word-nowhere\"\ntags = \"*\"\nrebuild = \"none\"\n"
    ));
    let ran = night.audit(&["--list"]).exits(1);
    let answer = ran.json();
    let names: Vec<_> =
        answer["images"].as_array().unwrap().iter().map(|image| image["image"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{ran}");
    assert!(names.iter().any(|name| name.ends_with(&format!("word-pods:moved@{running}"))), "{ran}");
    let tagged = answer["images"]
        .as_array()
        .unwrap()
        .iter()
        .find(|image| image["image"].as_str().unwrap().contains(&one));
    assert_eq!(tagged.unwrap()["also"].as_array().unwrap().len(), 2, "{ran}");
    let notices: Vec<_> = answer["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| format!("{} {}", notice["kind"].as_str().unwrap(), notice["message"].as_str().unwrap()))
        .collect();
    for words in [
        "duplicate ",
        "no-image `empty.txt` names no image",
        "unclear `???` of pod n/p",
        "no-tag no tag of",
        "fits `2.*`; it has 4 tags",
        "unclear the tags of",
        "word-nowhere could not be listed",
    ] {
        assert!(notices.iter().any(|notice| notice.contains(words)), "`{words}`: {notices:#?}");
    }
}
