//! Bytes nobody meant well with: an error at worst, never a panic, never unbounded memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

mod common;

use common::{called, caller, generated, ssid};
use oftp::buffer::{frame_bytes, put_command, take_data};
use oftp::command::Command;
use oftp::{send_files, serve_call};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Some octets, most of which begin like a command.
fn buffers() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(b"IXH23DCT45FRENPJAS\x00".to_vec());
    (
        first,
        prop::collection::vec(
            prop_oneof![Just(b' '), b'0'..=b'9', Just(b'Y'), Just(b'\r'), any::<u8>()],
            0..300,
        ),
    )
        .prop_map(|(first, rest)| [&[first][..], &rest].concat())
}

fn framed(buffers: &[Vec<u8>]) -> Vec<u8> {
    buffers
        .iter()
        .flat_map(|buffer| {
            let length = (buffer.len() as u32 + 4).to_be_bytes();
            [&[0x10, length[1], length[2], length[3]], buffer.as_slice()].concat()
        })
        .collect()
}

proptest! {
    #[test]
    fn decoding_never_panics(buffer in buffers(), noise in prop::collection::vec(any::<u8>(), 0..400)) {
        for octets in [&buffer, &noise] {
            let _ = frame_bytes(octets);
            if let Ok(command) = Command::decode(octets) {
                let mut again = Vec::new();
                put_command(&mut again, &command);
                prop_assert_eq!(Command::decode(&again[4..]), Ok(command));
            }
        }
    }

    #[test]
    fn data_is_bounded(subrecords in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut out = Vec::new();
        let _ = take_data(&subrecords, &mut out);
        prop_assert!(out.len() <= subrecords.len().div_ceil(2) * 63);
    }

    #[test]
    fn sessions_survive_anything(
        said in prop::collection::vec(buffers(), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..50),
        introduced in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let inbox = tempfile::tempdir().unwrap();
            for calling in [true, false] {
                let (ours, mut theirs) = duplex(1 << 16);
                let mut wire = Vec::new();
                if introduced {
                    if calling {
                        wire.extend(framed(&[b"IODETTE FTP READY \r".to_vec()]));
                    }
                    wire.extend(framed(&[ssid("OTHER", 500, 'B', 3)]));
                }
                wire.extend(framed(&said));
                wire.extend(&noise);
                let peer = async {
                    let _ = theirs.write_all(&wire).await;
                    let _ = theirs.shutdown().await;
                    let _ = theirs.read_to_end(&mut Vec::new()).await;
                };
                let (calling_settings, called_settings) = (caller(), called(inbox.path()));
                let files = [generated("A", 70_000)];
                let us = async {
                    if calling {
                        let _ = send_files(ours, &calling_settings, &files, |_| ()).await;
                    } else {
                        let _ = serve_call(ours, &called_settings, |_| ()).await;
                    }
                };
                tokio::join!(peer, us);
            }
        });
    }
}
