//! Fields of structures.

use serde_json::Value;

use super::Module;
use crate::names;
use crate::schema::{Field, Shape, TypeKind};
use crate::shape;

/// Whether every field is written by its type alone.
pub(super) fn are_plain(fields: &[Field]) -> bool {
    !fields.iter().any(is_list)
}

/// Whether a field is as long as another says, or as the message.
fn is_list(field: &Field) -> bool {
    match field.shape {
        Shape::Counted(_) => true,
        Shape::Open => field.element != "string",
        Shape::One | Shape::Fixed(_) => false,
    }
}

/// Whether `field` says how long another is: it is then no field in Rust.
fn counts<'a>(fields: &'a [Field], field: &Field) -> Option<&'a Field> {
    fields.iter().find(|it| it.shape == Shape::Counted(field.name.clone()))
}

/// A structure with documentation lines `about`.
pub(super) fn write(
    module: &mut Module<'_>,
    about: &str,
    rust: &str,
    fields: &[Field],
) -> Result<(), String> {
    if are_plain(fields) {
        plain(module, about, rust, fields)
    } else {
        with_lists(module, about, rust, fields)
    }
}

fn plain(module: &mut Module<'_>, about: &str, rust: &str, fields: &[Field]) -> Result<(), String> {
    module.macros.insert("wire_struct");
    let mut body = format!("\nwire_struct! {{\n{}    pub struct {rust} {{", indent(about));
    for field in fields {
        let default = default(module, field)?.map(|it| format!(" = {it}")).unwrap_or_default();
        body += &format!("\n        {}{default},", declaration(module, field)?);
    }
    body += if fields.is_empty() { "}\n}\n" } else { "\n    }\n}\n" };
    module.body += &body;
    Ok(())
}

fn indent(about: &str) -> String {
    about.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}

fn declaration(module: &mut Module<'_>, field: &Field) -> Result<String, String> {
    let rust = shape::field(module.definitions, module.file, field)?;
    Ok(format!("pub {}: {}", names::snake(&field.name), module.name_of(rust)))
}

fn with_lists(
    module: &mut Module<'_>,
    about: &str,
    rust: &str,
    fields: &[Field],
) -> Result<(), String> {
    module.macros.insert("default_is_zero");
    module.import("crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer}");
    let [mut declared, mut zero, mut encode, mut decode, mut made] = [const { String::new() }; 5];
    for (at, field) in fields.iter().enumerate() {
        let name = names::snake(&field.name);
        if let Some(list) = counts(fields, field) {
            let of = names::snake(&list.name);
            encode += &format!("to.count::<{}>(\"{of}\", self.{of}.len())?;\n", field.element);
            decode += &format!("let {name} = {}::decode(from)?;\n", field.element);
            continue;
        }
        declared += &format!("{},\n", declaration(module, field)?);
        made += &format!("{name},\n");
        let initial = default(module, field)?.unwrap_or_else(|| "Wire::zero()".to_owned());
        let list = is_list(field);
        zero += &format!("{name}: {},\n", if list { "Vec::new()" } else { &initial });
        let (to, from) = match &field.shape {
            Shape::Counted(by) => {
                let by = names::snake(by);
                (format!("to.list(&self.{name})?"), format!("from.list({by} as usize)?"))
            }
            Shape::Open if list && at + 1 == fields.len() => {
                (format!("to.list(&self.{name})?"), "from.rest()?".to_owned())
            }
            Shape::Open if list => return Err(format!("{rust}: fields follow the open `{name}`")),
            _ => (format!("self.{name}.encode(to)?"), "Wire::decode(from)?".to_owned()),
        };
        encode += &format!("{to};\n");
        decode += &format!("let {name} = {from};\n");
    }
    module.body += &format!(
        "\n{about}#[derive(Debug, Clone, PartialEq)]\npub struct {rust} {{\n{declared}}}\n\n\
         impl Wire for {rust} {{\n\
         fn zero() -> Self {{ Self {{\n{zero}}} }}\n\n\
         fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {{\n{encode}Ok(())\n}}\n\n\
         fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {{\n{decode}Ok(Self {{\n{made}}})\n}}\n}}\n\n\
         default_is_zero!({rust});\n"
    );
    Ok(())
}

/// What the definitions say a field is when nothing is said about it, unless that is zero.
fn default(module: &mut Module<'_>, field: &Field) -> Result<Option<String>, String> {
    let Some(value) = &field.default else { return Ok(None) };
    let odd = || format!("{}.api: `{}` has the default {value}", module.file, field.name);
    let number = match value {
        Value::Bool(value) => i64::from(*value),
        // Also 1.0: definitions of floating point fields have no other than whole numbers.
        Value::Number(number) => {
            number.to_string().trim_end_matches(".0").parse().map_err(|_| odd())?
        }
        Value::String(text) if text == "true" => 1,
        Value::String(text) if text == "false" => 0,
        _ => return Err(odd()),
    };
    if number == 0 || field.shape != Shape::One {
        return Ok(None);
    }
    if shape::is_number(&field.element) {
        return Ok(Some(match field.element.as_str() {
            "bool" => "true".to_owned(),
            "f64" => format!("{number}.0"),
            _ => number.to_string(),
        }));
    }
    let (_, defined) = module.definitions.find(module.file, &field.element).ok_or_else(odd)?;
    let made = match &defined.kind {
        TypeKind::Enumeration { flags: true, .. } => format!("::from_bits_retain({number})"),
        TypeKind::Enumeration { .. } => format!("({number})"),
        TypeKind::Alias { of, length: None } if shape::is_number(of) => format!("({number})"),
        _ => return Err(odd()),
    };
    Ok(Some(module.element(&field.element)? + &made))
}
