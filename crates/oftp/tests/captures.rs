//! Commands as the field tables of RFC 5024, section 5.3, have them, written by hand: decoded, looked at, and
//! encoded to the same octets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

use oftp::buffer::{BufferError, DataLayout, frame_bytes, put_command, take_data};
use oftp::command::{
    BufferBytes, Capability, Command, CommandKind, DecodeError, EndReason, FileFormat, FileReason,
    ResponseReason, Stamp,
};

/// Decodes, encodes, compares; gives the command.
fn round(octets: &[u8]) -> Command {
    let command = Command::decode(octets).unwrap_or_else(|error| panic!("{error}"));
    let mut again = Vec::new();
    command.encode(&mut again);
    assert_eq!(again, octets);
    assert_eq!(command.kind().octet(), octets[0]);
    command
}

#[test]
fn ready_message_with_header() {
    let wire = b"\x10\x00\x00\x17IODETTE FTP READY \r";
    assert_eq!(frame_bytes(wire), Ok(Some(wire.len())));
    assert_eq!(round(&wire[4..]), Command::Ready);
    let mut again = Vec::new();
    put_command(&mut again, &Command::Ready);
    assert_eq!(again, wire);
    // The other carriage return of 5.3.1.
    assert_eq!(Command::decode(b"IODETTE FTP READY \x8d"), Ok(Command::Ready));
}

#[test]
fn start_session() {
    let octets = b"X5O0013000001DEMO          SECRET  99999BNNN099N    USERDATA\r";
    assert_eq!(octets.len(), 61);
    let Command::StartSession(ssid) = round(octets) else { panic!("not SSID") };
    assert_eq!(ssid.level, 5);
    assert_eq!(ssid.code.as_str(), "O0013000001DEMO");
    assert_eq!(ssid.password.as_bytes(), b"SECRET  ");
    assert_eq!(ssid.buffer_bytes.bytes(), 99_999);
    assert_eq!(ssid.capability, Capability::Both);
    assert!(!ssid.compression && !ssid.restart && !ssid.special_logic && !ssid.authentication);
    assert_eq!(ssid.credit.buffers(), 99);
    assert_eq!(ssid.user_data.as_str(), "USERDATA");
    assert!(!format!("{ssid:?}").contains("SECRET"));
}

#[test]
fn start_session_out_of_range() {
    let with = |position: usize, field: &[u8]| {
        let mut octets = b"X5O0013000001DEMO          SECRET  99999BNNN099N    USERDATA\r".to_vec();
        octets[position..position + field.len()].copy_from_slice(field);
        Command::decode(&octets)
    };
    for (position, field, name) in [
        (1, &b"A"[..], "SSIDLEV"),
        (2, b"\x07", "SSIDCODE"),
        (27, b"\xe4", "SSIDPSWD"),
        (35, b"00127", "SSIDSDEB"),
        (35, b"+9999", "SSIDSDEB"),
        (40, b"X", "SSIDSR"),
        (41, b"y", "SSIDCMPR"),
        (42, b" ", "SSIDREST"),
        (43, b"1", "SSIDSPEC"),
        (44, b"000", "SSIDCRED"),
        (47, b"?", "SSIDAUTH"),
        (60, b"\n", "SSIDCR"),
    ] {
        assert_eq!(with(position, field), Err(DecodeError::Field(name)));
    }
    assert!(with(60, b"\x8d").is_ok());
}

fn start_file_octets() -> Vec<u8> {
    [
        &b"H"[..],
        b"INVOICES.2026             ",
        b"   ",
        b"20261122",
        b"2050310001",
        b"        ",
        b"O0013000002PARTNER       ",
        b"O0013000001DEMO          ",
        b"U00000",
        b"0000000000011",
        b"0000000000012",
        b"00000000000000000",
        b"000000N",
        b"005",
        "Grün".as_bytes(),
    ]
    .concat()
}

#[test]
fn start_file() {
    let octets = start_file_octets();
    assert_eq!(octets.len(), 165 + 5);
    let Command::StartFile(sfid) = round(&octets) else { panic!("not SFID") };
    assert_eq!(sfid.name.as_str(), "INVOICES.2026");
    assert_eq!((sfid.stamp.date(), sfid.stamp.time()), ("20261122", "2050310001"));
    assert_eq!(sfid.destination.as_str(), "O0013000002PARTNER");
    assert_eq!(sfid.originator.as_str(), "O0013000001DEMO");
    assert_eq!(sfid.format, FileFormat::Unstructured);
    assert_eq!((sfid.size_kib, sfid.original_kib, sfid.restart), (11, 12, 0));
    assert_eq!(sfid.description, "Grün");

    assert_eq!(Command::decode(&octets[..169]), Err(DecodeError::Length(CommandKind::Sfid)));
    assert_eq!(Command::decode(&[&octets[..], b"x"].concat()), Err(DecodeError::Length(CommandKind::Sfid)));
    let mut broken = octets.clone();
    broken[167] = 0xff;
    assert_eq!(Command::decode(&broken), Err(DecodeError::Field("SFIDDESC")));
    let mut broken = octets;
    broken[106] = b'Q';
    assert_eq!(Command::decode(&broken), Err(DecodeError::Field("SFIDFMT")));
}

#[test]
fn answers_to_files() {
    assert_eq!(round(b"200000000000000000"), Command::StartFilePositive { restart: 0 });
    let Command::StartFileNegative(sfna) = round(b"313N009duplicate") else { panic!("not SFNA") };
    assert_eq!(
        (sfna.reason, sfna.retry, sfna.text.as_str()),
        (FileReason::DUPLICATE_FILE, false, "duplicate")
    );
    assert_eq!(sfna.reason.to_string(), "13 (duplicate file)");
    let Command::EndFile(efid) = round(b"T0000000000000000000000010737418240") else { panic!("not EFID") };
    assert_eq!((efid.records, efid.bytes), (0, 10_737_418_240));
    assert_eq!(round(b"4N"), Command::EndFilePositive { change_direction: false });
    assert_eq!(round(b"4Y"), Command::EndFilePositive { change_direction: true });
    let Command::EndFileNegative(efna) = round(b"511000") else { panic!("not EFNA") };
    assert_eq!((efna.reason, efna.text.as_str()), (FileReason::INVALID_BYTE_COUNT, ""));
}

#[test]
fn short_commands() {
    assert_eq!(round(b"C  "), Command::SetCredit);
    assert_eq!(round(b"R"), Command::ChangeDirection);
    assert_eq!(round(b"P"), Command::ReadyToReceive);
    let Command::EndSession(esid) = round(b"F00000\r") else { panic!("not ESID") };
    assert_eq!((esid.reason, esid.text.as_str()), (EndReason::NORMAL, ""));
    let Command::EndSession(esid) = round(b"F04007go away\r") else { panic!("not ESID") };
    assert_eq!((esid.reason, esid.text.as_str()), (EndReason::INVALID_PASSWORD, "go away"));
    // Unknown codes are kept; they are worth showing.
    let Command::EndSession(esid) = round(b"F42000\r") else { panic!("not ESID") };
    assert_eq!(esid.reason.code(), 42);
    for (octets, kind) in [
        (&b"J"[..], CommandKind::Secd),
        (b"A\x00\x01x", CommandKind::Auch),
        (b"S12345678901234567890", CommandKind::Aurp),
    ] {
        assert_eq!(Command::decode(octets), Err(DecodeError::NotSupported(kind)));
    }
    assert_eq!(Command::decode(b"Z"), Err(DecodeError::Unknown(b'Z')));
    assert_eq!(Command::decode(b""), Err(DecodeError::Unknown(0)));
    assert_eq!(Command::decode(b"RR"), Err(DecodeError::Length(CommandKind::Cd)));
}

#[test]
fn responses() {
    let octets = [
        &b"EINVOICES.2026                202611222050310001USERDATA"[..],
        b"O0013000001DEMO          O0013000002PARTNER       ",
        b"\x00\x04\xde\xad\xbe\xef\x00\x01s",
    ]
    .concat();
    assert_eq!(octets.len(), 108 + 4 + 2 + 1);
    let Command::EndResponse(eerp) = round(&octets) else { panic!("not EERP") };
    assert_eq!(eerp.name.as_str(), "INVOICES.2026");
    assert_eq!(eerp.destination.as_str(), "O0013000001DEMO");
    assert_eq!((eerp.hash.as_slice(), eerp.signature.as_slice()), (&b"\xde\xad\xbe\xef"[..], &b"s"[..]));

    let octets = [
        &b"NINVOICES.2026                   202611222050310001"[..],
        b"O0013000001DEMO          O0013000002PARTNER       O0013000002PARTNER       ",
        b"34004oops\x00\x00\x00\x00",
    ]
    .concat();
    let Command::NegativeEndResponse(nerp) = round(&octets) else { panic!("not NERP") };
    assert_eq!((nerp.reason, nerp.text.as_str()), (ResponseReason::PROCESSING_FAILED, "oops"));
    assert_eq!(nerp.creator.as_str(), "O0013000002PARTNER");
}

#[test]
fn headers() {
    assert_eq!(frame_bytes(b""), Ok(None));
    assert_eq!(frame_bytes(b"\x10\x00\x00"), Ok(None));
    assert_eq!(frame_bytes(b"\x10\x00\x00\x05"), Ok(Some(5)));
    assert_eq!(frame_bytes(b"\x1f\x01\x86\xa3"), Ok(Some(100_003)));
    assert_eq!(frame_bytes(b"\x10\x00\x00\x04"), Err(BufferError::Length(4)));
    assert_eq!(frame_bytes(b"\x10\x01\x86\xa4"), Err(BufferError::Length(100_004)));
    assert_eq!(frame_bytes(b"HTTP"), Err(BufferError::Version(4)));
    assert_eq!(frame_bytes(b"\x16"), Ok(None));
    assert_eq!(frame_bytes(b"\x20"), Err(BufferError::Version(2)));
}

#[test]
fn data_buffers() {
    let layout = DataLayout::new(BufferBytes::new(128).unwrap());
    // 127 octets behind the command: 1 + 63, and 1 + 62.
    assert_eq!((layout.payload_bytes(), layout.frame_bytes()), (125, 132));

    let mut wire = Vec::new();
    assert_eq!(layout.put_data(&mut wire, b"", true), 1);
    assert_eq!(wire, b"\x10\x00\x00\x06D\x80");

    wire.clear();
    assert_eq!(layout.put_data(&mut wire, b"abc", true), 1);
    assert_eq!(wire, b"\x10\x00\x00\x09D\x83abc");

    wire.clear();
    assert_eq!(layout.put_data(&mut wire, &[7; 63], true), 1);
    assert_eq!(wire, [&b"\x10\x00\x00\x45D\xbf"[..], &[7; 63]].concat());

    // Exactly one full buffer: not the last, no flag; the last, the flag stands on the last subrecord only.
    for (last, header) in [(false, 0x3e), (true, 0xbe)] {
        wire.clear();
        assert_eq!(layout.put_data(&mut wire, &[7; 125], last), 1);
        let expected = [&b"\x10\x00\x00\x84D\x3f"[..], &[7; 63], &[header], &[7; 62]].concat();
        assert_eq!(wire, expected);
    }

    // One octet more is a second buffer.
    wire.clear();
    assert_eq!(layout.put_data(&mut wire, &[7; 126], true), 2);
    assert_eq!(wire.len(), 132 + 7);
    assert_eq!(wire[132..], *b"\x10\x00\x00\x07D\x81\x07");
}

#[test]
fn room_for_every_buffer_size() {
    for bytes in 128..2_000 {
        let layout = DataLayout::new(BufferBytes::new(bytes).unwrap());
        assert!(layout.frame_bytes() - 4 <= bytes, "{bytes}");
        // At most one octet is left over: too little for a header and an octet.
        assert!(layout.frame_bytes() - 4 >= bytes - 1, "{bytes}");
        let data: Vec<u8> = (0..layout.payload_bytes() * 3 + 1).map(|octet| octet as u8).collect();
        let mut wire = Vec::new();
        assert_eq!(layout.put_data(&mut wire, &data, true), 4);
        let (mut rest, mut again, mut records) = (wire.as_slice(), Vec::new(), 0);
        while let Ok(Some(length)) = frame_bytes(rest) {
            records += take_data(&rest[5..length], &mut again).unwrap();
            rest = &rest[length..];
        }
        assert_eq!((again, records), (data, 1));
    }
}

#[test]
fn subrecords() {
    let mut out = Vec::new();
    // Two records: "AB", then "C", three compressed spaces and nothing.
    assert_eq!(take_data(b"\x82AB\x01C\x43 \x80", &mut out), Ok(2));
    assert_eq!(out, b"ABC   ");
    assert_eq!(take_data(b"\x02A", &mut out), Err(BufferError::Subrecord));
    assert_eq!(take_data(b"\x43", &mut out), Err(BufferError::Subrecord));
    assert_eq!(take_data(b"", &mut out), Ok(0));
}

#[test]
fn stamps() {
    assert_eq!(Stamp::from_unix(0, 1).to_string(), "19700101 0000000001");
    assert_eq!(Stamp::from_unix(951_782_400, 42).to_string(), "20000229 0000000042");
    assert_eq!(Stamp::from_unix(1_795_380_631, 9_999).to_string(), "20261122 2050319999");
}
