//! Types that are no messages.

use super::{Module, fields};
use crate::names;
use crate::schema::{Field, TypeDef, TypeKind};
use crate::shape;

pub(super) fn write(module: &mut Module<'_>, defined: &TypeDef) -> Result<(), String> {
    let rust = names::camel(&defined.name);
    let about = format!("/// `{}`.\n", defined.name);
    match &defined.kind {
        TypeKind::Struct(of) => fields::write(module, &about, &rust, of),
        TypeKind::Union(arms) => union(module, &about, &rust, arms),
        TypeKind::Alias { of, length } => alias(module, &about, &rust, of, *length),
        TypeKind::Enumeration { number, values, flags } => {
            let form = if *flags { "flags" } else { "enumeration" };
            module.macros.insert(form);
            enumeration(module, form, &about, &rust, number, values);
            Ok(())
        }
    }
}

fn union(module: &mut Module<'_>, about: &str, rust: &str, arms: &[Field]) -> Result<(), String> {
    module.macros.insert("union");
    let sizes = arms.iter().map(|it| shape::size(module.definitions, module.file, it));
    let sizes: Option<Vec<_>> = sizes.collect();
    let size = sizes.and_then(|it| it.into_iter().max());
    let size = size.ok_or_else(|| format!("{rust}: an arm of the union has no fixed size"))?;
    let mut body = format!("\nunion! {{\n    {about}    pub struct {rust}({size}) {{\n");
    for arm in arms {
        let of = shape::field(module.definitions, module.file, arm)?;
        let (name, of) = (names::snake(&arm.name), module.name_of(of));
        body += &format!("        {name} / from_{name}: {of},\n");
    }
    module.body += &(body + "    }\n}\n");
    Ok(())
}

fn alias(
    module: &mut Module<'_>,
    about: &str,
    rust: &str,
    of: &str,
    length: Option<usize>,
) -> Result<(), String> {
    let inner = module.element(of)?;
    let form = match length {
        None if !shape::is_number(of) || of == "f64" => {
            module.body += &format!("\n{about}pub type {rust} = {inner};\n");
            return Ok(());
        }
        None => format!("number {inner}"),
        Some(length) => format!("array [{inner}; {length}]"),
    };
    module.macros.insert("newtype");
    module.body += &format!("\nnewtype! {{\n    {about}    pub struct {rust}({form})\n}}\n");
    Ok(())
}

fn enumeration(
    module: &mut Module<'_>,
    form: &str,
    about: &str,
    rust: &str,
    number: &str,
    values: &[(String, i64)],
) {
    let vpp: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
    let mut body = format!("\n{form}! {{\n    {about}    pub struct {rust}({number}) {{\n");
    for (constant, (_, value)) in names::constants(&vpp).iter().zip(values) {
        body += &format!("        {constant} = {value},\n");
    }
    module.body += &(body + "    }\n}\n");
}
