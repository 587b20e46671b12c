//! Reads `*.api.json`, as VPP's `vppapigen` writes them (VPP 26.06, `src/tools/vppapigen/vppapigen_json.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::names;
use crate::schema::{Definitions, Field, File, Header, MessageDef, Role, Shape, TypeDef, TypeKind};

/// Definitions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no JSON.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file is not what `vppapigen` writes.
    #[error("{file}.api.json: {what}")]
    Shape {
        /// The file.
        file: String,
        /// What is not as it should be.
        what: String,
    },
    /// A folder has no definitions.
    #[error("{} has no *.api.json, nor has a folder in it: VPP's packages install theirs in /usr/share/vpp/api", .0.display())]
    Empty(PathBuf),
}

/// One file's JSON, and the files that it imports.
struct Raw {
    json: Value,
    imports: Vec<String>,
    /// Names of all types in it, its own and those of its imports.
    types: BTreeSet<String>,
}

const TYPE_LISTS: [&str; 4] = ["types", "unions", "enums", "enumflags"];

impl Definitions {
    /// Reads all definitions in a folder and in the folders in it.
    ///
    /// # Errors
    /// [`ReadError`], with the file.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let mut raw = BTreeMap::new();
        collect(folder, &mut raw)?;
        if raw.is_empty() {
            return Err(ReadError::Empty(folder.to_owned()));
        }
        let files = raw.keys().map(|name| Ok((name.clone(), file(name, &raw)?)));
        Ok(Self { files: files.collect::<Result<_, _>>()? })
    }
}

fn collect(folder: &Path, raw: &mut BTreeMap<String, Raw>) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, raw)?;
        } else if let Some(name) = file.strip_suffix(".api.json") {
            raw.insert(name.to_owned(), read(&path)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Raw, ReadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|source| ReadError::Json { path: path.to_owned(), source })?;
    let imports = list(&json["imports"]).filter_map(Value::as_str);
    let imports = imports.map(|it| names::api_file(it).to_owned()).collect();
    let lists = TYPE_LISTS.iter().flat_map(|key| list(&json[*key]));
    let named = lists.filter_map(|it| it[0].as_str()).map(str::to_owned);
    let types = named.chain(entries(&json["aliases"]).map(|(name, _)| name.clone())).collect();
    Ok(Raw { json, imports, types })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The file that defines a type: definitions repeat what they import.
fn owner<'a>(file: &'a str, name: &str, raw: &'a BTreeMap<String, Raw>) -> &'a str {
    let imports = raw.get(file).into_iter().flat_map(|it| &it.imports);
    let known = imports.filter(|it| *it != file);
    let from = known.filter_map(|it| raw.get_key_value(it)).find(|(_, it)| it.types.contains(name));
    from.map_or(file, |(import, _)| owner(import, name, raw))
}

fn file(name: &str, raw: &BTreeMap<String, Raw>) -> Result<File, ReadError> {
    let wrong = |what: String| ReadError::Shape { file: name.to_owned(), what };
    let this = &raw[name];
    let owners: BTreeMap<_, _> =
        this.types.iter().map(|it| (it.clone(), owner(name, it, raw).to_owned())).collect();
    let mut types = types(&this.json).map_err(wrong)?;
    types.retain(|it| owners[&it.name] == name);
    let services = services(&this.json["services"]);
    let messages = list(&this.json["messages"]).map(|it| message(it, &services));
    let messages = messages.collect::<Result<_, _>>().map_err(wrong)?;
    let version = this.json["options"]["version"].as_str().unwrap_or("unknown").to_owned();
    Ok(File { version, types, messages, owners })
}

fn types(json: &Value) -> Result<Vec<TypeDef>, String> {
    let mut found = Vec::new();
    for (name, alias) in entries(&json["aliases"]) {
        let of = names::type_name(text(&alias["type"], name)?).to_owned();
        let length = alias["length"].as_u64().map(size).transpose()?;
        found.push(TypeDef { name: name.clone(), kind: TypeKind::Alias { of, length } });
    }
    for key in ["enums", "enumflags"] {
        for it in list(&json[key]) {
            found.push(enumeration(it, key == "enumflags")?);
        }
    }
    for it in list(&json["unions"]) {
        found.push(TypeDef { name: head(it)?, kind: TypeKind::Union(fields(&tail(it))?) });
    }
    for it in list(&json["types"]) {
        found.push(TypeDef { name: head(it)?, kind: TypeKind::Struct(fields(&tail(it))?) });
    }
    Ok(found)
}

/// Definitions older than the keyword `enumflag` write flags as enumerations; their names say it.
fn enumeration(json: &Value, flags: bool) -> Result<TypeDef, String> {
    let name = head(json)?;
    let parts: Vec<_> = list(json).skip(1).collect();
    let number = parts.iter().find_map(|it| it["enumtype"].as_str()).unwrap_or("u32").to_owned();
    let named = parts.iter().filter(|it| it.is_array());
    let values = named.map(|it| {
        let value = it[1].as_i64().ok_or_else(|| format!("{name}: a value is no number"))?;
        Ok((text(&it[0], &name)?.to_owned(), value))
    });
    let values = values.collect::<Result<_, String>>()?;
    let flags = flags || name.ends_with("_flags");
    Ok(TypeDef { name, kind: TypeKind::Enumeration { number, values, flags } })
}

fn head(json: &Value) -> Result<String, String> {
    text(&json[0], "a definition without a name").map(str::to_owned)
}

/// The fields of a definition: what is a list; the rest says something about the whole.
fn tail(json: &Value) -> Vec<&Value> {
    list(json).skip(1).filter(|it| it.is_array()).collect()
}

fn fields(json: &[&Value]) -> Result<Vec<Field>, String> {
    json.iter().map(|it| field(it)).collect()
}

fn field(json: &Value) -> Result<Field, String> {
    let name = text(&json[1], "a field without a name")?.to_owned();
    let element = names::type_name(text(&json[0], &name)?).to_owned();
    let options = list(json).find(|it| it.is_object());
    let default = options.and_then(|it| it.get("default")).cloned();
    let shape = match (&json[2], &json[3]) {
        (Value::Number(_), Value::String(by)) => Shape::Counted(by.clone()),
        (Value::Number(length), _) => match size(length.as_u64().unwrap_or(0))? {
            0 => Shape::Open,
            length => Shape::Fixed(length),
        },
        _ => Shape::One,
    };
    Ok(Field { name, element, shape, default })
}

fn message(json: &Value, services: &BTreeMap<String, Role>) -> Result<MessageDef, String> {
    let name = head(json)?;
    let about = list(json).find(|it| it.is_object()).unwrap_or(&Value::Null);
    let crc = text(&about["crc"], &name)?;
    let crc = u32::from_str_radix(crc.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{name}: `{crc}` is no checksum"))?;
    let mut fields = fields(&tail(json))?;
    if fields.first().is_none_or(|it| it.name != "_vl_msg_id") {
        return Err(format!("{name}: does not begin with its number"));
    }
    let begins = |at: usize, with: &str| fields.get(at).is_some_and(|it| it.name == with);
    let (header, taken) = match (begins(1, "client_index"), begins(2, "context")) {
        (true, true) => (Header::ClientAndContext, 3),
        (true, false) => (Header::Client, 2),
        _ if begins(1, "context") => (Header::Context, 2),
        _ => (Header::Bare, 1),
    };
    fields.drain(..taken);
    let role = services.get(&name).cloned().unwrap_or(Role::Plain);
    let deprecated = about["options"].get("deprecated").is_some();
    Ok(MessageDef { name, crc, header, fields, role, deprecated })
}

/// What each message is to others.
fn services(json: &Value) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::new();
    for (name, service) in entries(json) {
        let Some(reply) = service["reply"].as_str().filter(|it| *it != "null") else { continue };
        let reply = reply.to_owned();
        if let Some(details) = service["stream_msg"].as_str() {
            roles.insert(reply.clone(), Role::Reply { cursor: true });
            roles.insert(name.clone(), Role::Get { details: details.to_owned(), reply });
        } else if service["stream"] == true {
            roles.insert(name.clone(), Role::Dump(reply));
        } else {
            roles.entry(reply.clone()).or_insert(Role::Reply { cursor: false });
            roles.insert(name.clone(), Role::Request(reply));
        }
        for event in list(&service["events"]).filter_map(Value::as_str) {
            roles.insert(event.to_owned(), Role::Event);
        }
    }
    roles
}

fn text<'a>(value: &'a Value, of: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{of}: text is missing"))
}

fn size(value: u64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("a length of {value}"))
}
