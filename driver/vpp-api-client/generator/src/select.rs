//! Takes what is wanted of definitions: messages, what answers them, and the types that they need.

use std::collections::BTreeSet;

use crate::schema::{Definitions, Field, MessageDef, Role, TypeKind};
use crate::shape;

/// Names of wanted messages.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    names: BTreeSet<String>,
}

/// Messages that no file defines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no definition has the message(s) {}", .0.join(", "))]
pub struct SelectionError(pub Vec<String>);

impl Selection {
    /// Names separated by white space; what follows a `#` on its line is a comment.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        Self { names: lines.flat_map(str::split_whitespace).map(str::to_owned).collect() }
    }
}

/// The part of `definitions` that has the selected messages. Replies, details and the types that are
/// needed come with them; a selected event needs no request.
///
/// # Errors
/// [`SelectionError`], with every name that is not there.
pub fn select(
    definitions: &Definitions,
    selection: &Selection,
) -> Result<Definitions, SelectionError> {
    let all = || definitions.files.values().flat_map(|file| &file.messages);
    let known: BTreeSet<_> = all().map(|it| it.name.as_str()).collect();
    let absent: Vec<_> =
        selection.names.iter().filter(|it| !known.contains(it.as_str())).cloned().collect();
    if !absent.is_empty() {
        return Err(SelectionError(absent));
    }
    let mut wanted = selection.names.clone();
    for message in all().filter(|it| selection.names.contains(&it.name)) {
        wanted.extend(answers(message));
    }
    Ok(keep(definitions, &wanted))
}

/// The part of `older` that has the selected messages which `newest` has not as they are there: those with
/// another checksum, or with an answer that has. What `older` does not have is left out.
pub fn unlike(older: &Definitions, newest: &Definitions, selection: &Selection) -> Definitions {
    let keys: BTreeSet<_> =
        newest.files.values().flat_map(|it| &it.messages).map(MessageDef::key).collect();
    let message = |name: &str| older.files.values().find_map(|it| it.message(name));
    let differs = |name: &str| message(name).is_some_and(|it| !keys.contains(&it.key()));
    let selected = selection.names.iter().filter_map(|it| message(it));
    let wanted =
        selected.filter(|it| differs(&it.name) || answers(it).iter().any(|it| differs(it)));
    keep(older, &wanted.flat_map(|it| [vec![it.name.clone()], answers(it)].concat()).collect())
}

/// Names of the messages that answer this one.
fn answers(message: &MessageDef) -> Vec<String> {
    match &message.role {
        Role::Request(answer) | Role::Dump(answer) => vec![answer.clone()],
        Role::Get { details, reply } => vec![details.clone(), reply.clone()],
        Role::Reply { .. } | Role::Event | Role::Plain => Vec::new(),
    }
}

fn keep(definitions: &Definitions, wanted: &BTreeSet<String>) -> Definitions {
    let mut kept = definitions.clone();
    let mut types = BTreeSet::new();
    for (name, file) in &mut kept.files {
        file.messages.retain(|it| wanted.contains(&it.name));
        for message in &file.messages {
            note(definitions, name, &message.fields, &mut types);
        }
    }
    for (name, file) in &mut kept.files {
        file.types.retain(|it| types.contains(&(name.clone(), it.name.clone())));
    }
    kept.files.retain(|_, file| !file.messages.is_empty() || !file.types.is_empty());
    kept
}

/// Notes the types of fields, and the types of their fields. What is known to the client needs no
/// definition.
fn note(
    definitions: &Definitions,
    file: &str,
    fields: &[Field],
    types: &mut BTreeSet<(String, String)>,
) {
    for element in fields.iter().map(|it| it.element.as_str()).filter(|it| !shape::is_known(it)) {
        note_type(definitions, file, element, types);
    }
}

fn note_type(
    definitions: &Definitions,
    file: &str,
    name: &str,
    types: &mut BTreeSet<(String, String)>,
) {
    let Some((owner, defined)) = definitions.find(file, name) else { return };
    if !types.insert((owner.to_owned(), name.to_owned())) {
        return;
    }
    match &defined.kind {
        TypeKind::Struct(fields) | TypeKind::Union(fields) => {
            note(definitions, owner, fields, types);
        }
        TypeKind::Alias { of, .. } if !shape::is_known(of) => {
            note_type(definitions, owner, of, types);
        }
        TypeKind::Alias { .. } | TypeKind::Enumeration { .. } => {}
    }
}
