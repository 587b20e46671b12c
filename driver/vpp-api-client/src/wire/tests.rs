//! Values come back as they went; what is not one is refused.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn written<T: Wire>(value: &T) -> Vec<u8> {
    let mut to = Writer::default();
    value.encode(&mut to).expect("it can be written");
    to.into_bytes()
}

/// Reads what was written, and refuses it when a byte is missing.
fn returns<T: Wire + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = written(value);
    let mut from = Reader::new(&bytes);
    prop_assert_eq!(&T::decode(&mut from).expect("it was written"), value);
    prop_assert_eq!(from.left(), 0);
    if let [short @ .., _] = bytes.as_slice() {
        let short = T::decode(&mut Reader::new(short));
        prop_assert!(matches!(short, Err(DecodeError::Short { .. })), "{:?}", short);
    }
    Ok(())
}

proptest! {
    #[test]
    fn numbers_return(a: u8, b: u16, c: u32, d: u64, e: i32, f: i64, g: f64, h: bool) {
        returns(&a)?;
        returns(&b)?;
        returns(&c)?;
        returns(&d)?;
        returns(&e)?;
        returns(&f)?;
        returns(&g)?;
        returns(&h)?;
    }

    #[test]
    fn arrays_addresses_and_text_return(
        array: [u16; 4], four: [u8; 4], six: [u8; 16], text in ".{0,40}", short in "[a-z]{0,15}",
    ) {
        returns(&array)?;
        returns(&IpAddr::from(four))?;
        returns(&IpAddr::from(six))?;
        returns(&text)?;
        returns(&FixedString::<16>::try_from(short).expect("short enough"))?;
    }

    #[test]
    fn text_that_does_not_fit_is_refused(text in "[a-z]{16,40}") {
        prop_assert!(FixedString::<16>::try_from(text).is_err());
    }

    #[test]
    fn any_bytes_of_a_field_are_text_that_fits_it(bytes: [u8; 16]) {
        let text = FixedString::<16>::decode(&mut Reader::new(&bytes)).expect("16 bytes");
        prop_assert!(text.len() < 16 && !text.contains('\0'));
        returns(&text)?;
    }
}

#[test]
fn numbers_are_big_endian_and_packed() {
    assert_eq!(written(&0x0102_u16), [1, 2]);
    assert_eq!(written(&[0x0102_0304_u32, 5]), [1, 2, 3, 4, 0, 0, 0, 5]);
    assert_eq!(written(&-2_i32), [255, 255, 255, 254]);
    assert_eq!(written(&"ab".to_owned()), [0, 0, 0, 2, b'a', b'b']);
    assert_eq!(written(&FixedString::<4>::try_from("ab").expect("short")), [b'a', b'b', 0, 0]);
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    assert_eq!(written(&address), [0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_list_is_as_long_as_its_length_field_can_say() {
    let mut to = Writer::default();
    to.count::<u8>("paths", 255).expect("it fits");
    let error = to.count::<u8>("paths", 256).expect_err("too long");
    assert_eq!(error, EncodeError { list: "paths", length: 256, most: 255 });
    assert_eq!(to.into_bytes(), [255], "what does not fit leaves nothing");
}

#[test]
fn a_length_that_the_bytes_do_not_have_allocates_nothing_and_is_refused() {
    let bytes = [0xff; 8];
    assert!(matches!(String::decode(&mut Reader::new(&bytes)), Err(DecodeError::Short { .. })));
    let list = Reader::new(&bytes).list::<u32>(usize::MAX);
    assert!(matches!(list, Err(DecodeError::Short { at: 8, .. })));
}

#[test]
fn an_address_of_no_known_family_is_refused() {
    let error = IpAddr::decode(&mut Reader::new(&[2; 17])).expect_err("family 2");
    assert_eq!(error.to_string(), "2 at byte 0 is no address family");
}
