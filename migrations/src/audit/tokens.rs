//! Splits SQL text into tokens: enough to know statements, names and parentheses whatever comments, quotes and dollar
//! quotes surround them.

/// A token. Words are folded to lower case as PostgreSQL folds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, a name without quotes, or a number.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// The text of a string constant.
    Text(String),
    /// The text between dollar quotes.
    Dollar(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(own) if own == word)
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        *self == Token::Symbol(symbol)
    }
}

/// Something that does not end: the text cannot be trusted to mean what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unterminated(pub(super) &'static str);

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Unterminated> {
    let mut scanner = Scanner { rest: text };
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next_token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn next_token(&mut self) -> Result<Option<Token>, Unterminated> {
        self.skip_blank()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '\'' => Token::Text(self.quoted('\'', Backslash::Plain)?),
            '"' => Token::Quoted(self.quoted('"', Backslash::Plain)?),
            '$' => self.dollar()?,
            'e' | 'E' if self.rest[1..].starts_with('\'') => {
                self.rest = &self.rest[1..];
                Token::Text(self.quoted('\'', Backslash::Escapes)?)
            }
            c if is_word(c) => self.word(),
            c => {
                self.rest = &self.rest[c.len_utf8()..];
                Token::Symbol(c)
            }
        };
        Ok(Some(token))
    }

    /// White space, `-- …` and nested `/* … */`.
    fn skip_blank(&mut self) -> Result<(), Unterminated> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("--") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
            } else if self.rest.starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), Unterminated> {
        let mut depth = 0_usize;
        loop {
            let at = self.rest.find(['/', '*']).ok_or(Unterminated("comment"))?;
            let tail = &self.rest[at..];
            let step = if tail.starts_with("/*") {
                depth += 1;
                2
            } else if tail.starts_with("*/") {
                depth -= 1;
                2
            } else {
                1
            };
            self.rest = &tail[step..];
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A constant or name in quotes; the quote doubled stands for itself.
    fn quoted(&mut self, quote: char, backslash: Backslash) -> Result<String, Unterminated> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && backslash == Backslash::Escapes {
                text.extend(chars.next().map(|(_, escaped)| escaped));
            } else if c != quote {
                text.push(c);
            } else if chars.peek().is_some_and(|&(_, next)| next == quote) {
                chars.next();
                text.push(quote);
            } else {
                self.rest = &self.rest[1 + at + 1..];
                return Ok(text);
            }
        }
        Err(Unterminated("quote"))
    }

    /// `$tag$ … $tag$`, or a parameter like `$1`.
    fn dollar(&mut self) -> Result<Token, Unterminated> {
        let body = &self.rest[1..];
        let tag_end = body.find('$').filter(|&end| body[..end].chars().all(is_tag));
        let Some(tag_end) = tag_end.filter(|_| !body.starts_with(|c: char| c.is_ascii_digit())) else {
            self.rest = body;
            return Ok(Token::Symbol('$'));
        };
        let delimiter = &self.rest[..tag_end + 2];
        let inside = &self.rest[delimiter.len()..];
        let end = inside.find(delimiter).ok_or(Unterminated("dollar quote"))?;
        self.rest = &inside[end + delimiter.len()..];
        Ok(Token::Dollar(inside[..end].to_owned()))
    }

    fn word(&mut self) -> Token {
        let end = self.rest.find(|c| !is_word(c) && c != '$').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Token::Word(word.to_lowercase())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Plain,
    Escapes,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

fn is_tag(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text)
            .unwrap()
            .into_iter()
            .map(|token| match token {
                Token::Word(word) => word,
                Token::Quoted(name) => format!("\"{name}\""),
                Token::Text(text) => format!("'{text}'"),
                Token::Dollar(text) => format!("${text}$"),
                Token::Symbol(symbol) => symbol.to_string(),
            })
            .collect()
    }

    #[test]
    fn comments_vanish_even_nested_and_with_quotes_inside() {
        assert_eq!(words("a -- it's; create table x\n/* /* ' */ \" */ b"), ["a", "b"]);
    }

    #[test]
    fn quotes_hide_their_text_and_may_hold_themselves() {
        assert_eq!(
            words(r#"'it''s;' "A ""b""" E'\';' 'c\' d"#),
            ["'it's;'", "\"A \"b\"\"", "'';'", r"'c\'", "d"]
        );
    }

    #[test]
    fn dollar_quotes_end_at_their_own_tag() {
        assert_eq!(words("DO $x$ a $$ ; $y$ $x$; $1"), ["do", "$ a $$ ; $y$ $", ";", "$", "1"]);
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for text in ["'a", "\"a", "$$a", "/* a /* */"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
