//! Writes Rust: one module for each `.api` file, and one that lists them.

// `write!` to a `String` would pretend that it can fail.
#![allow(clippy::format_push_string)]

mod fields;
mod messages;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use crate::names;
use crate::schema::{Definitions, File, MessageDef};
use crate::shape::{self, RustType};

/// What one generated file needs while it is written.
struct Module<'a> {
    definitions: &'a Definitions,
    file: &'a str,
    imports: BTreeSet<String>,
    macros: BTreeSet<&'static str>,
    body: String,
}

impl Module<'_> {
    /// Notes what a type needs, and gives its name.
    fn name_of(&mut self, rust: RustType) -> String {
        self.imports.extend(rust.import);
        rust.name
    }

    fn element(&mut self, name: &str) -> Result<String, String> {
        let rust = shape::element(self.definitions, self.file, name)?;
        Ok(self.name_of(rust))
    }

    fn import(&mut self, path: &str) {
        self.imports.insert(path.to_owned());
    }

    fn text(self, version: &str) -> String {
        let Self { file, mut imports, macros, body, .. } = self;
        if !macros.is_empty() {
            let macros: Vec<_> = macros.into_iter().collect();
            imports.insert(format!("crate::definition::{{{}}}", macros.join(", ")));
        }
        let mut text = format!(
            "//! `{file}.api`, version {version}. Written by vpp-api-generator: change that, not this.\n\n"
        );
        for import in imports {
            text += &format!("use {import};\n");
        }
        text + &body
    }
}

/// Writes all modules: file names below the folder `api`, and their text. `api.rs` itself, which lists
/// them, has the name `../api.rs`. What older releases have differently (see [`unlike`](crate::unlike)) stands
/// in modules of their names, so that all versions can be known at once.
///
/// # Errors
/// A sentence that names what cannot be expressed.
pub fn emit(
    definitions: &Definitions,
    older: &BTreeMap<String, Definitions>,
) -> Result<BTreeMap<String, String>, String> {
    let mut files = modules(definitions)?;
    let older: BTreeMap<_, _> = older.iter().filter(|(_, it)| !it.files.is_empty()).collect();
    for (release, definitions) in &older {
        let within = modules(definitions)?;
        files.extend(within.into_iter().map(|(name, text)| (format!("{release}/{name}"), text)));
        files.insert(format!("{release}.rs"), list(definitions, &[]));
    }
    let releases: Vec<_> = older.keys().map(|it| it.as_str()).collect();
    files.insert("../api.rs".to_owned(), list(definitions, &releases));
    Ok(files)
}

fn modules(definitions: &Definitions) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    for (name, file) in &definitions.files {
        files.insert(format!("{}.rs", names::snake(name)), module(definitions, name, file)?);
    }
    Ok(files)
}

fn module(definitions: &Definitions, name: &str, file: &File) -> Result<String, String> {
    let mut module = Module {
        definitions,
        file: name,
        imports: BTreeSet::new(),
        macros: BTreeSet::new(),
        body: String::new(),
    };
    unambiguous(name, file)?;
    for defined in file.types.iter().filter(|it| !shape::is_known(&it.name)) {
        types::write(&mut module, defined)?;
    }
    for message in &file.messages {
        messages::write(&mut module, message)?;
    }
    Ok(module.text(&file.version))
}

/// Types and messages become names of one module.
fn unambiguous(name: &str, file: &File) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let types = file.types.iter().map(|it| names::camel(&it.name));
    for rust in types.chain(file.messages.iter().map(MessageDef::rust_name)) {
        if !seen.insert(rust.clone()) {
            return Err(format!("{name}.api: two definitions become `{rust}`"));
        }
    }
    Ok(())
}

fn list(definitions: &Definitions, releases: &[&str]) -> String {
    let mut text =
        "//! Typed messages: a module for each `.api` file of VPP. Written by vpp-api-generator: \
                    change that,\n//! not this.\n\n#![allow(missing_docs, clippy::pedantic)]\n\n"
            .to_owned();
    for name in definitions.files.keys() {
        text += &format!("pub mod {};\n", names::snake(name));
    }
    for release in releases {
        text += &format!("pub mod {release};\n");
    }
    text += "\nuse crate::message::Known;\n\n\
             /// Every message that is known here, in the order of files and definitions.\n\
             pub const MESSAGES: &[Known] = &[\n";
    for (name, file) in &definitions.files {
        for message in &file.messages {
            text += &format!("Known::of::<{}::{}>(),\n", names::snake(name), message.rust_name());
        }
    }
    text + "];\n"
}
