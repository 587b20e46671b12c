//! Types of the wire as types of Rust.

use crate::names;
use crate::schema::{Definitions, Field, Shape, TypeDef, TypeKind};

/// A type's name in Rust and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RustType {
    pub(crate) name: String,
    /// What is to be imported for it.
    pub(crate) import: Option<String>,
}

/// Types that Rust or the client has better ones for.
const KNOWN: &[(&str, &str, &str, usize)] = &[
    ("ip4_address", "Ipv4Addr", "std::net::Ipv4Addr", 4),
    ("ip6_address", "Ipv6Addr", "std::net::Ipv6Addr", 16),
    ("address", "IpAddr", "std::net::IpAddr", 17),
    ("mac_address", "MacAddress", "crate::mac::MacAddress", 6),
];

/// Whether the client has a type of its own for this one.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, ..)| *known == name)
}

/// Size of a number, in bytes.
fn number(name: &str) -> Option<usize> {
    Some(match name {
        "u8" | "i8" | "bool" => 1,
        "u16" | "i16" => 2,
        "u32" | "i32" => 4,
        "u64" | "i64" | "f64" => 8,
        _ => return None,
    })
}

/// Whether this is a number of the wire's own.
pub(crate) fn is_number(name: &str) -> bool {
    number(name).is_some()
}

/// The Rust type of one element of a field in `file`.
pub(crate) fn element(
    definitions: &Definitions,
    file: &str,
    name: &str,
) -> Result<RustType, String> {
    if is_number(name) {
        return Ok(RustType { name: name.to_owned(), import: None });
    }
    if let Some((_, rust, path, _)) = KNOWN.iter().find(|(known, ..)| *known == name) {
        return Ok(RustType { name: (*rust).to_owned(), import: Some((*path).to_owned()) });
    }
    let (owner, _) = definitions
        .find(file, name)
        .ok_or_else(|| format!("{file}.api: type `{name}` is not defined"))?;
    let rust = names::camel(name);
    let import = (owner != file).then(|| format!("super::{}::{rust}", names::snake(owner)));
    Ok(RustType { name: rust, import })
}

/// The Rust type of a field.
pub(crate) fn field(
    definitions: &Definitions,
    file: &str,
    field: &Field,
) -> Result<RustType, String> {
    if field.element == "string" {
        return match field.shape {
            Shape::Fixed(size) => Ok(RustType {
                name: format!("FixedString<{size}>"),
                import: Some("crate::wire::FixedString".to_owned()),
            }),
            Shape::Open | Shape::One => Ok(RustType { name: "String".to_owned(), import: None }),
            Shape::Counted(_) => Err(format!("{file}.api: `{}` is counted text", field.name)),
        };
    }
    let RustType { name, import } = element(definitions, file, &field.element)?;
    let name = match field.shape {
        Shape::One => name,
        Shape::Fixed(length) => format!("[{name}; {length}]"),
        Shape::Counted(_) | Shape::Open => format!("Vec<{name}>"),
    };
    Ok(RustType { name, import })
}

/// Size of a field in bytes, if it is always the same.
pub(crate) fn size(definitions: &Definitions, file: &str, field: &Field) -> Option<usize> {
    let count = match field.shape {
        Shape::One => 1,
        Shape::Fixed(count) => count,
        Shape::Counted(_) | Shape::Open => return None,
    };
    let one =
        if field.element == "string" { 1 } else { type_size(definitions, file, &field.element)? };
    Some(count * one)
}

fn type_size(definitions: &Definitions, file: &str, name: &str) -> Option<usize> {
    let known = KNOWN.iter().find(|(known, ..)| *known == name).map(|(.., size)| *size);
    if let Some(size) = number(name).or(known) {
        return Some(size);
    }
    let (owner, TypeDef { kind, .. }) = definitions.find(file, name)?;
    match kind {
        TypeKind::Struct(fields) => fields.iter().map(|it| size(definitions, owner, it)).sum(),
        TypeKind::Union(arms) => {
            let sizes: Option<Vec<_>> =
                arms.iter().map(|it| size(definitions, owner, it)).collect();
            sizes?.into_iter().max()
        }
        TypeKind::Enumeration { number: of, .. } => number(of),
        TypeKind::Alias { of, length } => {
            Some(length.unwrap_or(1) * type_size(definitions, owner, of)?)
        }
    }
}
