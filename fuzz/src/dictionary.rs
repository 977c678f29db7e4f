//! Words that a mutation puts into an input, from a file that libFuzzer reads as well (`-dict=`).
//!
//! One word a line, in quotes, with `\\`, `\"` and `\xAB` in it; a name and `=` may stand before; `#` begins a comment.

/// The words of a dictionary; `None` for a line against the format.
pub fn parse(text: &str) -> Option<Vec<Vec<u8>>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(word).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let (_, quoted) = line.split_once('"')?;
    let mut rest = quoted.strip_suffix('"')?.as_bytes();
    let mut word = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        let (&escaped, tail) = rest.split_first()?;
        rest = tail;
        match escaped {
            b'\\' | b'"' => word.push(escaped),
            b'x' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                word.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_with_their_escapes() {
        let text = "# no word\n\nname=\"a\\\\b\\\"\\x00\\xff\"\n\"=\"\n";
        assert_eq!(parse(text).unwrap(), [b"a\\b\"\0\xff".to_vec(), b"=".to_vec()]);
        assert_eq!(parse("\"\\q\"\n"), None);
        assert_eq!(parse("bare\n"), None);
    }
}
