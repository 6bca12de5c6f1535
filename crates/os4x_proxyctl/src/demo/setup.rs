//! The steps in which the system comes up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use issuer::{SigningKey, grant};
use license::{Day, TrustedKey};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Demo;
use super::daemon_process::DaemonProcess;
use super::inside::STATION;
use super::place::{CLIENT, CLIENT_CONFIG, LICENSE, PROXY, PROXY_CONFIG};
use super::programs::{Programs, proxy_id, public_key};
use crate::figure::Time;

/// Keys, station, proxy, client. An error is what keeps all further steps from making sense.
pub(super) async fn run(demo: &mut Demo, programs: &Programs) -> Result<(), String> {
    make_keys(demo, programs).await?;
    make_license(demo, programs).await?;
    tell_of_station(demo);
    start_proxy(demo, programs).await?;
    see_ports_closed(demo).await;
    start_client(demo, programs).await
}

async fn make_keys(demo: &mut Demo, programs: &Programs) -> Result<(), String> {
    let Demo { place, account, inside, outside, .. } = demo;
    account.step("Keys: each daemon makes its own, and is told the other's public key");
    let partner = outside.address;
    place.write_proxy_config(partner)?;
    let nobody = place.nobody.address();
    place.write_client_config([("plain", inside.plain), ("tls", inside.tls), ("closed", nobody)], partner)?;
    let proxy_key = public_key(&programs.proxy, &place.path(PROXY_CONFIG)).await?;
    let client_key = public_key(&programs.client, &place.path(CLIENT_CONFIG)).await?;
    place.write_authorized(PROXY, "the client inside", client_key)?;
    place.write_authorized(CLIENT, "the proxy in the DMZ", proxy_key)?;
    account.good(format!("os4x_proxy -K        {proxy_key}"));
    account.detail(format!("                     now trusted in {CLIENT}.authorized"));
    account.good(format!("os4x_proxyclient -K  {client_key}"));
    account.detail(format!("                     now trusted in {PROXY}.authorized"));
    Ok(())
}

async fn make_license(demo: &mut Demo, programs: &Programs) -> Result<(), String> {
    let Demo { place, account, .. } = demo;
    account.step("License: one for this proxy, until the end of tomorrow, signed with the development key");
    let trusted = TrustedKey::built_in().map_err(|error| error.to_string())?;
    if !trusted.is_development() {
        return Err(String::from(
            "this build trusts the license key of its vendor, so that the demo cannot make a license; build without \
             OS4X_LICENSE_PUBLIC_KEY",
        ));
    }
    let proxy_id = proxy_id(&programs.proxy, &place.path(PROXY_CONFIG)).await?;
    let license = grant(proxy_id, "the demo".parse()?, Day::today(), 1);
    let signed = SigningKey::development().and_then(|key| key.sign(&license));
    place.write(LICENSE, &signed.map_err(|error| error.to_string())?)?;
    account.good(format!("os4x_proxy -L        {proxy_id}"));
    account.detail(format!("                     its license is {LICENSE}"));
    Ok(())
}

fn tell_of_station(demo: &mut Demo) {
    let Demo { place, account, inside, .. } = demo;
    account.step("Inside: the OFTP2 station listens");
    account.good(format!("station \"{STATION}\" at {} (plain OFTP) and {} (TLS)", inside.plain, inside.tls));
    account.detail(format!(
        "and nobody at {}, which will be the target of the listener \"closed\"",
        place.nobody.address()
    ));
}

async fn start_proxy(demo: &mut Demo, programs: &Programs) -> Result<(), String> {
    let Demo { place, account, .. } = demo;
    account.step("DMZ: os4x_proxy starts");
    let proxy = DaemonProcess::start("os4x_proxy", &programs.proxy, &place.path(PROXY))?;
    let proxy = demo.proxy.insert(proxy);
    let listening = proxy.await_event("listening", &[("door", "internal")]).await?;
    let (pid, address, age) = (proxy.pid(), listening.field("address"), Time(proxy.age()));
    account.good(format!("process {pid} accepts the inside at {address}, {age} after its start"));
    Ok(())
}

/// What a partner meets while no client is attached.
async fn see_ports_closed(demo: &mut Demo) {
    for (name, address) in demo.place.externals() {
        match timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                demo.account.good(format!("no client, no port: {address} (\"{name}\") refuses connections"));
            }
            _ => demo.account.bad(format!("{address} (\"{name}\") is open although no client is attached")),
        }
    }
}

async fn start_client(demo: &mut Demo, programs: &Programs) -> Result<(), String> {
    let Demo { place, account, .. } = demo;
    account.step("Inside: os4x_proxyclient starts and attaches to the proxy");
    let client = DaemonProcess::start("os4x_proxyclient", &programs.client, &place.path(CLIENT))?;
    let client = demo.client.insert(client);
    let attached = client.await_event("attached", &[]).await?;
    let (pid, session, age) = (client.pid(), attached.field("session"), Time(client.age()));
    account.good(format!("process {pid} is attached (session {session}), {age} after its start"));
    let proxy = demo.proxy.as_mut().ok_or("the proxy has not been started")?;
    for (name, address) in place.externals() {
        let address: SocketAddr = address;
        proxy.await_event("listening", &[("listener", name), ("address", &address.to_string())]).await?;
        account.good(format!("now open for partners: {address} (\"{name}\")"));
    }
    Ok(())
}

/// To connect on this machine.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
