//! PEM (RFC 7468), to the extent that tells one block from anything more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bstr::ByteSlice as _;

/// What ends the label of a private key, whatever its form.
pub(super) const PRIVATE: &[u8] = b"PRIVATE KEY";
/// Most blocks of one text that are read.
const BLOCKS_MAX: usize = 1000;

/// The label of the one block that `text` consists of, with nothing before or after it.
pub(super) fn only_label(text: &[u8]) -> Option<&[u8]> {
    let mut lines = text.split_str("\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let label = lines.next()?.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
    let end = [b"-----END ", label, b"-----"].concat();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut body = false;
    loop {
        let line = lines.next()?;
        if line == end {
            break;
        }
        // Headers of encrypted keys (RFC 1421) come before the body.
        let header = !body && (line.is_empty() || line.contains_str(": "));
        if !header {
            if line.is_empty() || !line.iter().all(base64) {
                return None;
            }
            body = true;
        }
    }
    (body && lines.all(<[u8]>::is_empty)).then_some(label)
}

/// The blocks that `text` consists of, each with its label and what it holds.
pub(super) fn blocks(text: &[u8]) -> Option<Vec<(&[u8], Vec<u8>)>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while !rest.iter().all(u8::is_ascii_whitespace) {
        let label = rest.strip_prefix(b"-----BEGIN ")?.split_once_str("-----")?.0;
        let end = [b"-----END ", label, b"-----"].concat();
        let after = rest.find(&end)? + end.len();
        let (block, behind) = rest.split_at(after);
        (only_label(block)? == label && blocks.len() < BLOCKS_MAX).then_some(())?;
        let body = block.lines().filter(|line| !line.starts_with(b"-----") && !line.contains_str(": "));
        blocks.push((label, STANDARD.decode(body.flat_map(<[u8]>::trim).copied().collect::<Vec<_>>()).ok()?));
        rest = behind.trim_start_with(|letter| matches!(letter, '\r' | '\n'));
    }
    Some(blocks)
}

/// The label of the one private key that `text` is.
pub(super) fn private_key(text: &[u8]) -> Option<&[u8]> {
    only_label(text).filter(|label| label.ends_with(PRIVATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_and_nothing_else() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAA+\nBB==\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(private_key(key.as_bytes()), Some(&b"RSA PRIVATE KEY"[..]));
        assert!(private_key(key.replace('\n', "\r\n").as_bytes()).is_some());
        let public = key.replace("PRIVATE", "PUBLIC");
        assert_eq!((only_label(public.as_bytes()).is_some(), private_key(public.as_bytes())), (true, None));
        for other in [
            format!("{key}x"),
            format!("x{key}"),
            format!("{key}{key}"),
            key.replace("BB", "B!"),
            key.replace("END RSA", "END EC"),
            key.replace("AAA+\nBB==\n", ""),
            key.replace("BB==\n", "BB==\n\n"),
            key.split_at(60).0.to_owned(),
            String::new(),
        ] {
            assert_eq!(only_label(other.as_bytes()), None, "{other}");
        }
    }
}
