//! Just enough JSON to edit a runtime bundle without losing a byte of what is not edited: scalars stay as written.

/// A JSON value; scalars (strings with their quotes) keep their source text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Scalar(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value and nothing after it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(reader.error("text after the value")) }
    }

    /// A string value holding `text`.
    pub fn string(text: &str) -> Self {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        out.push('"');
        Self::Scalar(out)
    }

    pub fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Array(items.into_iter().map(Self::string).collect())
    }

    /// The text of a string without escapes in it (enough for paths, names and `K=V` keys compared here).
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(raw) => raw.strip_prefix('"')?.strip_suffix('"'),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The field `key`, made with `default` if it is missing (or null).
    pub fn entry(&mut self, key: &str, default: Json) -> Option<&mut Json> {
        let Self::Object(fields) = self else { return None };
        fields.retain(|(name, value)| name != key || *value != Json::Scalar("null".into()));
        if !fields.iter().any(|(name, _)| name == key) {
            fields.push((key.to_owned(), default));
        }
        fields.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn set(&mut self, key: &str, value: Json) {
        if let Some(field) = self.entry(key, Json::Array(Vec::new())) {
            *field = value;
        }
    }

    pub fn remove(&mut self, key: &str) {
        if let Self::Object(fields) = self {
            fields.retain(|(name, _)| name != key);
        }
    }

    pub fn items(&mut self) -> Option<&mut Vec<Json>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(raw) => out.push_str(raw),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if index > 0 { ",\"" } else { "\"" });
                    out.push_str(name);
                    out.push_str("\":");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn error(&self, what: &str) -> String {
        format!("config.json: {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(self.error(&format!("expected `{}`", byte as char)));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 64 {
            return Err(self.error("nested too deep"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Scalar(format!("\"{}\"", self.quoted()?))),
            Some(_) => {
                let start = self.at;
                while !matches!(self.peek(), None | Some(b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')) {
                    self.at += 1;
                }
                if start == self.at {
                    Err(self.error("no value"))
                } else {
                    Ok(Json::Scalar(self.text[start..self.at].into()))
                }
            }
            None => Err(self.error("unexpected end")),
        }
    }

    /// The raw text between two quotes, escapes untouched.
    fn quoted(&mut self) -> Result<String, String> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.error("string without an end")),
            }
        }
        let raw = self.text.get(start..self.at).ok_or_else(|| self.error("bad string"))?.to_owned();
        self.at += 1;
        Ok(raw)
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        self.space();
        while self.peek() != Some(b']') {
            if !items.is_empty() {
                self.expect(b',')?;
            }
            items.push(self.value(depth + 1)?);
            self.space();
        }
        self.at += 1;
        Ok(Json::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.expect(b'{')?;
        let mut fields = Vec::new();
        self.space();
        while self.peek() != Some(b'}') {
            if !fields.is_empty() {
                self.expect(b',')?;
                self.space();
            }
            let name = self.quoted()?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(self.error("a key twice")); // Which of them the runtime would read is anybody's guess.
            }
            self.space();
            self.expect(b':')?;
            fields.push((name, self.value(depth + 1)?));
            self.space();
        }
        self.at += 1;
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_stays() {
        let text = r#"{"a":[1,2.50,"x\"\u00e9"],"b":{"c":null,"d":true}}"#;
        let mut out = String::new();
        Json::parse(text).unwrap().write(&mut out);
        assert_eq!(out, text);
    }

    #[test]
    fn refuses_broken_text() {
        for text in ["", "{", "[1,", "{\"a\" 1}", "\"a", "[] x", "{\"a\":}", "{\"a\":1,\"a\":2}", "\"\\"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(1000)).is_err());
    }
}
