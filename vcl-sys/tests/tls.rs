//! VPP's TLS, against the kernel's TCP with OpenSSL, and between two applications of one VPP: skipped, by name, where
//! there is none.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::need::{Need, offered};
use kit::process::{Process, run};
use kit::vpp::Vpp;
use kit::vpp_link::Link;
use vcl_sys::{App, Config, Events, Library, Protocol, Ready};

const PATIENCE: Duration = Duration::from_secs(20);

const NEEDS: &[Need] = &[Need::Vpp, Need::Root, Need::Openssl];

/// The name in the certificate.
const NAME: &str = "vpp.example";

/// A certificate that vouches for itself, and its key.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn make() -> Result<Self> {
        let it = Self { folder: tempfile::tempdir()? };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]);
        command.args(["-subj", &format!("/CN={NAME}"), "-addext"]);
        command.arg(format!("subjectAltName=DNS:{NAME}"));
        run(command.arg("-keyout").arg(it.key()).arg("-out").arg(it.file()))?;
        Ok(it)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// Of the addresses that are there for benchmarks (RFC 2544), a network for each process.
fn address(subnet: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, u8::try_from(std::process::id() % 250).unwrap(), subnet * 64 + last)
}

fn example(vpp: &Vpp, name: &str, socket: &str, rest: [&str; 2], tls: &[&str]) -> Result<Process> {
    let here = std::env::current_exe()?;
    let folder = here.ancestors().nth(2).context("target/debug")?.join("examples");
    let mut command = Command::new(folder.join(name));
    command.arg(socket).args(rest.iter().filter(|it| !it.is_empty()));
    Process::start(name, command.arg(&vpp.files().library).args(tls))
}

/// The echo server, once it listens with `certificate`.
fn server(vpp: &Vpp, socket: &str, certificate: &Certificate) -> Result<Process> {
    let [file, key] = [certificate.file(), certificate.key()].map(|it| it.display().to_string());
    let server = example(vpp, "echo_server", socket, ["0.0.0.0:7443", ""], &[&file, &key])?;
    let listening = |line: &str| line.starts_with("listening").then_some(());
    server.line_after(0, PATIENCE, "it listens", listening)?;
    Ok(server)
}

/// What OpenSSL has back of `sent` from an echo server, whose certificate must be the one in `trusted`.
fn ask(to: Ipv4Addr, trusted: &Path, sent: &str) -> Result<Process> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-brief", "-quiet", "-verify_return_error", "-servername", NAME]);
    command.args(["-verify_hostname", NAME, "-connect", &format!("{to}:7443"), "-CAfile"]);
    let mut client = Process::start("s_client", command.arg(trusted))?;
    client.send(sent)?;
    Ok(client)
}

#[test]
fn openssl_trusts_the_certificate_that_was_given_to_vpp() {
    if !offered(NEEDS) {
        return;
    }
    let (kernel, own) = (address(0, 1), address(0, 2));
    let vpp = Vpp::start(&[]).unwrap();
    let _link = Link::join(&vpp, own, kernel, 26).unwrap();
    let (shown, other) = (Certificate::make().unwrap(), Certificate::make().unwrap());
    let _server = server(&vpp, &vpp.app_socket(), &shown).unwrap();
    let client = ask(own, &shown.file(), "over TLS").unwrap();
    let echo = |line: &str| (line == "over TLS").then_some(());
    client.line_after(0, PATIENCE, "the echo comes", echo).unwrap();
    // One of the same name that was not shown.
    let mut client = ask(own, &other.file(), "over TLS").unwrap();
    assert!(!client.wait(PATIENCE).unwrap().success(), "{:?}", client.output());
    let said = client.output().join("\n");
    assert!(said.contains("verify error") && !said.contains("over TLS"), "{said}");
}

/// Two tables of VPP's, an address in each, and the way between them: what two containers have. The app socket and
/// the address of each.
fn two_namespaces(vpp: &Vpp) -> Result<[(String, Ipv4Addr); 2]> {
    let mut made = Vec::new();
    for number in [1, 2] {
        let (own, name) = (address(1, number), format!("loop{}", number - 1));
        let socket = vpp.folder().join(format!("ns{number}.sock")).display().to_string();
        for command in [
            "create loopback interface".to_owned(),
            format!("ip table add {number}"),
            format!("set interface ip table {name} {number}"),
            format!("set interface l2 bridge {name} {number} bvi"),
            format!("set interface ip address {name} {own}/26"),
            format!("set interface state {name} up"),
            format!("app ns add id ns{number} secret 0 if {name} sock-name {socket}"),
        ] {
            let said = vpp.cli(&command)?;
            ensure!(said.is_empty() || said == name, "{command}: {said}");
        }
        made.push((socket, own));
    }
    vpp.cli("pipe create")?;
    for (end, number) in [("pipe0.0", 1), ("pipe0.1", 2)] {
        let said = vpp.cli(&format!("set interface l2 bridge {end} {number}"))?;
        ensure!(said.is_empty(), "{said}");
    }
    vpp.cli("set interface state pipe0 up")?;
    Ok(<[_; 2]>::try_from(made).expect("two were made"))
}

#[test]
fn two_applications_of_a_vpp_speak_tls() {
    if !offered(NEEDS) {
        return;
    }
    let vpp = Vpp::start(&[]).unwrap();
    let [(here, _), (there, to)] = two_namespaces(&vpp).unwrap();
    let certificate = Certificate::make().unwrap();
    let _server = server(&vpp, &there, &certificate).unwrap();
    let to = format!("{to}:7443");
    for bytes in ["1", "3000000"] {
        let mut client = example(&vpp, "echo_client", &here, [&to, bytes], &["tls"]).unwrap();
        let status = client.wait(PATIENCE).unwrap();
        assert!(status.success(), "{bytes}: {:?}", client.output());
    }
    // VPP has to be told what to show, be it nothing.
    let library = Library::open(&vpp.files().library).unwrap();
    let worker = App::attach(&library, &Config::new("test", here.clone())).unwrap();
    let session = worker.session(Protocol::Tls).unwrap();
    session.connect(to.parse().unwrap()).unwrap();
    let epoll = worker.epoll().unwrap();
    epoll.add(&session, 1, Ready::READ | Ready::WRITE).unwrap();
    let mut events = Events::with_capacity(1);
    assert!(epoll.wait(&mut events, Some(PATIENCE)).unwrap() > 0, "VPP does not answer");
    assert!(session.error().unwrap().is_some(), "VPP connects without");
    // Who speaks no TLS is not served.
    let mut plain = example(&vpp, "echo_client", &here, [&to, "1"], &[]).unwrap();
    let status = plain.wait(PATIENCE).unwrap();
    assert!(!status.success(), "{:?}", plain.output());
}
