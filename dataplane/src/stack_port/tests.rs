//! Both ends of the queues, without a worker.

use super::*;

fn frame(port: &mut StackPort, byte: u8, len: usize) -> StackFrame {
    let mut frame = port.new_frame(len);
    frame.bytes_mut().fill(byte);
    frame
}

#[test]
fn frames_arrive_in_order_and_their_tags_come_back() {
    let (mut input, mut output, mut port) = connect().unwrap();
    for n in 0..100u8 {
        let frame = frame(&mut port, n, 60 + usize::from(n) * 500);
        port.send(frame, Tag(u32::from(n))).unwrap();
    }
    assert_eq!(port.gone(), None);
    for n in 0..100u8 {
        let frame = input.pop().unwrap();
        assert_eq!(frame.bytes(), vec![n; 60 + usize::from(n) * 500]);
        output.report_gone(Return::of(frame));
    }
    assert!(input.pop().is_none());
    for n in 0..100 {
        assert_eq!(port.gone(), Some(Tag(n)));
    }
}

#[test]
fn a_stack_that_does_not_look_at_what_is_gone_runs_out_of_room() {
    let (mut input, mut output, mut port) = connect().unwrap();
    for _ in 0..FROM_STACK {
        let frame = frame(&mut port, 1, 60);
        port.send(frame, Tag(7)).unwrap();
        output.report_gone(Return::of(input.pop().unwrap()));
    }
    assert!(!port.has_room());
    let more = frame(&mut port, 1, 60);
    let more = port.send(more, Tag(7)).unwrap_err();
    assert_eq!(port.gone(), Some(Tag(7)));
    port.send(more, Tag(8)).unwrap();
}

#[test]
fn what_waits_for_a_stack_is_bounded_in_frames_and_bytes() {
    let (_input, mut output, mut port) = connect().unwrap();
    let mut pool = BufferPool::default();
    let fill = |output: &mut StackOutput, pool: &mut BufferPool, len| {
        let mut taken = 0;
        while output.push(pool.frame(len), pool).is_ok() {
            taken += 1;
        }
        taken
    };
    assert_eq!(fill(&mut output, &mut pool, 60), TO_STACK);
    while let Some(frame) = port.receive() {
        port.recycle(frame);
    }
    assert_eq!(fill(&mut output, &mut pool, 65_000), TO_STACK_BYTES.div_ceil(65_000));
    let first = port.receive().unwrap();
    assert!(output.push(pool.frame(60), &mut pool).is_err(), "read, but its buffer is still out");
    port.recycle(first);
    assert!(output.push(pool.frame(60), &mut pool).is_ok());
}

#[test]
fn a_stack_sleeps_only_when_there_is_nothing_it_waits_for() {
    let (mut input, mut output, mut port) = connect().unwrap();
    let mut pool = BufferPool::default();
    assert_eq!(port.arm(WaitFor::Frames), Armed::Sleep);
    port.disarm();
    output.push(pool.frame(60), &mut pool).unwrap();
    output.flush();
    assert_eq!(port.arm(WaitFor::Frames), Armed::Ready);
    let received = port.receive().unwrap();
    port.recycle(received);
    let own = frame(&mut port, 1, 60);
    port.send(own, Tag(1)).unwrap();
    output.report_gone(Return::of(input.pop().unwrap()));
    output.flush();
    assert_eq!(port.arm(WaitFor::Frames), Armed::Sleep, "room is not what it waits for");
    assert_eq!(port.arm(WaitFor::FramesAndRoom), Armed::Ready);
    assert!(port.gone().is_some());
    assert_eq!(port.arm(WaitFor::FramesAndRoom), Armed::Sleep);
}

#[test]
fn a_sleeping_stack_is_woken() {
    let (mut input, mut output, mut port) = connect().unwrap();
    let stack = std::thread::spawn(move || {
        for n in 0..1000u32 {
            let frame = loop {
                match port.receive() {
                    Some(frame) => break frame,
                    None => port.wait(WaitFor::Frames, None).unwrap(),
                }
            };
            assert_eq!(frame.bytes(), n.to_be_bytes());
            port.recycle(frame);
            let mut answer = port.new_frame(4);
            answer.bytes_mut().copy_from_slice(&n.to_be_bytes());
            port.send(answer, Tag(n)).unwrap();
            port.flush();
            while port.gone().is_some() {}
        }
    });
    let mut pool = BufferPool::default();
    for n in 0..1000u32 {
        let mut frame = pool.frame(4);
        frame.bytes_mut().copy_from_slice(&n.to_be_bytes());
        output.push(frame, &mut pool).unwrap();
        output.flush();
        let answer = loop {
            if let Some(frame) = input.pop() {
                break frame;
            }
            assert!(!stack.is_finished());
            std::thread::yield_now();
        };
        assert_eq!(answer.bytes(), n.to_be_bytes());
        output.report_gone(Return::of(answer));
        output.flush();
    }
    stack.join().unwrap();
}
