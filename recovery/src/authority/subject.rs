//! The name of a CA, as an operator types it.

use std::fmt;
use std::str::FromStr;

use trstctl_formats::{Class, Failure};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::{
    COMMON_NAME, COUNTRY_NAME, LOCALITY_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME, ST,
};
use x509_cert::name::Name;

/// A distinguished name that is not empty; its text form is that of RFC 4514, most specific part first: `CN=Root,O=Example,C=NL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Name);

impl Subject {
    pub(super) fn name(&self) -> &Name {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| {
            let hint =
                "Write it as in RFC 4514, without spaces around commas: \"CN=Example Root,O=Example,C=NL\".";
            Failure::new(Class::Usage, format!("the subject {text:?} {what}"), hint)
        };
        let name = Name::from_str(text).map_err(|_| refuse("is no distinguished name"))?;
        if name.is_empty() {
            return Err(refuse("is empty"));
        }
        let unfit = name.iter().find(|part| !is_fit(part)).map(ToString::to_string);
        match unfit {
            Some(part) => Err(refuse(&format!(
                "has a part that is empty, too long, or of letters that it may not have: {part}"
            ))),
            None => Ok(Self(name)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a part has text of its type, not more than RFC 5280 allows (appendix A.1, upper bounds).
fn is_fit(part: &AttributeTypeAndValue) -> bool {
    let printable = PrintableStringRef::try_from(&part.value).ok().map(|text| text.as_str());
    let text = printable
        .or_else(|| Utf8StringRef::try_from(&part.value).ok().map(|text| text.as_str()))
        .or_else(|| Ia5StringRef::try_from(&part.value).ok().map(|text| text.as_str()));
    let Some(len) = text.map(|text| text.chars().count()) else { return false };
    match part.oid {
        COUNTRY_NAME => len == 2 && printable.is_some(),
        COMMON_NAME | ORGANIZATION_NAME | ORGANIZATIONAL_UNIT_NAME => (1..=64).contains(&len),
        LOCALITY_NAME | ST => (1..=128).contains(&len),
        _ => len > 0,
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::der::Encode;

    use super::*;

    #[test]
    fn name_is_written_least_specific_part_first_and_read_as_it_was_typed() {
        let subject: Subject = "CN=Example Root,O=Example\\, Inc.,C=NL".parse().unwrap();
        assert_eq!(subject.to_string(), "CN=Example Root,O=Example\\, Inc.,C=NL");
        let der = subject.name().to_der().unwrap();
        let place = |text: &[u8]| der.windows(text.len()).position(|window| window == text).unwrap();
        assert!(place(b"NL") < place(b"Example, Inc.") && place(b"Example, Inc.") < place(b"Example Root"));
    }

    #[test]
    fn what_is_no_name_or_says_nothing_is_refused() {
        let long = format!("CN={}", "x".repeat(65));
        for text in
            ["", ",", "Root", "CN=", "CN=Root, O=Example", "CN=Root,C=NLD", "CN=Root,C=\u{e9}\u{e9}", &long]
        {
            let refused = text.parse::<Subject>().unwrap_err();
            assert_eq!(refused.class, Class::Usage, "{text}");
            assert!(refused.message.contains("subject"), "{refused}");
        }
        assert!(format!("CN={}", "x".repeat(64)).parse::<Subject>().is_ok());
    }
}
