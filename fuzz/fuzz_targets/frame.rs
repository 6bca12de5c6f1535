//! Whatever bytes arrive, reading them ends in a frame or an error; and a frame has only one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::limits::{BODY_BYTES_MAX, DATA_BYTES_MAX};
use wire::{Frame, Header, Kind};

fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let Ok(header) = Header::decode(*head) else { return };
    assert_eq!(header.encode(), *head);
    assert!(header.length <= if header.kind == Kind::Data { DATA_BYTES_MAX } else { BODY_BYTES_MAX });
    let Some(body) = rest.get(..header.length) else {
        return;
    };
    let Ok(frame) = Frame::decode(header.kind, body) else {
        return;
    };
    assert_eq!(frame.kind(), header.kind);
    let mut again = Vec::new();
    frame.encode(&mut again);
    assert_eq!(again, bytes[..head.len() + header.length]);
});
