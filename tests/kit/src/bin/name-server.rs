//! `name-server ADDRESS:PORT NAME=ADDRESS...`: a name server for tests, over UDP and TCP. It knows the addresses
//! that it is given, answers that other names do not exist, and says which names it was asked for.
//!
//! Messages: RFC 1035 section 4; IPv6 addresses: RFC 3596.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const HEADER: usize = 12;

/// How long a stream may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pointer to the name of the question, which comes after the header.
const NAME_OF_QUESTION: u16 = 0xc00c;

/// Types of records: A and AAAA.
const V4: u16 = 1;
const V6: u16 = 28;

/// QR, RD and RA: an answer of a server that would ask others.
const ANSWER: u16 = 0x8180;
/// RCODE 3: no such name.
const NO_SUCH_NAME: u16 = 3;

struct Known {
    name: String,
    address: IpAddr,
}

struct Question {
    name: String,
    kind: u16,
    /// Its bytes in the message, which the answer repeats.
    end: usize,
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("name-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let at = arguments.next().context("usage: name-server ADDRESS:PORT NAME=ADDRESS...")?;
    let known = arguments.map(|it| parse_known(&it)).collect::<Result<Vec<_>>>()?;
    let socket = UdpSocket::bind(&at).with_context(|| format!("cannot serve {at}"))?;
    let listener = TcpListener::bind(&at).with_context(|| format!("cannot serve {at}"))?;
    println!("listening");
    thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().flatten() {
                // Whoever does not ask in time, or asks nonsense, is not answered.
                let _ = serve_stream(stream, &known);
            }
        });
        let mut message = [0; 512];
        loop {
            let (len, from) = socket.recv_from(&mut message)?;
            if let Some(answer) = answered(&message[..len], from.ip(), "UDP", &known)? {
                let _ = socket.send_to(&answer, from);
            }
        }
    })
}

/// One question of a stream; each message has its length before it.
fn serve_stream(mut stream: TcpStream, known: &[Known]) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut message)?;
    if let Some(answer) = answered(&message, stream.peer_addr()?.ip(), "TCP", known)? {
        stream.write_all(&u16::try_from(answer.len())?.to_be_bytes())?;
        stream.write_all(&answer)?;
    }
    Ok(())
}

/// The answer to a message, after saying who asked; `None` for what is no question.
fn answered(message: &[u8], from: IpAddr, over: &str, known: &[Known]) -> Result<Option<Vec<u8>>> {
    let Ok(question) = parse_question(message) else { return Ok(None) };
    println!("asked for {} by {from} over {over}", question.name);
    std::io::stdout().flush()?;
    Ok(Some(answer(message, &question, known)))
}

fn parse_known(argument: &str) -> Result<Known> {
    let (name, address) = argument.split_once('=').context("NAME=ADDRESS is expected")?;
    Ok(Known { name: name.to_owned(), address: address.parse()? })
}

fn parse_question(message: &[u8]) -> Result<Question> {
    let mut at = HEADER;
    let mut labels = Vec::new();
    loop {
        let len = usize::from(*message.get(at).context("the name has no end")?);
        at += 1;
        if len == 0 {
            break;
        }
        let label = message.get(at..at + len).context("the label has no end")?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += len;
    }
    let Some(&[high, low, _, _]) = message.get(at..at + 4) else { bail!("there is no type") };
    Ok(Question { name: labels.join("."), kind: u16::from_be_bytes([high, low]), end: at + 4 })
}

fn answer(message: &[u8], question: &Question, known: &[Known]) -> Vec<u8> {
    let of_name = || known.iter().filter(|it| it.name == question.name);
    let is_wanted = |it: &&Known| question.kind == if it.address.is_ipv4() { V4 } else { V6 };
    let answers: Vec<_> = of_name().filter(is_wanted).collect();
    let code = if of_name().next().is_some() { 0 } else { NO_SUCH_NAME };
    let count = u16::try_from(answers.len()).unwrap_or(0);
    let mut out = message[..2].to_vec();
    for word in [ANSWER | code, 1, count, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    out.extend(&message[HEADER..question.end]);
    for known in answers {
        let address = match known.address {
            IpAddr::V4(it) => it.octets().to_vec(),
            IpAddr::V6(it) => it.octets().to_vec(),
        };
        // Class IN, and a minute to live.
        let length = u16::try_from(address.len()).unwrap_or(0);
        for word in [NAME_OF_QUESTION, question.kind, 1, 0, 60, length] {
            out.extend(word.to_be_bytes());
        }
        out.extend(address);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    fn answer_to(name: &str, kind: u16) -> Vec<u8> {
        let known = vec![Known { name: "host.test".to_owned(), address: [10, 0, 0, 7].into() }];
        let message = ask(name, kind);
        answer(&message, &parse_question(&message).unwrap(), &known)
    }

    #[test]
    fn a_known_name_has_its_address() {
        let out = answer_to("Host.test", V4);
        assert_eq!(out[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(out[out.len() - 6..], [0, 4, 10, 0, 0, 7]);
    }

    #[test]
    fn a_name_without_such_an_address_has_none_and_an_unknown_one_is_none() {
        assert_eq!(answer_to("host.test", V6)[2..8], [0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(answer_to("other.test", V4)[2..8], [0x81, 0x83, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_cut_off_is_no_question() {
        let message = ask("host.test", V4);
        for len in 0..message.len() - 4 {
            assert!(parse_question(&message[..len]).is_err(), "{len}");
        }
    }
}
