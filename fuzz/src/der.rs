//! DER without its lengths, as text: so that a mutation of one value does not end at the length of the next.
//!
//! A value is its tag, two hexadecimal digits, and its content in parentheses: digits, or values. Every text stands for some bytes:
//! what is neither digit nor parenthesis is left out, and what is open at the end is closed.

/// Values inside each other, at most.
const DEEPEST: usize = 32;

/// The bytes that a text stands for.
pub fn of_text(text: &[u8]) -> Vec<u8> {
    let (mut open, mut content, mut half) = (Vec::new(), Vec::new(), None);
    for character in text {
        match (character, char::from(*character).to_digit(16)) {
            (_, Some(digit)) => match half.take() {
                None => half = Some(digit as u8),
                Some(high) => content.push(high << 4 | digit as u8),
            },
            (b'(', _) if open.len() < DEEPEST => {
                if let Some(tag) = content.pop() {
                    open.push((tag, std::mem::take(&mut content)));
                }
            }
            (b')', _) => close(&mut open, &mut content),
            _ => {}
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut content);
    }
    content
}

fn close(open: &mut Vec<(u8, Vec<u8>)>, content: &mut Vec<u8>) {
    let Some((tag, before)) = open.pop() else { return };
    let value = std::mem::replace(content, before);
    content.push(tag);
    let bytes = value.len().to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match value.len() {
        0..=127 => content.push(value.len() as u8),
        _ => {
            content.push(0x80 | significant.len() as u8);
            content.extend(significant);
        }
    }
    content.extend(value);
}

/// The text of some values, a line for each that holds no other; `None` for what is none.
pub fn to_text(mut values: &[u8]) -> Option<String> {
    let mut text = String::new();
    while let Some((tag, content, rest)) = split(values) {
        let inner = match tag {
            0x04 => to_text(content).filter(|inner| !inner.is_empty()),
            _ if tag & 0x20 != 0 => Some(to_text(content)?),
            _ => None,
        };
        match inner {
            Some(inner) => text.push_str(&format!("{tag:02x}(\n{inner})\n")),
            None => text.push_str(&format!("{tag:02x}({})\n", hex::encode(content))),
        }
        values = rest;
    }
    values.is_empty().then_some(text)
}

/// The first part of a value that has parts, with its header: of a certificate or a CRL, what is signed.
pub fn first_part(whole: &[u8]) -> Option<&[u8]> {
    let (_, content, _) = split(whole)?;
    let (_, _, rest) = split(content)?;
    content.strip_suffix(rest)
}

/// The first value, its tag and content, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=127 => (usize::from(short), rest),
        long => {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_for_the_bytes_that_it_was_made_of() {
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128]].concat();
        let der = [&[0x30, 0x81, 0x89, 0x02, 0x01, 0x05, 0xa3, 0x81, 0x83][..], &long].concat();
        let text = to_text(&der).unwrap();
        assert_eq!(of_text(text.as_bytes()), der);
        assert_eq!(of_text(b"30(\n02(05)  x a3(04(07)"), [0x30, 8, 2, 1, 5, 0xa3, 3, 4, 1, 7]);
        assert_eq!(to_text(&der[..9]), None);
    }
}
