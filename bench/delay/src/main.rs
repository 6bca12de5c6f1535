//! A wire with a length, for kernels without `netem`: two TUN devices; what goes into the one comes out of the other
//! a fixed time later, complete and in order.
//!
//! The devices are made where this runs and can be moved into other network namespaces afterwards. They go when this
//! ends, and this ends when its standard input does, so that nothing is left over by whoever started it.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, SyncDevice};

const USAGE: &str = "usage: delay DEVICE DEVICE MICROSECONDS    (each way; needs root and /dev/net/tun)";

/// A packet, and when it comes out.
struct Packet {
    due: Instant,
    bytes: Box<[u8]>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [near, far, micros] = arguments.as_slice() else { return failed(USAGE) };
    let Ok(micros) = micros.parse() else { return failed(USAGE) };
    match run(near, far, Duration::from_micros(micros)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error}: TUN devices need root and /dev/net/tun")),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("delay: {reason}");
    ExitCode::FAILURE
}

fn run(near: &str, far: &str, delay: Duration) -> io::Result<()> {
    let [near, far] = [device(near)?, device(far)?];
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (sender, receiver) = sync_channel(PACKETS_MAX);
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        thread::spawn(move || take_in(&from, delay, &sender));
        thread::spawn(move || let_out(&to, &receiver));
    }
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn device(name: &str) -> io::Result<Arc<SyncDevice>> {
    Ok(Arc::new(DeviceBuilder::new().name(name).inherit_enable_state().build_sync()?))
}

/// Until the device is gone. A reader that falls behind by [`PACKETS_MAX`] waits; the device's own queue follows.
fn take_in(device: &SyncDevice, delay: Duration, packets: &SyncSender<Packet>) {
    let mut room = vec![0; PACKET_BYTES_MAX];
    loop {
        match device.recv(&mut room) {
            Ok(count) => {
                let packet = Packet { due: Instant::now() + delay, bytes: room[..count].into() };
                if packets.send(packet).is_err() {
                    return;
                }
            }
            // It is not up yet, which reading reports where waiting would do.
            Err(error) if error.raw_os_error() == Some(DEVICE_IS_DOWN) => thread::sleep(PAUSE),
            Err(_) => return,
        }
    }
}

fn let_out(device: &SyncDevice, packets: &Receiver<Packet>) {
    for Packet { due, bytes } in packets {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // What the other end does not take, because it is down, is lost as on any wire.
        let _ = device.send(&bytes);
    }
}

/// `EBADFD`, which a TUN device answers while it is down.
const DEVICE_IS_DOWN: i32 = 77;
const PAUSE: Duration = Duration::from_millis(5);
/// What is on the wire at most: 25 ms at 10 Gbit/s are 31 MB, in packets of 1,500 bytes 21,000.
const PACKETS_MAX: usize = 32_768;
/// The largest packet of IP.
const PACKET_BYTES_MAX: usize = 65_535;
