//! The schema of `result.json`: made from the types, kept in `bench/results/schema.json`.

use anyhow::Result;
use schemars::schema_for;

use crate::result::Results;

/// The schema, as JSON.
///
/// # Errors
/// Never: it is made of texts and numbers.
pub(crate) fn text() -> Result<String> {
    let mut schema = schema_for!(Results);
    schema.insert("title".to_owned(), "A result of dockervpp-bench".into());
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use boon::{Compiler, SchemaIndex, Schemas};
    use serde_json::Value;

    use super::*;
    use crate::{fixture, store};

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

    fn compiled() -> (Schemas, SchemaIndex) {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema: Value = serde_json::from_str(&text().unwrap()).unwrap();
        compiler.add_resource("result", schema).unwrap();
        let index = compiler.compile("result", &mut schemas).unwrap();
        (schemas, index)
    }

    #[test]
    fn the_kept_file_is_what_the_types_say() {
        let kept = fs::read_to_string(Path::new(FOLDER).join("schema.json")).unwrap();
        assert!(
            kept == text().unwrap(),
            "the types changed: `cargo run -p dockervpp-bench -- schema >bench/results/schema.json`"
        );
    }

    #[test]
    fn what_is_written_is_valid() {
        let (schemas, index) = compiled();
        let value = serde_json::to_value(fixture::results()).unwrap();
        schemas.validate(&value, index).unwrap();
    }

    #[test]
    fn what_is_wrong_is_not() {
        let (schemas, index) = compiled();
        let mut value = serde_json::to_value(fixture::results()).unwrap();
        value["benchmarks"][0]["contestants"][0]["summary"]["median"] = "fast".into();
        assert!(schemas.validate(&value, index).is_err());
        let mut value = serde_json::to_value(fixture::results()).unwrap();
        value["machine"].as_object_mut().unwrap().remove("kernel");
        assert!(schemas.validate(&value, index).is_err());
    }

    #[test]
    fn every_kept_result_is_valid_and_read() {
        let (schemas, index) = compiled();
        let mut count = 0;
        for entry in fs::read_dir(FOLDER).unwrap() {
            let path = entry.unwrap().path();
            let is_result =
                path.extension().is_some_and(|it| it == "json") && !path.ends_with("schema.json");
            if is_result {
                let value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                let valid = schemas.validate(&value, index);
                assert!(valid.is_ok(), "{}: {:?}", path.display(), valid.err());
                store::read(&path).unwrap();
                count += 1;
            }
        }
        assert!(count >= 2, "the kept results were not found");
    }
}
