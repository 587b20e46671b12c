//! The state file: what was committed is read again, and what is damaged is refused as it is.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dockervpp::docker::wire;
use dockervpp::state::{Begin, Change, NetworkRecord, State};
use dockervpp::store::{FILE, Store, StoreError};
use proptest::prelude::*;
use redb::{Database, TableDefinition};
use serde_json::json;

fn record(id: &str, third: u8) -> NetworkRecord {
    let body = json!({"NetworkID": id, "IPv4Data": [{"Pool": format!("10.1.{third}.0/24")}]});
    let request: wire::CreateNetworkRequest = serde_json::from_value(body).unwrap();
    match State::default().begin_network(&request.parse().unwrap()).unwrap() {
        Begin::Fresh(record) => record,
        other => panic!("{other:?}"),
    }
}

/// A state file with three networks.
fn filled(directory: &Path) -> State {
    let (store, mut state) = Store::open(directory).unwrap();
    for (third, id) in ["a", "b", "c"].into_iter().enumerate() {
        let change = Change::PutNetwork(record(id, u8::try_from(third).unwrap()));
        store.commit(std::slice::from_ref(&change)).unwrap();
        state.apply(change);
    }
    state
}

#[test]
fn what_was_committed_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = filled(directory.path());
    let (store, state) = Store::open(directory.path()).unwrap();
    assert_eq!(state, expected);
    let change = Change::DropNetwork("b".parse().unwrap());
    store.commit(std::slice::from_ref(&change)).unwrap();
    expected.apply(change);
    drop(store);
    let (_store, state) = Store::open(directory.path()).unwrap();
    assert_eq!(state, expected);
    let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file holds memif secrets");
}

#[test]
fn networks_remember_their_engine() {
    let directory = tempfile::tempdir().unwrap();
    let (store, empty) = Store::open(directory.path()).unwrap();
    store.record_engine("vpp").unwrap();
    assert_eq!(store.engine_of(&empty).unwrap(), None, "without networks any engine will do");
    drop(store);
    filled(directory.path());
    let (store, state) = Store::open(directory.path()).unwrap();
    assert_eq!(store.engine_of(&state).unwrap().as_deref(), Some("vpp"));
}

#[test]
fn networks_from_before_engines_were_written_down_are_the_embedded_engines() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let (store, state) = Store::open(directory.path()).unwrap();
    assert_eq!(store.engine_of(&state).unwrap().as_deref(), Some("embedded"));
}

#[test]
fn a_second_agent_is_refused_with_the_first_ones_pid() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _) = Store::open(directory.path()).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    let expected = format!("another agent (process {})", std::process::id());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_crash_during_the_first_start_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("state.redb.new"), b"half").unwrap();
    let (_store, state) = Store::open(directory.path()).unwrap();
    assert_eq!(state, State::default());
}

#[test]
fn a_half_written_file_is_refused_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 64, 512, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        match Store::open(directory.path()) {
            Err(error @ StoreError::Damaged { .. }) => {
                let help = miette::Diagnostic::help(&error).unwrap().to_string();
                assert!(help.contains("nothing was changed"), "{help}");
                assert!(help.contains("mv "), "{help}");
            }
            other => panic!("{length} of {}: {other:?}", whole.len()),
        }
        assert_eq!(fs::read(&path).unwrap(), &whole[..length], "the damaged file was changed");
    }
}

#[test]
fn text_instead_of_a_database_is_refused_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let text = "{\"networks\": []}".repeat(1000);
    fs::write(&path, &text).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_newer_file_is_refused_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join(FILE);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 7).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 7, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let database = Database::open(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let networks = TableDefinition::<&str, &[u8]>::new("networks");
    transaction.open_table(networks).unwrap().insert("b", b"{}".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record b cannot be read"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Flipped bytes are noticed, or hit bytes that nobody reads; never a panic, never a change.
    #[test]
    fn flipped_bytes_do_no_harm(flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 1..8)) {
        let directory = tempfile::tempdir().unwrap();
        let expected = filled(directory.path());
        let path = directory.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        for (index, mask) in flips {
            *index.get_mut(&mut bytes) ^= mask;
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok((_, state)) = Store::open(directory.path()) {
            prop_assert_eq!(state, expected);
        } else {
            prop_assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
