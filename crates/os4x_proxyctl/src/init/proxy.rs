//! `init proxy`.

use std::process::ExitCode;

use daemon::failure::Failure;
use issuer::{SigningKey, TEST_DAYS, grant, shell_word};
use license::{Day, ProxyId, TrustedKey};
use seal::PublicKey;

use super::folder::Folder;
use super::host_name;
use crate::cli::{InitProxyOptions, TEST_LICENSEE};
use crate::print;

/// Makes the files of a proxy, and says what to run next.
///
/// # Errors
/// One of the files exists, or cannot be written.
pub fn run(options: &InitProxyOptions) -> Result<ExitCode, Failure> {
    let mut folder = Folder::open(&options.directory, &[KEY, LICENSE, CONFIG, AUTHORIZED])?;
    let key = folder.put_key(KEY)?.public_key();
    let proxy_id = ProxyId::of_installation(|| Some(*key.as_bytes())).map_err(Failure::operator)?;
    let license = put_license(&mut folder, proxy_id)?;
    folder.put(AUTHORIZED, &authorized(&options.client_keys))?;
    folder.put(CONFIG, &config(&folder))?;
    print::line(summary(options, &folder, key, proxy_id, &license));
    folder.keep();
    Ok(ExitCode::SUCCESS)
}

/// Puts a test license there, where this build trusts the key with which anybody can sign. What the summary says of it.
fn put_license(folder: &mut Folder, proxy_id: ProxyId) -> Result<String, Failure> {
    let trusted = TrustedKey::built_in().map_err(Failure::operator)?;
    if !trusted.is_development() {
        return Ok(String::from("not made: obtain one for the Proxy ID below, and put it there"));
    }
    let key = SigningKey::development().map_err(Failure::operator)?;
    let licensee = TEST_LICENSEE.parse().map_err(Failure::Operator)?;
    let license = grant(proxy_id, licensee, Day::today(), TEST_DAYS);
    folder.put(LICENSE, &key.sign(&license).map_err(Failure::operator)?)?;
    Ok(format!(
        "test license for this Proxy ID alone, until {} ({TEST_DAYS} days), signed with the development key",
        license.expires
    ))
}

fn authorized(keys: &[PublicKey]) -> String {
    let mut text = String::from(
        "# The public keys of the clients that may attach: one a line, and behind it a name for the log.\n",
    );
    for key in keys {
        text.push_str(&format!("{key}\n"));
    }
    text
}

fn config(folder: &Folder) -> String {
    let [key, authorized, license] = [KEY, AUTHORIZED, LICENSE].map(|name| folder.toml(name));
    format!(
        "# os4x_proxy, the DMZ daemon. What is commented out is the default, or an example. SIGHUP reads this file again.\n\
         \n\
         # Own identity, clients that may attach, license.\n\
         key = {key}\n\
         authorized = {authorized}\n\
         license = {license}\n\
         \n\
         # Where the inside connects to; better only on the device that faces it, as \"10.1.2.3:65432\".\n\
         #internal = \"0.0.0.0:65432\"\n\
         \n\
         # Seconds: of any one step of TCP/IP; that a call may be silent (0: for ever); that calls may go on at the end.\n\
         #timeout = 180\n\
         #idle = 3600\n\
         #drain = 30\n\
         \n\
         # Where partners call. Each name wants a target of that name in the client's file.\n\
         [[external]]\n\
         name = \"default\"\n\
         listen = \":6619\"\n\
         # Turns away who does not begin with a TLS ClientHello; \"any\" takes all.\n\
         #payload = \"tls\"\n\
         \n\
         # Plain OFTP, if partners need it.\n\
         #[[external]]\n\
         #name = \"plain\"\n\
         #listen = \":3305\"\n\
         \n\
         # Whom the inside may call through this host: HOST:PORT, *.DOMAIN:PORT, NETWORK/BITS:PORT, *:PORT. Empty: nobody.\n\
         #[outgoing]\n\
         #allow = [\"*:3305\", \"*:6619\"]\n"
    )
}

fn summary(
    options: &InitProxyOptions,
    folder: &Folder,
    key: PublicKey,
    proxy_id: ProxyId,
    license: &str,
) -> String {
    let [key_path, license_path, config_path, authorized_path] =
        [KEY, LICENSE, CONFIG, AUTHORIZED].map(|name| folder.path(name).display().to_string());
    let host = shell_word(&options.host.clone().unwrap_or_else(host_name));
    let directory = shell_word(&folder.path("").display().to_string());
    let clients = match options.client_keys.len() {
        0 => String::from("clients that may attach; none yet"),
        count => format!("clients that may attach: {count}"),
    };
    let config_word = shell_word(&config_path);
    format!(
        "{key_path}\n    own identity; keep it secret\n{license_path}\n    {license}\n{config_path}\n    \
         configuration\n{authorized_path}\n    {clients}\n\n\
         Public key:    {key}\nOS4X Proxy ID: {proxy_id}\n\n\
         Next, inside, if {host} is how this host is seen from there:\n\n  \
         os4x_proxyctl init client /etc/os4x_proxyclient --proxy {host} --proxy-key {key} --proxy-dir {}\n\n\
         It says how to let that client in here. Then start the proxy:\n\n  os4x_proxy -c {config_word}",
        directory.trim_end_matches('/')
    )
}

const KEY: &str = "os4x_proxy.key";
const LICENSE: &str = "os4x_proxy.lic";
pub(super) const CONFIG: &str = "os4x_proxy.toml";
pub(super) const AUTHORIZED: &str = "os4x_proxy.authorized";
