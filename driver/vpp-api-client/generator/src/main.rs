//! `vpp-api-generator`: see the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use vpp_api_generator::{Definitions, Selection, emit, select, unlike};

/// Writes the typed messages of vpp-api-client from VPP's API definitions.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder with `*.api.json`, searched with its folders; VPP's packages have /usr/share/vpp/api.
    definitions: PathBuf,
    /// The crate's `src` folder: `api.rs` and `api/` in it are replaced.
    out: PathBuf,
    /// File with names of wanted messages; without it all are written.
    #[arg(long)]
    messages: Option<PathBuf>,
    /// Definitions of an older release, `v24_02=FOLDER`: wanted messages that have another checksum there are
    /// written too, into a module of that name. May be repeated; needs --messages.
    #[arg(long, value_name = "NAME=FOLDER", requires = "messages")]
    older: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(count) => {
            println!("{count} files written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vpp-api-generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<usize, String> {
    let mut definitions =
        Definitions::read(&arguments.definitions).map_err(|error| error.to_string())?;
    let mut older = BTreeMap::new();
    if let Some(path) = &arguments.messages {
        let text = std::fs::read_to_string(path).map_err(failed(path))?;
        let selection = Selection::parse(&text);
        for release in &arguments.older {
            let (name, folder) =
                release.split_once('=').ok_or_else(|| format!("`{release}` is not NAME=FOLDER"))?;
            let all = Definitions::read(Path::new(folder)).map_err(|error| error.to_string())?;
            older.insert(name.to_owned(), unlike(&all, &definitions, &selection));
        }
        definitions = select(&definitions, &selection).map_err(|error| error.to_string())?;
    }
    // Everything is made before anything is replaced.
    let files = emit::emit(&definitions, &older)?;
    let folder = arguments.out.join("api");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let paths: Vec<_> = files.keys().map(|name| folder.join(name)).collect();
    for (path, text) in paths.iter().zip(files.values()) {
        let folder = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        std::fs::write(path, text).map_err(failed(path))?;
    }
    format(&paths)?;
    Ok(paths.len())
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

fn format(paths: &[PathBuf]) -> Result<(), String> {
    let status = Command::new("rustfmt").args(["--edition", "2024"]).args(paths).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("rustfmt: {status}")),
        Err(error) => Err(format!("rustfmt does not start: {error}")),
    }
}
