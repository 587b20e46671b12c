//! Messages, and what they are to each other.

use super::{Module, fields};
use crate::names;
use crate::schema::{MessageDef, Role};

pub(super) fn write(module: &mut Module<'_>, message: &MessageDef) -> Result<(), String> {
    let MessageDef { name, crc, header, .. } = message;
    let (rust, key) = (message.rust_name(), message.key());
    let advice = if message.deprecated { "/// VPP calls it deprecated.\n" } else { "" };
    let about = format!("/// `{name}`, CRC 0x{crc:08x}.\n{advice}");
    if is_verdict(message) {
        module.macros.insert("verdict");
        module.body += &format!(
            "\nverdict! {{\n    {}    {rust}, \"{name}\", 0x{crc:08x}, \"{key}\"\n}}\n",
            about.replace("\n/", "\n    /")
        );
        return Ok(());
    }
    fields::write(module, &about, &rust, &message.fields)?;
    module.macros.insert("message");
    module.body +=
        &format!("\nmessage!({rust}, \"{name}\", 0x{crc:08x}, \"{key}\", {header:?});\n");
    role(module, message, &rust);
    Ok(())
}

/// Whether a message is a reply that has a verdict and nothing else.
fn is_verdict(message: &MessageDef) -> bool {
    let only = message.fields.len() == 1 && has_verdict(message);
    only && message.role == Role::Reply { cursor: false }
        && message.header == crate::schema::Header::Context
}

fn has_verdict(message: &MessageDef) -> bool {
    message.fields.iter().any(|it| it.name == "retval" && it.element == "i32")
}

fn role(module: &mut Module<'_>, message: &MessageDef, rust: &str) {
    let text = match &message.role {
        Role::Request(reply) => {
            let reply = names::camel(reply);
            format!("\nimpl crate::Request for {rust} {{\n    type Reply = {reply};\n}}\n")
        }
        Role::Dump(details) => {
            let details = names::camel(details);
            format!("\nimpl crate::Dump for {rust} {{\n    type Details = {details};\n}}\n")
        }
        Role::Get { details, reply } => format!(
            "\nimpl crate::Get for {rust} {{\n    type Details = {};\n    type Reply = {};\n\n    \
             fn at_cursor(&self, cursor: u32) -> Self {{\n        \
             Self {{ cursor{} }}\n    }}\n}}\n",
            names::camel(details),
            names::camel(reply),
            if message.fields.len() > 1 { ", ..self.clone()" } else { "" },
        ),
        Role::Reply { cursor } => reply(message, rust, *cursor),
        Role::Event => format!("\nimpl crate::Event for {rust} {{}}\n"),
        Role::Plain => return,
    };
    module.body += &text;
}

fn reply(message: &MessageDef, rust: &str, cursor: bool) -> String {
    let mut text = if has_verdict(message) {
        format!(
            "\nimpl crate::Reply for {rust} {{\n    fn retval(&self) -> i32 {{\n        \
             self.retval\n    }}\n}}\n"
        )
    } else {
        format!("\nimpl crate::Reply for {rust} {{}}\n")
    };
    if cursor {
        text += &format!(
            "\nimpl crate::GetReply for {rust} {{\n    fn cursor(&self) -> u32 {{\n        \
             self.cursor\n    }}\n}}\n"
        );
    }
    text
}
