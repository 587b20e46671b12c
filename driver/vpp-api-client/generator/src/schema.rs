//! The model of API definitions.

use std::collections::BTreeMap;

use crate::names;

/// All files of a folder, by the name of the `.api` file.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// Files by name: `interface` for `interface.api`.
    pub files: BTreeMap<String, File>,
}

/// One `.api` file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its version, as the definitions say it.
    pub version: String,
    /// Types that it defines itself, in their order.
    pub types: Vec<TypeDef>,
    /// Its messages, in their order.
    pub messages: Vec<MessageDef>,
    /// Which file defines each type that this one can name.
    pub owners: BTreeMap<String, String>,
}

/// A type.
#[derive(Debug, Clone)]
pub struct TypeDef {
    /// Its name: `fib_path` for `vl_api_fib_path_t`.
    pub name: String,
    /// What it is.
    pub kind: TypeKind,
}

/// What a type is.
#[derive(Debug, Clone)]
pub enum TypeKind {
    /// Fields that follow each other.
    Struct(Vec<Field>),
    /// Fields that share their place.
    Union(Vec<Field>),
    /// A number with names.
    Enumeration {
        /// The number's type.
        number: String,
        /// Names and values.
        values: Vec<(String, i64)>,
        /// Whether the values are flags, which may be set together.
        flags: bool,
    },
    /// Another name for a type, or for an array of it.
    Alias {
        /// The type.
        of: String,
        /// How many of it.
        length: Option<usize>,
    },
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the definitions.
    pub name: String,
    /// The type of its elements: `u32`, `string`, or a defined type's name.
    pub element: String,
    /// How many there are.
    pub shape: Shape,
    /// What is meant when nothing is said.
    pub default: Option<serde_json::Value>,
}

/// How many elements a field has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One.
    One,
    /// Always as many. For text: the size of its place.
    Fixed(usize),
    /// As many as another field says.
    Counted(String),
    /// As many as there are bytes. For text: as many as a 32-bit length before it says.
    Open,
}

/// A message.
#[derive(Debug, Clone)]
pub struct MessageDef {
    /// Its name.
    pub name: String,
    /// Checksum of its layout.
    pub crc: u32,
    /// What precedes its fields.
    pub header: Header,
    /// Its fields.
    pub fields: Vec<Field>,
    /// What it is to others.
    pub role: Role,
    /// Whether VPP advises against it.
    pub deprecated: bool,
}

/// What precedes a message's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `client_index` and `context`.
    ClientAndContext,
    /// `context`.
    Context,
    /// `client_index`.
    Client,
    /// Nothing.
    Bare,
}

/// What a message is to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Answered by one reply.
    Request(String),
    /// Answered by details.
    Dump(String),
    /// Answered by details and a reply with a cursor.
    Get {
        /// The details.
        details: String,
        /// What ends a round.
        reply: String,
    },
    /// What answers a request.
    Reply {
        /// Whether it ends a round and says where the next begins.
        cursor: bool,
    },
    /// Sent without being asked.
    Event,
    /// Details, and messages that nothing answers.
    Plain,
}

impl Definitions {
    /// The type that `file` knows as `name`, and the file that defines it.
    pub fn find(&self, file: &str, name: &str) -> Option<(&str, &TypeDef)> {
        let (owner, defined) = self.files.get_key_value(self.files.get(file)?.owners.get(name)?)?;
        Some((owner, defined.types.iter().find(|it| it.name == name)?))
    }
}

impl MessageDef {
    /// Its name in Rust.
    pub fn rust_name(&self) -> String {
        names::camel(&self.name)
    }

    /// Name and checksum as VPP's message table has them.
    pub fn key(&self) -> String {
        format!("{}_{:08x}", self.name, self.crc)
    }
}

impl File {
    /// The message of a name.
    pub fn message(&self, name: &str) -> Option<&MessageDef> {
        self.messages.iter().find(|it| it.name == name)
    }
}
