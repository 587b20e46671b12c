//! Front ends that break the rules.

use proptest::prelude::*;

use super::driver::{INDIRECT, NEXT, WRITE, descriptor};
use super::*;
use crate::{MAX_FRAME, QueueFault, TxError};

/// A frame that is well, then a buffer that is not: the frame is delivered, the fault comes after it.
fn expect_fault(arrange: impl FnOnce(&mut Machine), fault: QueueFault) {
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(true));
    machine.send(0, &[7; 60]);
    arrange(&mut machine);
    assert_eq!(drain(&mut rx, 8), [[7; 60]], "the frame before it is delivered");
    assert_eq!(rx.batch(8).err(), Some(fault));
    assert_eq!(rx.batch(8).err(), Some(fault), "and it stays so");
    assert_eq!(machine.driver.used_index(), 1);
}

#[test]
fn descriptors_that_lie_are_faults() {
    let outside = |address, length| QueueFault::OutOfMemory { address, length };
    let end = GUEST + MEMORY as u64;
    expect_fault(|it| it.driver.offer(SIZE), QueueFault::BadIndex { index: SIZE, size: SIZE });
    for (address, length) in
        [(0, 60), (end, 60), (end - 59, 60), (u64::MAX - 10, 60), (GUEST, u32::MAX)]
    {
        let lie = |it: &mut Machine| {
            it.driver.describe(1, address, length, 0, 0);
            it.driver.offer(1);
        };
        expect_fault(lie, outside(address, length));
    }
    let chain = |next| {
        move |it: &mut Machine| {
            it.driver.describe(1, GUEST + BUFFERS, 60, NEXT, next);
            it.driver.offer(1);
        }
    };
    expect_fault(chain(99), QueueFault::BadIndex { index: 99, size: SIZE });
    expect_fault(chain(1), QueueFault::LongChain(64));
    let short = |it: &mut Machine| {
        it.driver.describe(1, GUEST + BUFFERS, 11, 0, 0);
        it.driver.offer(1);
    };
    expect_fault(short, QueueFault::ShortChain(11));
    let long = |it: &mut Machine| {
        it.driver.describe(1, GUEST + BUFFERS, length(&vec![0; MAX_FRAME + 13]), 0, 0);
        it.driver.offer(1);
    };
    expect_fault(long, QueueFault::LongFrame(MAX_FRAME + 1));
    let writable = |it: &mut Machine| {
        it.driver.describe(1, GUEST + BUFFERS, 60, WRITE, 0);
        it.driver.offer(1);
    };
    expect_fault(writable, QueueFault::WrongDirection);
}

#[test]
fn tables_that_lie_are_faults() {
    let table = |entries: Vec<u8>, length: u32, flags: u16| {
        move |it: &mut Machine| {
            let address = it.put(0x4_0000, &entries);
            it.driver.describe(1, address, length, INDIRECT | flags, 2);
            it.driver.offer(1);
        }
    };
    let good = descriptor(GUEST + BUFFERS, 60, 0, 0).to_vec();
    for bad in [0, 15, 17, 16 * 65_536] {
        expect_fault(table(good.clone(), bad, 0), QueueFault::BadTable(bad));
    }
    expect_fault(table(good.clone(), 16, NEXT), QueueFault::BadTable(16));
    let nested = descriptor(GUEST + BUFFERS, 16, INDIRECT, 0).to_vec();
    expect_fault(table(nested, 16, 0), QueueFault::BadTable(16));
    let away = descriptor(GUEST + BUFFERS, 60, NEXT, 1).to_vec();
    expect_fault(table(away, 16, 0), QueueFault::BadIndex { index: 1, size: 1 });
    let outside = |it: &mut Machine| {
        it.driver.describe(1, GUEST + MEMORY as u64 - 16, 32, INDIRECT, 0);
        it.driver.offer(1);
    };
    let address = GUEST + MEMORY as u64 - 16;
    expect_fault(outside, QueueFault::OutOfMemory { address, length: 32 });
}

#[test]
fn an_index_that_jumps_is_a_fault() {
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(true));
    machine.driver.set_index(SIZE + 1);
    let fault = QueueFault::IndexOverrun { claimed: SIZE + 1, size: SIZE };
    assert_eq!(rx.batch(8).err(), Some(fault));
    let mut machine = Machine::new();
    let mut tx = machine.tx(features(true));
    machine.driver.set_index(40_000);
    let fault = QueueFault::IndexOverrun { claimed: 40_000, size: SIZE };
    assert_eq!(tx.push(&[0; 12], &[1; 60][..]), Err(TxError::Fault(fault)));
}

#[test]
fn buffers_to_be_filled_that_cannot_be_are_faults() {
    let push = |address, length, flags| {
        let mut machine = Machine::new();
        let mut tx = machine.tx(features(true));
        machine.driver.describe(0, address, length, flags, 0);
        machine.driver.offer(0);
        tx.push(&[0; 12], &[1; 60][..]).expect_err("refused")
    };
    assert_eq!(push(GUEST, 60, 0), TxError::Fault(QueueFault::WrongDirection));
    assert_eq!(push(GUEST, 11, WRITE), TxError::Fault(QueueFault::ShortChain(11)));
    let outside = QueueFault::OutOfMemory { address: 7, length: 100 };
    assert_eq!(push(7, 100, WRITE), TxError::Fault(outside));
    assert_eq!(push(GUEST, 100, WRITE | NEXT), TxError::Fault(QueueFault::LongChain(64)));
}

#[test]
fn a_closed_connection_says_so() {
    let mut machine = Machine::new();
    let (mut rx, mut tx) = (machine.rx(features(true)), machine.tx(features(true)));
    machine.send(0, &[1; 60]);
    rx.state().fail(QueueFault::MemoryLost);
    tx.state().close();
    assert_eq!(rx.batch(8).err(), Some(QueueFault::Disconnected));
    assert_eq!(rx.state().fault(), Some(QueueFault::MemoryLost));
    assert_eq!(tx.push(&[0; 12], &[1; 60][..]), Err(TxError::Fault(QueueFault::Disconnected)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 512 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rings full of whatever: frames or faults come of it, never a panic, and nothing is written outside of
    /// the used ring by a queue that only receives.
    #[test]
    fn garbage_does_no_harm(
        scribbles in prop::collection::vec((0usize..0x800, any::<u64>()), 0..60),
        // Addresses that are likely to hit.
        hits in prop::collection::vec((0u16..SIZE, 0u64..0x11_0000, 0u32..0x2_0000, 0u16..8, 0u16..20), 0..20),
        index in 0u16..20,
        named: bool,
        sizes in prop::collection::vec(0usize..70_000, 1..4),
    ) {
        let mut machine = Machine::new();
        for &(at, word) in &scribbles {
            machine.memory.write(0x1000 + at, &word.to_le_bytes()).expect("inside");
        }
        for &(n, address, length, flags, next) in &hits {
            machine.driver.describe(n, GUEST + address, length, flags, next);
        }
        machine.driver.begin_at(7);
        machine.driver.set_index(7 + index);
        let mut rx = machine.rx(features(named));
        let buffers = machine.get(GUEST + BUFFERS, 0x1000);
        for _ in 0..3 {
            if let Ok(batch) = rx.batch(8) {
                for frame in batch.frames() {
                    prop_assert_eq!(frame.to_vec().len(), frame.len());
                }
            }
        }
        prop_assert_eq!(machine.get(GUEST + BUFFERS, 0x1000), buffers);
        machine.driver.begin_at(7);
        machine.driver.set_index(7 + index);
        let mut tx = machine.tx(features(named));
        for &size in &sizes {
            let _ = tx.push(&[0; 12], &vec![0; size][..]);
            let _ = tx.flush();
        }
    }
}
