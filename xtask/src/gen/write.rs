//! The body of `Element::write` for one struct.

use anyhow::Result;

use super::schema::{Field, Message, Struct, Type};
use super::versions::Condition;

pub(super) fn body(message: &Message, item: &Struct) -> Result<String> {
    let mut code = String::new();
    for field in item.fields.iter().filter(|field| field.tagged.is_none()) {
        code += &in_line(message, item, field)?;
    }
    let mut tagged: Vec<&Field> = item
        .fields
        .iter()
        .filter(|field| field.tagged.is_some())
        .collect();
    tagged.sort_by_key(|field| field.tagged.as_ref().map(|(tag, _)| *tag));
    for field in &tagged {
        code += &missing_tag(message, item, field)?;
    }
    let section = if tagged.is_empty() {
        "e.put_no_tags();".to_owned()
    } else {
        tag_section(message, item, &tagged)?
    };
    code += &match message.flexible.condition(&item.versions) {
        Condition::Never => String::new(),
        Condition::Always => format!("{section}\n"),
        Condition::If(_) => format!("if flexible {{ {section} }}\n"),
    };
    Ok(code + "Ok(())\n")
}

/// Kafka's name of the field, as encode errors give it.
fn label(message: &Message, item: &Struct, field: &Field) -> String {
    if item.name == message.name {
        format!("\"{}\"", field.name)
    } else {
        format!("\"{}.{}\"", item.name, field.name)
    }
}

fn in_line(message: &Message, item: &Struct, field: &Field) -> Result<String> {
    let put = put(message, item, field);
    let absent = if field.ignorable {
        String::new()
    } else {
        format!(
            "absent({}, {})?;",
            field.is_default()?,
            label(message, item, field)
        )
    };
    Ok(match field.versions.condition(&item.versions) {
        Condition::Always => format!("{put}\n"),
        Condition::Never => format!("{absent}\n"),
        Condition::If(condition) if field.ignorable => format!("if {condition} {{ {put} }}\n"),
        Condition::If(condition) => format!("if {condition} {{ {put} }} else {{ {absent} }}\n"),
    })
}

fn missing_tag(message: &Message, item: &Struct, field: &Field) -> Result<String> {
    if field.ignorable {
        return Ok(String::new());
    }
    let without = item.versions.minus(&field.versions);
    let absent = format!(
        "absent({}, {})?;",
        field.is_default()?,
        label(message, item, field)
    );
    Ok(match without.condition(&item.versions) {
        Condition::Always => format!("{absent}\n"),
        Condition::Never => String::new(),
        Condition::If(condition) => format!("if {condition} {{ {absent} }}\n"),
    })
}

fn put(message: &Message, item: &Struct, field: &Field) -> String {
    if !field.is_optional() {
        return put_plain(field);
    }
    let put_present = || put_present(field, &label(message, item, field));
    match field.nullable.condition(&field.versions) {
        Condition::Always => put_nullable(field),
        Condition::Never => put_present(),
        Condition::If(condition) => {
            format!(
                "if {condition} {{ {} }} else {{ {} }}",
                put_nullable(field),
                put_present()
            )
        }
    }
}

fn put_plain(field: &Field) -> String {
    let this = format!("self.{}", field.ident());
    match &field.ty {
        _ if field.is_error_code() => format!("e.put_error_code({this});"),
        Type::Uuid => format!("e.put_uuid({this});"),
        Type::String | Type::Bytes | Type::Records | Type::Array(_) | Type::Struct(_) => {
            put_reference(field, &format!("&{this}"), &this)
        }
        number => format!("e.put_{}({this});", number.rust_type()),
    }
}

/// A value that may be null, in a version where it may not.
fn put_present(field: &Field, label: &str) -> String {
    let value = format!("present({}, {label})?", borrowed(field));
    put_reference(field, &value, &value)
}

fn put_reference(field: &Field, reference: &str, place: &str) -> String {
    let flexible = if field.plain { "false" } else { "flexible" };
    match &field.ty {
        Type::String => format!("e.put_string({reference}, {flexible})?;"),
        Type::Bytes => format!("e.put_bytes({reference}, {flexible})?;"),
        Type::Records => format!("e.put_records({reference}, {flexible})?;"),
        Type::Array(_) => format!("e.put_array({reference}, version, flexible)?;"),
        _ => format!("{place}.write(e, version, flexible)?;"),
    }
}

fn put_nullable(field: &Field) -> String {
    let flexible = if field.plain { "false" } else { "flexible" };
    let value = borrowed(field);
    match (&field.ty, &field.tagged) {
        (Type::String, _) => format!("e.put_nullable_string({value}, {flexible})?;"),
        (Type::Bytes, _) => format!("e.put_nullable_bytes({value}, {flexible})?;"),
        (Type::Records, _) => format!("e.put_nullable_records({value}, {flexible})?;"),
        (Type::Array(_), _) => format!("e.put_nullable_array({value}, version, flexible)?;"),
        (_, None) => format!("e.put_nullable_struct({value}, version, flexible)?;"),
        (_, Some(_)) => format!("e.put_tagged_nullable_struct({value}, version)?;"),
    }
}

fn borrowed(field: &Field) -> String {
    let this = format!("self.{}", field.ident());
    match field.ty {
        Type::String | Type::Array(_) => format!("{this}.as_deref()"),
        _ => format!("{this}.as_ref()"),
    }
}

fn tag_section(message: &Message, item: &Struct, tagged: &[&Field]) -> Result<String> {
    let within = message.flexible.and(&item.versions);
    let mut code = "let mut tags = TagSection::new();\n".to_owned();
    for field in tagged {
        let Some((tag, versions)) = &field.tagged else {
            continue;
        };
        let presence = match versions.condition(&within) {
            Condition::Always => String::new(),
            Condition::Never => continue,
            Condition::If(condition) => format!("{condition} && "),
        };
        code += &format!(
            "if {presence}{} {{\ntags.put({tag}, &mut |e| {{\n{}\nOk(())\n}})?;\n}}\n",
            negated(&field.is_default()?),
            put(message, item, field),
        );
    }
    Ok(code + "tags.write(e)?;")
}

/// Negates a test for the default without a double negation.
fn negated(condition: &str) -> String {
    if let Some(plain) = condition.strip_prefix('!') {
        plain.to_owned()
    } else if let Some(value) = condition.strip_suffix(".is_none()") {
        format!("{value}.is_some()")
    } else if let Some((left, right)) = condition.split_once(" == ") {
        format!("{left} != {right}")
    } else {
        format!("!{condition}")
    }
}
