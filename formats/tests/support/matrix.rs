//! The damage matrix: everything that can plausibly happen to the bytes of a small file, one thing at a time.

use super::forge::lines;

/// A file after one accident.
pub struct Damaged {
    /// The sort of accident, as a row of the table is called.
    pub kind: &'static str,
    /// Which one it was, for the message of a failing test.
    pub what: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Collects accidents; one that leaves the file as it was is none, nor one that gives another sound file whole.
struct Matrix<'a> {
    original: &'a [u8],
    others: &'a [&'a [u8]],
    found: Vec<Damaged>,
}

impl Matrix<'_> {
    fn add(&mut self, kind: &'static str, what: String, bytes: Vec<u8>) {
        if bytes != self.original && !self.others.contains(&bytes.as_slice()) {
            self.found.push(Damaged { kind, what, bytes });
        }
    }
}

/// What can happen to any file: bits, bytes, its end, and a copy that was mixed with another.
pub fn of_bytes(original: &[u8], others: &[&[u8]]) -> Vec<Damaged> {
    let mut matrix = Matrix { original, others, found: Vec::new() };
    for at in 0..original.len() {
        for bit in 0..8 {
            let mut bytes = original.to_vec();
            bytes[at] ^= 1 << bit;
            matrix.add("a bit flipped", format!("bit {bit} of byte {at}"), bytes);
        }
    }
    for at in 0..original.len() {
        matrix.add("cut short", format!("to {at} bytes"), original[..at].to_vec());
        let without = [&original[..at], &original[at + 1..]].concat();
        matrix.add("a byte lost", format!("byte {at}"), without);
        let zeros = [&original[..at], vec![0; original.len() - at].as_slice()].concat();
        matrix.add("zeros from some byte on", format!("from byte {at}"), zeros);
        for (number, other) in others.iter().enumerate() {
            let spliced = [&original[..at], other.get(at..).unwrap_or_default()].concat();
            matrix.add("the rest is of another file", format!("file {number} from byte {at}"), spliced);
        }
    }
    for (what, more) in appendices(original) {
        matrix.add("bytes appended", what.to_owned(), [original, more.as_slice()].concat());
    }
    matrix.found
}

fn appendices(original: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let last = lines(original).pop().unwrap_or_default();
    vec![
        ("a newline", b"\n".to_vec()),
        ("CR and newline", b"\r\n".to_vec()),
        ("a space", b" ".to_vec()),
        ("a zero", vec![0]),
        ("a page of zeros", vec![0; 4096]),
        ("an object", b"{}\n".to_vec()),
        ("the last line again", last),
        ("the file again", original.to_vec()),
    ]
}

/// What can happen to the lines of a plain file besides; `others` are sound files, some of the same history.
pub fn of_lines(original: &[u8], others: &[&[u8]]) -> Vec<Damaged> {
    let mut matrix = Matrix { original, others, found: Vec::new() };
    let all = lines(original);
    for i in 0..all.len() {
        let with = |edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut edited = all.clone();
            edit(&mut edited);
            edited.concat()
        };
        let line = i + 1;
        matrix.add("a line lost", format!("line {line}"), with(&|lines| drop(lines.remove(i))));
        matrix.add("a line doubled", format!("line {line}"), with(&|lines| lines.insert(i, all[i].clone())));
        for j in i + 1..all.len() {
            matrix.add(
                "two lines swapped",
                format!("lines {line} and {}", j + 1),
                with(&|lines| lines.swap(i, j)),
            );
        }
        for (number, other) in others.iter().enumerate() {
            for (j, theirs) in lines(other).into_iter().enumerate() {
                let what = format!("line {line} by line {} of file {number}", j + 1);
                matrix.add("a line of another file", what, with(&|lines| lines[i] = theirs.clone()));
            }
        }
    }
    matrix.found
}
