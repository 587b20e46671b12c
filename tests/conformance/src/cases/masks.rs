//! Waiting with a signal mask of its own: `ppoll`, `pselect`, `epoll_pwait`.

use super::Case;
use crate::names;
use crate::script::Script;
use crate::sys::{self, Answer, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("mask_lets_in", lets_in, idle),
    Case::new("mask_keeps_out", keeps_out, sends_later),
    Case::new("mask_while_asleep", while_asleep, idle),
];

const SIGNAL: i32 = libc::SIGUSR1;

fn idle(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

/// What waits with a mask.
#[derive(Debug, Clone, Copy)]
enum Waits {
    Poll,
    Select,
    Epoll,
}

const WAYS: [Waits; 3] = [Waits::Poll, Waits::Select, Waits::Epoll];

/// Waits for bytes with these signals blocked.
fn wait(fd: Fd, how: Waits, timeout_ms: i32, blocked: &[i32]) -> Answer {
    match how {
        Waits::Poll => sys::ppoll_blocking(&[(fd, libc::POLLIN)], timeout_ms.into(), blocked).0,
        Waits::Select => {
            sys::pselect_blocking(&[(fd, [true, false, false])], timeout_ms.into(), blocked).0
        }
        Waits::Epoll => {
            let epoll = Epoll::new();
            let bits = libc::EPOLLIN.cast_unsigned();
            epoll.control(libc::EPOLL_CTL_ADD, fd, bits, 1)?;
            epoll.pwait_blocking(timeout_ms, blocked).0
        }
    }
}

fn log(script: &Script, how: Waits, answer: Answer) {
    let (answer, caught, pending) =
        (names::answer(answer), sys::caught(SIGNAL), sys::is_pending(SIGNAL));
    script.note(&format!("{how:?} = {answer}, caught {caught}, pending {pending}"));
}

/// A signal that waits already is handled during the call, even in one that would not sleep.
fn lets_in(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(SIGNAL, true);
    sys::block(SIGNAL, true);
    for how in WAYS {
        for timeout_ms in [10_000, 0] {
            sys::signal_own(SIGNAL);
            log(script, how, wait(fd, how, timeout_ms, &[]));
        }
    }
    script.meet();
}

/// A signal that the mask blocks is not handled, although the thread would let it in.
fn keeps_out(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(SIGNAL, true);
    for how in WAYS {
        script.meet();
        let first = sys::thread_id();
        let quiet = &*script;
        let answer = std::thread::scope(|scope| {
            scope.spawn(move || {
                quiet.until("the first thread sleeps", || sys::is_asleep(first));
                sys::signal_thread(first, SIGNAL);
                quiet.tell("send");
            });
            wait(fd, how, 10_000, &[SIGNAL])
        });
        log(script, how, answer);
        script.recv(fd, 9, 0);
    }
    script.meet();
}

fn sends_later(script: &mut Script) {
    let fd = script.connect_one();
    for _ in WAYS {
        script.meet();
        script.hear();
        sys::sleep_ms(30);
        script.send(fd, b"late", 0);
    }
    script.meet();
}

/// A signal that the mask lets in interrupts the sleep.
fn while_asleep(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(SIGNAL, true);
    for how in WAYS {
        let answer = script.while_asleep(
            move || {
                sys::block(SIGNAL, true);
                wait(fd, how, 10_000, &[])
            },
            |thread| sys::signal_thread(thread, SIGNAL),
        );
        log(script, how, answer);
    }
    script.meet();
}
