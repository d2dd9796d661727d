//! X.509 certificates and PKCS#10 requests in DER (RFC 5280, RFC 2986; X.690), as far as it takes to say whether one is the
//! other issued anew.

/// Deepest nesting that is gone through.
const DEPTH_MAX: usize = 16;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OID: u8 = 6;
/// Extensions whose values follow from keys: subject and authority key identifier.
const KEY_IDS: [&[u8]; 2] = [&[0x55, 0x1d, 0x0e], &[0x55, 0x1d, 0x23]];

/// One value: its tag and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value<'a> {
    tag: u8,
    content: &'a [u8],
}

/// The first value of `bytes`, and what follows it.
fn value(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    // Tags of several bytes are none of a certificate's.
    let (content, rest) = rest.split_at_checked(length).filter(|_| tag & 0x1f != 0x1f)?;
    Some((Value { tag, content }, rest))
}

/// All values of `bytes`, nothing left.
fn values(mut bytes: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (next, rest) = value(bytes)?;
        values.push(next);
        bytes = rest;
    }
    Some(values)
}

/// The values of the one value of tag `tag` that `bytes` are.
fn inside(bytes: &[u8], tag: u8) -> Option<Vec<Value<'_>>> {
    let (whole, rest) = value(bytes)?;
    (whole.tag == tag && rest.is_empty()).then(|| values(whole.content))?
}

/// Whether `bytes` are one sequence of values, and nothing else.
pub(super) fn is_sequence(bytes: &[u8]) -> bool {
    inside(bytes, SEQUENCE).is_some_and(|values| !values.is_empty())
}

/// Whether `bytes` are a PKCS #12 file (RFC 7292): version 3, and data.
pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    let of_data = |content: Value<'_>| {
        let kind = values(content.content).and_then(|values| values.first().copied());
        kind.is_some_and(|kind| kind.tag == OID && kind.content == DATA)
    };
    let content = |values: Vec<Value<'_>>| match values[..] {
        [version, content, ..] => version.content == [3] && of_data(content),
        _ => false,
    };
    inside(bytes, SEQUENCE).is_some_and(content)
}

/// What identifies a public key (RFC 5280, `SubjectPublicKeyInfo`): an RSA modulus, else all of its bits.
pub(super) fn public_number(bytes: &[u8]) -> Option<&[u8]> {
    let parts = inside(bytes, SEQUENCE)?;
    let [algorithm, bits] = parts[..] else { return None };
    let bits =
        bits.content.strip_prefix(&[0]).filter(|_| algorithm.tag == SEQUENCE && bits.tag == BIT_STRING)?;
    let modulus = inside(bits, SEQUENCE).and_then(|values| values.first().map(|value| value.content));
    Some(modulus.unwrap_or(bits))
}

/// What of a certificate, or of a request for one, a reissue leaves as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Issued<'a> {
    /// Version, algorithms, and extensions but for the identifiers of keys.
    pub(super) fixed: Vec<u8>,
    /// Names: issuer, subject, subject's other names.
    pub(super) names: Vec<&'a [u8]>,
    /// Whether it is signed with its own key, and by one that is not read here, or rightly.
    pub(super) holds: bool,
}

/// Reads a certificate.
pub(super) fn certificate(bytes: &[u8]) -> Option<Issued<'_>> {
    let whole = inside(bytes, SEQUENCE)?;
    let [body, algorithm, signature] = whole[..] else { return None };
    let body = (body.tag == SEQUENCE && signature.tag == BIT_STRING).then(|| values(body.content))??;
    let (version, body) = match body.split_first()? {
        (first, rest) if first.tag == 0xa0 => (first.content, rest),
        _ => (&b""[..], &body[..]),
    };
    let [serial, signed, issuer, validity, subject, key, rest @ ..] = body else { return None };
    if serial.tag != INTEGER || validity.tag != SEQUENCE || !are_times(&values(validity.content)?) {
        return None;
    }
    let own = issuer == subject;
    let holds = !own || is_signed(signed_part(bytes)?, key, algorithm.content, signature.content);
    let mut issued = Issued { fixed: Vec::new(), names: vec![issuer.content, subject.content], holds };
    for part in [version, signed.content, algorithm.content, key_algorithm(key)?] {
        put(&mut issued.fixed, part);
    }
    match rest {
        [] => {}
        [extensions] if extensions.tag == 0xa3 => {
            let inner = inside(extensions.content, SEQUENCE)?;
            extended(&inner, &mut issued)?;
        }
        _ => return None,
    }
    Some(issued)
}

/// Reads a request for a certificate.
pub(super) fn request(bytes: &[u8]) -> Option<Issued<'_>> {
    let whole = inside(bytes, SEQUENCE)?;
    let [body, algorithm, signature] = whole[..] else { return None };
    let body = (body.tag == SEQUENCE && signature.tag == BIT_STRING).then(|| values(body.content))??;
    let [version, subject, key, attributes] = &body[..] else { return None };
    let holds = is_signed(signed_part(bytes)?, key, algorithm.content, signature.content);
    let mut issued = Issued { fixed: Vec::new(), names: vec![subject.content], holds };
    for part in [version.content, algorithm.content, key_algorithm(key)?, attributes.content] {
        put(&mut issued.fixed, part);
    }
    Some(issued)
}

/// Whether these are begin and end, as RFC 5280 has them: `UTCTime` or `GeneralizedTime`.
fn are_times(times: &[Value<'_>]) -> bool {
    let time = |time: &Value<'_>| {
        let digits = time.content.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit));
        digits.is_some_and(|digits| matches!((time.tag, digits.len()), (0x17, 12) | (0x18, 14)))
    };
    times.len() == 2 && times.iter().all(time)
}

/// The bytes that are signed: the first value in the sequence.
fn signed_part(bytes: &[u8]) -> Option<&[u8]> {
    let (whole, _) = value(bytes)?;
    let (_, rest) = value(whole.content)?;
    Some(&whole.content[..whole.content.len() - rest.len()])
}

/// Whether `signature` is of `part` and by `key`; yes too of algorithms that are not known here.
fn is_signed(part: &[u8], key: &Value<'_>, algorithm: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature as known;
    const KNOWN: [(&[u8], &[&dyn known::VerificationAlgorithm]); 5] = [
        (
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11],
            &[&known::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY],
        ),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], &[&known::RSA_PKCS1_2048_8192_SHA512]),
        (
            &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            &[&known::ECDSA_P256_SHA256_ASN1, &known::ECDSA_P384_SHA256_ASN1],
        ),
        (
            &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            &[&known::ECDSA_P256_SHA384_ASN1, &known::ECDSA_P384_SHA384_ASN1],
        ),
        (&[0x2b, 0x65, 0x70], &[&known::ED25519]),
    ];
    let Some((oid, _)) = value(algorithm) else { return false };
    let Some((_, algorithms)) = KNOWN.iter().find(|(known, _)| *known == oid.content) else { return true };
    let bits = values(key.content).and_then(|parts| parts.get(1).copied());
    let (Some(bits), Some(signature)) =
        (bits.and_then(|bits| bits.content.strip_prefix(&[0])), signature.strip_prefix(&[0]))
    else {
        return false;
    };
    algorithms
        .iter()
        .any(|algorithm| known::UnparsedPublicKey::new(*algorithm, bits).verify(part, signature).is_ok())
}

fn key_algorithm<'a>(key: &Value<'a>) -> Option<&'a [u8]> {
    let parts = values(key.content).filter(|_| key.tag == SEQUENCE)?;
    let [algorithm, bits] = parts[..] else { return None };
    (bits.tag == BIT_STRING).then_some(algorithm.content)
}

fn extended<'a>(extensions: &[Value<'a>], issued: &mut Issued<'a>) -> Option<()> {
    const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
    for extension in extensions {
        let parts = values(extension.content)?;
        let (name, parts) = parts.split_first().filter(|(name, _)| name.tag == OID)?;
        let (last, critical) = parts.split_last()?;
        put(&mut issued.fixed, name.content);
        put(&mut issued.fixed, critical.first().map_or(&[], |flag| flag.content));
        if name.content == OTHER_NAMES {
            issued.names.push(last.content);
        } else if !KEY_IDS.contains(&name.content) {
            put(&mut issued.fixed, last.content);
        }
    }
    Some(())
}

fn put(into: &mut Vec<u8>, part: &[u8]) {
    into.extend_from_slice(&part.len().to_be_bytes());
    into.extend_from_slice(part);
}

/// The texts in `names`, and the tags and object identifiers between them.
pub(super) fn texts(names: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    fn collect<'a>(bytes: &'a [u8], depth: usize, into: &mut Vec<(u8, &'a [u8])>) -> Option<()> {
        for value in values(bytes)? {
            into.push((value.tag, if value.tag & 0x20 == 0 { value.content } else { &[] }));
            if value.tag & 0x20 != 0 && depth < DEPTH_MAX {
                collect(value.content, depth + 1, into)?;
            }
        }
        Some(())
    }
    let mut found = Vec::new();
    collect(names, 0, &mut found)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let framed = [&[0x30, u8::try_from(bytes.len().min(127)).unwrap()], &bytes[..bytes.len().min(127)]].concat();
            for bytes in [&bytes, &framed] {
                certificate(bytes);
                request(bytes);
                texts(bytes);
            }
        }
    }
}
