//! A certificate's subject as text, in the form Java's `X500Principal.getName()` gives it: that
//! text is the principal's name in Kafka, and ACLs are written with it.
//!
//! RFC 2253: the last part comes first; nine attributes have names, the others stand as numbers
//! with their value in hexadecimal; what would be read as syntax is escaped.

use std::fmt::Write;
use x509_parser::asn1_rs::{Tag, ToDer};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// The attributes that have names in RFC 2253.
const NAMED: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// What is escaped wherever it stands.
const ESCAPED: [char; 9] = [',', '=', '+', '<', '>', '#', ';', '"', '\\'];

/// The subject of a certificate in DER; `None` if it is none.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(print(certificate.subject()))
}

/// When a certificate in DER ends, in seconds since 1970.
pub(crate) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn print(name: &X509Name<'_>) -> String {
    let part = |rdn: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let attributes: Vec<String> = rdn.iter().map(attribute).collect();
        attributes.join("+")
    };
    let mut parts: Vec<String> = name.iter_rdn().map(part).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let named = NAMED.iter().find(|(oid, _)| *oid == number);
    match named {
        Some((_, name)) if is_text(value.tag()) => {
            format!("{name}={}", escape(&String::from_utf8_lossy(value.data)))
        }
        Some((_, name)) => format!("{name}=#{}", hexadecimal(value)),
        None => format!("{number}=#{}", hexadecimal(value)),
    }
}

fn is_text(tag: Tag) -> bool {
    [
        Tag::PrintableString,
        Tag::Utf8String,
        Tag::T61String,
        Tag::Ia5String,
        Tag::GeneralString,
        Tag::BmpString,
        Tag::UniversalString,
    ]
    .contains(&tag)
}

fn hexadecimal(value: &x509_parser::asn1_rs::Any<'_>) -> String {
    let bytes = value.to_der_vec().unwrap_or_default();
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn escape(value: &str) -> String {
    let is_blank = |char: &char| matches!(char, ' ' | '\r');
    let leading = value.chars().take_while(is_blank).count();
    let count = value.chars().count();
    let trailing = count - value.chars().rev().take_while(is_blank).count();
    let mut out = String::with_capacity(value.len());
    for (at, char) in value.chars().enumerate() {
        let at_edge = at < leading || at >= trailing;
        match char {
            '\0' => out.push_str("\\00"),
            char => {
                if at_edge || ESCAPED.contains(&char) {
                    out.push('\\');
                }
                out.push(char);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn as_java_prints_them() {
        for line in include_str!("../../testdata/subjects.txt").lines() {
            if line.starts_with('#') {
                continue;
            }
            let (der, expected) = line.split_once(" |").unwrap();
            let der = bytes(der);
            let (_, name) = X509Name::from_der(&der).unwrap();
            assert_eq!(print(&name), expected, "{line}");
        }
    }
}
