//! `dockervpp options`: the options of networks and endpoints.

use miette::IntoDiagnostic;
use serde_json::{Value, json};

use crate::cli::OptionsArgs;
use crate::docker::options::{ENDPOINT, NETWORK, OptionSpec};

/// Runs the command.
pub fn run(arguments: &OptionsArgs) -> miette::Result<()> {
    let text = if arguments.json { json_text()? } else { text() };
    Ok(super::output::print(&text)?)
}

fn text() -> String {
    let mut text =
        String::from("Of a network: docker network create -d dockervpp -o KEY=VALUE\n\n");
    text.extend(NETWORK.iter().map(entry));
    text.push_str(
        "Of an endpoint: docker run --network name=NETWORK,driver-opt=dockervpp.KEY=VALUE\n\
         \u{20}            or docker network connect --driver-opt dockervpp.KEY=VALUE\n\n",
    );
    text.extend(ENDPOINT.iter().map(entry));
    text.push_str("Every key may be written with or without `dockervpp.` in front.\n");
    text
}

fn entry<T>(spec: &OptionSpec<T>) -> String {
    format!(
        "  {}={}\n      {}\n      Default: {}.\n\n",
        spec.key, spec.values, spec.doc, spec.default
    )
}

fn json_text() -> miette::Result<String> {
    let network: Vec<Value> = NETWORK.iter().map(object).collect();
    let endpoint: Vec<Value> = ENDPOINT.iter().map(object).collect();
    let all = json!({ "network": network, "endpoint": endpoint });
    let mut text = serde_json::to_string_pretty(&all).into_diagnostic()?;
    text.push('\n');
    Ok(text)
}

fn object<T>(spec: &OptionSpec<T>) -> Value {
    json!({
        "key": spec.key,
        "values": spec.values,
        "default": spec.default,
        "description": spec.doc,
    })
}
