//! The process that `vcl::Program` starts, alone: the agent's own binary has it as a subcommand. Its standard
//! input is the socket to the agent.

use std::os::fd::AsFd;
use std::process::ExitCode;

use transport::vcl::{VclAttach, serve};

fn main() -> ExitCode {
    let attach = match VclAttach::from_arguments(std::env::args_os().skip(1)) {
        Ok(attach) => attach,
        Err(error) => {
            eprintln!("vcl_process: {error}");
            return ExitCode::from(2);
        }
    };
    let served = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| error.to_string())
        .and_then(|socket| serve(socket, &attach).map_err(|error| error.to_string()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcl_process: {error}");
            ExitCode::FAILURE
        }
    }
}
