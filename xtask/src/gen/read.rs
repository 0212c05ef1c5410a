//! The body of `Element::read` for one struct.

use anyhow::Result;

use super::schema::{Field, Message, Struct, Type};
use super::versions::{Condition, VersionSet};

pub(super) fn body(message: &Message, item: &Struct) -> Result<String> {
    let tagged: Vec<&Field> = item
        .fields
        .iter()
        .filter(|field| field.tagged.is_some())
        .collect();
    let mut values = String::new();
    for field in &item.fields {
        let value = match &field.tagged {
            Some(_) => field.default_value()?,
            None => in_line(field, &item.versions)?,
        };
        values += &format!("{}: {value},\n", field.ident());
    }
    let binding = if tagged.is_empty() { "it" } else { "mut it" };
    let mut code = if values.is_empty() {
        format!("let {binding} = Self {{}};\n")
    } else {
        format!("let {binding} = Self {{\n{values}}};\n")
    };
    let section = if tagged.is_empty() {
        "d.skip_tags()?;".to_owned()
    } else {
        tag_section(message, item, &tagged)
    };
    code += &match message.flexible.condition(&item.versions) {
        Condition::Never => String::new(),
        Condition::Always => format!("{section}\n"),
        Condition::If(_) => format!("if flexible {{ {section} }}\n"),
    };
    Ok(code + "Ok(it)\n")
}

fn in_line(field: &Field, within: &VersionSet) -> Result<String> {
    let value = value(field);
    Ok(match field.versions.condition(within) {
        Condition::Always => value,
        Condition::Never => field.default_value()?,
        Condition::If(condition) => {
            format!(
                "if {condition} {{ {value} }} else {{ {} }}",
                field.default_value()?
            )
        }
    })
}

fn value(field: &Field) -> String {
    let plain = plain(field);
    if !field.is_optional() {
        return plain;
    }
    match field.nullable.condition(&field.versions) {
        Condition::Always => nullable(field),
        Condition::Never => format!("Some({plain})"),
        Condition::If(condition) => {
            format!(
                "if {condition} {{ {} }} else {{ Some({plain}) }}",
                nullable(field)
            )
        }
    }
}

fn plain(field: &Field) -> String {
    let flexible = if field.plain { "false" } else { "flexible" };
    match &field.ty {
        _ if field.is_error_code() => "d.get_error_code()?".to_owned(),
        Type::String => format!("d.get_string({flexible})?"),
        Type::Bytes => format!("d.get_bytes({flexible})?"),
        Type::Records => format!("d.get_records({flexible})?"),
        Type::Array(_) => "d.get_array(version, flexible)?".to_owned(),
        Type::Struct(name) => format!("{name}::read(d, version, flexible)?"),
        Type::Uuid => "d.get_uuid()?".to_owned(),
        number => format!("d.get_{}()?", number.rust_type()),
    }
}

fn nullable(field: &Field) -> String {
    let flexible = if field.plain { "false" } else { "flexible" };
    match (&field.ty, &field.tagged) {
        (Type::String, _) => format!("d.get_nullable_string({flexible})?"),
        (Type::Bytes, _) => format!("d.get_nullable_bytes({flexible})?"),
        (Type::Records, _) => format!("d.get_nullable_records({flexible})?"),
        (Type::Array(_), _) => "d.get_nullable_array(version, flexible)?".to_owned(),
        (_, None) => "d.get_nullable_struct(version, flexible)?".to_owned(),
        (_, Some(_)) => "d.get_tagged_nullable_struct(version)?".to_owned(),
    }
}

fn tag_section(message: &Message, item: &Struct, tagged: &[&Field]) -> String {
    let within = message.flexible.and(&item.versions);
    let mut arms = String::new();
    for field in tagged {
        let Some((tag, versions)) = &field.tagged else {
            continue;
        };
        let guard = match versions.condition(&within) {
            Condition::Always => String::new(),
            Condition::Never => continue,
            Condition::If(condition) => format!(" if {condition}"),
        };
        arms += &format!(
            "{tag}{guard} => {{ it.{} = {}; }}\n",
            field.ident(),
            value(field)
        );
    }
    format!(
        "d.get_tags(&mut |tag, d| {{\nmatch tag {{\n{arms}_ => return Ok(false),\n}}\nOk(true)\n}})?;"
    )
}
