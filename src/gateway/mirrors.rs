//! Lists of mirrors, cut to one that is allowed: which one a client would take is chance (WIRE.md §3).

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MirrorList {
    /// XML, version 3 or 4 (RFC 5854).
    Metalink,
    /// One URL a line.
    Plain,
}

impl MirrorList {
    /// What an answer is: by its media type, or as yum repositories name their lists.
    pub(super) fn of(media_type: &str, yum: bool, url: &str) -> Option<Self> {
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/metalink+xml" | "application/metalink4+xml" => Some(Self::Metalink),
            _ if yum && url.contains("mirrorlist") => Some(Self::Plain),
            _ => None,
        }
    }

    /// The list with the first URL that is `allowed` as its only one (of each file, in a metalink); nothing if there
    /// is none, or if it is not such a list.
    pub(super) fn cut(self, bytes: &[u8], allowed: impl Fn(&str) -> bool) -> Option<String> {
        let text = str::from_utf8(bytes).ok()?;
        match self {
            Self::Metalink => metalink(text, &allowed),
            Self::Plain => {
                let mut urls = text.lines().map(str::trim);
                urls.find(|url| allowed(url)).map(|url| format!("{url}\n"))
            }
        }
    }
}

/// Copies everything but the URLs that are not chosen, comments, and pointers to other lists (`metaurl`).
fn metalink(text: &str, allowed: &dyn Fn(&str) -> bool) -> Option<String> {
    let (mut cut, mut rest) = (String::new(), text);
    let (mut files, mut chosen) = (0, None);
    while let Some(at) = rest.find('<') {
        cut.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = &comment[comment.find("-->")? + 3..];
            continue;
        }
        let tag = tag(rest)?;
        rest = &rest[tag.len()..];
        match local_name(tag) {
            "file" if chosen.is_none() => chosen = Some(false),
            "/file" if chosen == Some(true) => (chosen, files) = (None, files + 1),
            "file" | "/file" => return None,
            "url" | "metaurl" if tag.ends_with("/>") => continue,
            name @ ("url" | "metaurl") => {
                let (written, after) = rest.split_at(rest.find('<')?);
                let end = self::tag(after)?;
                if local_name(end).strip_prefix('/') != Some(name) {
                    return None;
                }
                rest = &after[end.len()..];
                if name == "url" && chosen == Some(false) && allowed(plain(written.trim())?.as_str()) {
                    chosen = Some(true);
                    cut.extend([tag, written, end]);
                }
                continue;
            }
            _ => {}
        }
        cut.push_str(tag);
    }
    cut.push_str(rest);
    (files > 0 && chosen.is_none()).then_some(cut)
}

/// The tag that `text` starts with; declarations, which could give names another meaning, are none.
fn tag(text: &str) -> Option<&str> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '>') => return Some(&text[..=at]).filter(|tag| !tag.starts_with("<!")),
            _ => {}
        }
    }
    None
}

/// `url` of `<m:url a="b">`, `/url` of `</m:url>`.
fn local_name(tag: &str) -> &str {
    let inner = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
    let name = inner.split_ascii_whitespace().next().unwrap_or_default();
    match name.split_once(':') {
        Some((prefix, "url")) if prefix.starts_with('/') => "/url",
        Some((prefix, "metaurl")) if prefix.starts_with('/') => "/metaurl",
        Some((prefix, "file")) if prefix.starts_with('/') => "/file",
        Some((_, local)) => local,
        None => name,
    }
}

/// Text without XML's escapes; only those that a URL needs are known.
fn plain(text: &str) -> Option<String> {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#38;", "&amp;")];
    let text = named.iter().fold(text.to_owned(), |text, (name, letter)| text.replace(name, letter));
    let without = text.replace("&amp;", "");
    (!without.contains('&')).then(|| text.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(url: &str) -> bool {
        url.starts_with("http://mirror.example.org/")
    }

    #[track_caller]
    fn check(list: MirrorList, text: &str, expected: Option<&str>) {
        assert_eq!(list.cut(text.as_bytes(), allowed).as_deref(), expected);
    }

    #[test]
    fn plain_lists_keep_the_first_that_is_allowed() {
        let list = "# country = any\nftp://mirror.example.org/a\n\nhttp://other.example.org/a\n http://mirror.example.org/b\r\nhttp://mirror.example.org/c\n";
        check(MirrorList::Plain, list, Some("http://mirror.example.org/b\n"));
        check(MirrorList::Plain, "http://other.example.org/a\n", None);
        check(MirrorList::Plain, "", None);
        assert_eq!(MirrorList::Plain.cut(b"\xff", allowed), None);
    }

    #[test]
    fn metalinks_keep_one_url_a_file() {
        let list = "<?xml version=\"1.0\"?><metalink xmlns=\"urn:m\"><!-- <url>x</url> --><file name=\"a>b\"><hash type=\"sha-256\">00</hash>\
            <metaurl mediatype=\"torrent\">http://mirror.example.org/t</metaurl>\
            <url location=\"de\">http://other.example.org/a</url><url priority=\"2\"> http://mirror.example.org/a?b&amp;c </url>\
            <url>http://mirror.example.org/z</url><url/></file></metalink>\n";
        let cut = "<?xml version=\"1.0\"?><metalink xmlns=\"urn:m\"><file name=\"a>b\"><hash type=\"sha-256\">00</hash>\
            <url priority=\"2\"> http://mirror.example.org/a?b&amp;c </url></file></metalink>\n";
        check(MirrorList::Metalink, list, Some(cut));
        let prefixed = "<m:metalink><m:files><m:file><m:url>http://other.example.org/</m:url>\
            <m:url>http://mirror.example.org/</m:url></m:file></m:files></m:metalink>";
        let cut = "<m:metalink><m:files><m:file><m:url>http://mirror.example.org/</m:url></m:file></m:files></m:metalink>";
        check(MirrorList::Metalink, prefixed, Some(cut));
    }

    #[test]
    fn refuses_lists_that_can_be_read_two_ways() {
        let url = "<url>http://mirror.example.org/</url>";
        for text in [
            "",
            "<metalink/>",
            "<metalink><file></file></metalink>",
            "<metalink><file><url>http://other.example.org/</url></file></metalink>",
            &format!("<metalink>{url}</metalink>"),
            &format!("<metalink><file>{url}"),
            &format!("<metalink><file>{url}<file>{url}</file></file></metalink>"),
            &format!("<metalink><file>{url}</file><file></file></metalink>"),
            &format!("<!DOCTYPE m [<!ENTITY x \"y\">]><metalink><file>{url}</file></metalink>"),
            &format!("<metalink><file><![CDATA[<url>]]>{url}</file></metalink>"),
            &format!("<metalink><!-- <file>{url}</file></metalink>"),
            "<metalink><file><url>http://mirror.example.org/<b/></url></file></metalink>",
            "<metalink><file><url>http://mirror.example.org/&x;</url></file></metalink>",
        ] {
            check(MirrorList::Metalink, text, None);
        }
    }

    #[test]
    fn knows_a_list_by_its_type_or_by_yums_word() {
        let of = |media_type, yum| MirrorList::of(media_type, yum, "http://a.example/mirrorlist?x");
        assert_eq!(of("Application/Metalink+XML; charset=utf-8", false), Some(MirrorList::Metalink));
        assert_eq!(of("application/metalink4+xml", true), Some(MirrorList::Metalink));
        assert_eq!(of("text/plain", true), Some(MirrorList::Plain));
        assert_eq!(of("text/plain", false), None);
        assert_eq!(MirrorList::of("text/plain", true, "http://a.example/repodata"), None);
    }
}
