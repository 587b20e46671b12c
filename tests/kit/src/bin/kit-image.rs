//! `kit-image busybox|examples|testpmd`: makes a test image if it is not there, and prints its name.
//! The demo uses it, and whoever wants to look into one by hand.

use std::process::ExitCode;

use kit::Image;

fn main() -> ExitCode {
    let made = match std::env::args().nth(1).as_deref() {
        Some("busybox") => Image::busybox(),
        Some("examples") => Image::examples(),
        Some("testpmd") => Image::testpmd(),
        _ => Err(anyhow::anyhow!("usage: kit-image busybox|examples|testpmd")),
    };
    match made {
        Ok(image) => {
            println!("{}", image.name());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kit-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}
