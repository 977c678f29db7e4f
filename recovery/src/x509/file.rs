//! A file of certificates or CRLs: PEM, one or several, or one in DER.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trstctl_formats::{Class, Failure};

/// No longer file is read, in bytes: a CRL of a million entries has about 50 MB.
const MAX_BYTES: u64 = 64 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Certificate,
    Crl,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Crl => "CRL",
        }
    }

    /// What stands behind `BEGIN` in PEM.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::Crl => "X509 CRL",
        }
    }
}

/// Reads each with `parse`, which answers `None` for what is none of this kind; with the name to call it by.
///
/// # Errors
/// [`Class::Usage`] for a file that cannot be read, or holds none, or something that is none.
pub(crate) fn read<T>(
    path: &Path,
    kind: Kind,
    parse: impl Fn(String, &[u8]) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let name = path.display().to_string();
    let refuse = |what: String| {
        let hint = format!("Name a file with a {} in PEM or DER.", kind.what());
        Failure::new(Class::Usage, what, hint).in_file(&name)
    };
    let bytes = bytes(path).map_err(|error| refuse(format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse(format!("{name} has more than {MAX_BYTES} bytes")));
    }
    let ders = ders(bytes, kind).ok_or_else(|| refuse(format!("{name} is cut off, or no PEM")))?;
    if ders.is_empty() {
        return Err(refuse(format!("{name} holds no {}", kind.what())));
    }
    let of_several = ders.len() > 1;
    let named = ders.iter().enumerate().map(|(index, der)| {
        let name = if of_several { format!("{name} ({})", index + 1) } else { name.clone() };
        let refused = refuse(format!("{name} is no {}", kind.what()));
        parse(name, der).ok_or(refused)
    });
    named.collect()
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What PEM stands for; anything else is DER as it is. `None` for PEM that breaks off or is no base64.
fn ders(bytes: Vec<u8>, kind: Kind) -> Option<Vec<Vec<u8>>> {
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN ") => text,
        _ => return Some(vec![bytes]),
    };
    let (begin, end) =
        (format!("-----BEGIN {}-----", kind.label()), format!("-----END {}-----", kind.label()));
    let blocks = text.split(begin.as_str()).skip(1).map(|block| {
        let (body, _) = block.split_once(end.as_str())?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(body).ok()
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_of_several_is_read_in_order_and_other_blocks_are_passed_over() {
        let pem = "text\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\nCQkJ\n\
                   -----END X509 CRL-----\r\n-----BEGIN CERTIFICATE-----\r\nBA\r\nUG\r\n-----END CERTIFICATE-----\r\n";
        let ders = |kind| ders(pem.into(), kind).unwrap();
        assert_eq!(ders(Kind::Certificate), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(ders(Kind::Crl), [[9, 9, 9]]);
    }

    #[test]
    fn pem_that_breaks_off_is_refused_and_der_is_taken_as_it_is() {
        let cut = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERT".to_vec();
        assert_eq!(ders(cut, Kind::Certificate), None);
        assert_eq!(ders(vec![0x30, 0x80], Kind::Certificate), Some(vec![vec![0x30, 0x80]]));
    }
}
