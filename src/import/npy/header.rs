//! The header of a `.npy` file: a Python dictionary of type, order and shape.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

#[derive(Debug, PartialEq, Eq)]
/// What stands in a header where something else should.
pub(super) struct Unexpected {
    /// Position in bytes, from 0.
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

/// A Python literal as far as headers use them.
enum Literal {
    Text(String),
    Bool(bool),
    Tuple(Vec<usize>),
}

impl Header {
    /// Parses `{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }`, keys in any order.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Unexpected> {
        let mut parser = Parser { text, at: 0 };
        let (mut dtype, mut fortran_order, mut shape) = (None, None, None);
        parser.expect(b'{', "an opening brace")?;
        while !parser.eat(b'}') {
            parser.space();
            let at = parser.at;
            let key = parser.text()?;
            parser.expect(b':', "a colon")?;
            match (key.as_str(), parser.literal()?) {
                ("descr", Literal::Text(text)) => dtype = Some(text),
                ("fortran_order", Literal::Bool(value)) => fortran_order = Some(value),
                ("shape", Literal::Tuple(axes)) => shape = Some(axes),
                _ => {
                    return Err(Unexpected {
                        at,
                        expected: "`descr`, `fortran_order` or `shape` and a value of its type",
                    });
                }
            }
            if !parser.eat(b',') {
                parser.expect(b'}', "a comma or a closing brace")?;
                break;
            }
        }
        parser.space();
        if parser.at < text.len() {
            return Err(Unexpected { at: parser.at, expected: "the end of the header" });
        }
        let missing = |expected| Unexpected { at: text.len(), expected };
        Ok(Self {
            dtype: dtype.ok_or_else(|| missing("`descr`"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("`fortran_order`"))?,
            shape: shape.ok_or_else(|| missing("`shape`"))?,
        })
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Unexpected> {
        if self.eat(byte) { Ok(()) } else { Err(Unexpected { at: self.at, expected }) }
    }

    /// A quoted text without escapes.
    fn text(&mut self) -> Result<String, Unexpected> {
        let quote = if self.eat(b'"') { b'"' } else { b'\'' };
        let wrong = |at| Unexpected { at, expected: "a quoted text" };
        if quote == b'\'' && !self.eat(b'\'') {
            return Err(wrong(self.at));
        }
        let start = self.at;
        let length = self.text[start..].iter().position(|byte| *byte == quote).ok_or_else(|| wrong(start))?;
        self.at = start + length + 1;
        let text = std::str::from_utf8(&self.text[start..start + length]).map_err(|_| wrong(start))?;
        Ok(text.to_owned())
    }

    fn literal(&mut self) -> Result<Literal, Unexpected> {
        self.space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(Literal::Bool(value));
            }
        }
        if !self.eat(b'(') {
            return self.text().map(Literal::Text);
        }
        let mut axes = Vec::new();
        while !self.eat(b')') {
            self.space();
            let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&self.text[self.at..self.at + digits]).ok().and_then(|n| n.parse().ok());
            axes.push(number.ok_or(Unexpected { at: self.at, expected: "the length of an axis" })?);
            self.at += digits;
            if !self.eat(b',') {
                self.expect(b')', "a comma or a closing parenthesis")?;
                break;
            }
        }
        Ok(Literal::Tuple(axes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them_and_otherwise() {
        let header = |dtype: &str, fortran_order, shape: &[usize]| {
            Ok(Header { dtype: dtype.to_owned(), fortran_order, shape: shape.to_vec() })
        };
        let parse = |text: &str| Header::parse(text.as_bytes());
        let numpy = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 48), }            \n";
        assert_eq!(parse(numpy), header("<f8", false, &[1000, 48]));
        assert_eq!(parse("{\"shape\":(),\"descr\":\"|u1\",\"fortran_order\":True}"), header("|u1", true, &[]));
        assert_eq!(parse("{'shape':(7,),'descr':'<i2','fortran_order':False,}"), header("<i2", false, &[7]));
    }

    #[test]
    fn misfits_are_located() {
        let error = |text: &str| {
            let Unexpected { at, expected } = Header::parse(text.as_bytes()).unwrap_err();
            (at, expected)
        };
        assert_eq!(error(""), (0, "an opening brace"));
        assert_eq!(error("{'descr': '<f8'}"), (16, "`fortran_order`"));
        assert_eq!(error("{'descr' '<f8'}"), (9, "a colon"));
        assert_eq!(error("{'descr': [('a', '<f8')]}"), (10, "a quoted text"));
        assert_eq!(error("{'shape': (3 4)}"), (13, "a comma or a closing parenthesis"));
        assert_eq!(error("{'shape': (-3,)}"), (11, "the length of an axis"));
        assert_eq!(error("{'shape': (99999999999999999999,)}"), (11, "the length of an axis"));
        assert_eq!(error("{'shape': 'x'}"), (1, "`descr`, `fortran_order` or `shape` and a value of its type"));
        assert_eq!(error("{'descr': '<f8' 'shape'}"), (16, "a comma or a closing brace"));
        assert_eq!(error("{'descr': '<f8"), (11, "a quoted text"));
    }
}
