//! PEM (RFC 7468), to the extent that tells one block from anything more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bstr::ByteSlice as _;

/// Most blocks of one text that are read.
const BLOCKS_MAX: usize = 1000;

/// One block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) label: &'a [u8],
    /// Whether headers say that it is encrypted (RFC 1421).
    pub(super) encrypted: bool,
    pub(super) bytes: Vec<u8>,
}

/// The label of the one block that `text` consists of, with nothing before or after it.
fn only_label(text: &[u8]) -> Option<&[u8]> {
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

/// The blocks that `text` consists of, one at least, with nothing between or behind them but ends of lines.
pub(super) fn blocks(text: &[u8]) -> Option<Vec<Block<'_>>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let label = rest.strip_prefix(b"-----BEGIN ")?.split_once_str("-----")?.0;
        let end = [b"-----END ", label, b"-----"].concat();
        let after = rest.find(&end)? + end.len();
        let (block, behind) = rest.split_at(after);
        (only_label(block)? == label && blocks.len() < BLOCKS_MAX).then_some(())?;
        let header = |line: &&[u8]| line.starts_with(b"-----") || line.contains_str(": ");
        let body: Vec<u8> = block.lines().filter(|line| !header(line)).flatten().copied().collect();
        let encrypted = block.contains_str("Proc-Type: 4,ENCRYPTED");
        blocks.push(Block { label, encrypted, bytes: STANDARD.decode(body).ok()? });
        let ends = behind.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        rest = &behind[ends..];
    }
    (!blocks.is_empty()).then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_and_nothing_else() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAA+\nBA==\n-----END RSA PRIVATE KEY-----\n";
        for text in [key.to_owned(), key.replace('\n', "\r\n"), key.trim_end().to_owned()] {
            let found = blocks(text.as_bytes()).unwrap();
            let Block { label, encrypted, bytes } = &found[0];
            assert_eq!((found.len(), *label, *encrypted, &bytes[..]), (1, &b"RSA PRIVATE KEY"[..], true, &[0, 0, 62, 4][..]));
        }
        assert_eq!(blocks(key.repeat(2).as_bytes()).map(|blocks| blocks.len()), Some(2));
        for other in [
            format!("{key}x"),
            format!("x{key}"),
            key.replace("BA", "B!"),
            key.replace("END RSA", "END EC"),
            key.replace("AAA+\nBA==\n", ""),
            key.replace("BA==\n", "BA==\n\n"),
            key.split_at(60).0.to_owned(),
            String::new(),
        ] {
            assert!(blocks(other.as_bytes()).is_none(), "{other}");
        }
    }
}
