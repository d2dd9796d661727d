//! Canonical JSON as in-toto's classic files are signed in (OLPC; FORMATS.md §10).

use serde_json::Value;

/// `value` with keys sorted by code point, no spaces, and only `"` and `\` escaped; control characters stand as they are.
/// None if a number in it is no integer: that form cannot say it.
pub(super) fn canonical(value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Some(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Object(map) => {
            out.push(b'{');
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str()); // Bytes of UTF-8 sort as code points do.
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quoted(key, out);
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::String(text) => quoted(text, out),
        Value::Number(number) if number.is_f64() => return None,
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
    Some(())
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_securesystemslib_writes_it() {
        let value = json!({"b": [1, -2, true, null], "a": "q\"\\\n\u{1}é/", "": {}});
        let expected = "{\"\":{},\"a\":\"q\\\"\\\\\n\u{1}é/\",\"b\":[1,-2,true,null]}";
        assert_eq!(canonical(&value).unwrap(), expected.as_bytes());
        assert_eq!(canonical(&json!([1.5])), None);
    }
}
