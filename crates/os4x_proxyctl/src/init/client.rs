//! `init client`.

use std::process::ExitCode;

use daemon::failure::Failure;
use issuer::shell_word;
use seal::PublicKey;

use super::folder::Folder;
use super::{host_name, proxy};
use crate::cli::InitClientOptions;
use crate::print;

/// Makes the files of a client that trusts one proxy, and says what to run next.
///
/// # Errors
/// One of the files exists, or cannot be written.
pub fn run(options: &InitClientOptions) -> Result<ExitCode, Failure> {
    let mut folder = Folder::open(&options.directory, &[KEY, CONFIG, AUTHORIZED])?;
    let key = folder.put_key(KEY)?.public_key();
    let InitClientOptions { proxy, proxy_key, .. } = options;
    let host = &proxy.host;
    folder.put(
        AUTHORIZED,
        &format!(
            "# The public keys of the proxies to trust: one a line, behind the host for which it holds.\n\
             {host} {proxy_key}\n"
        ),
    )?;
    folder.put(CONFIG, &config(&folder, &proxy.to_string()))?;
    print::line(summary(options, &folder, key));
    folder.keep();
    Ok(ExitCode::SUCCESS)
}

fn config(folder: &Folder, proxy: &str) -> String {
    let [key, authorized] = [KEY, AUTHORIZED].map(|name| folder.toml(name));
    format!(
        "# os4x_proxyclient, the inner daemon. What is commented out is the default, or an example. SIGHUP reads this file again.\n\
         \n\
         # The proxies to attach to.\n\
         proxy = [{proxy:?}]\n\
         \n\
         # Own identity, proxies to trust.\n\
         key = {key}\n\
         authorized = {authorized}\n\
         \n\
         # Seconds: of any one step of TCP/IP; that a call may be silent (0: for ever); that calls may go on at the end.\n\
         #timeout = 180\n\
         #idle = 3600\n\
         #drain = 30\n\
         \n\
         # The station: where the calls of the proxy's listener of this name go.\n\
         [[target]]\n\
         name = \"default\"\n\
         connect = \"localhost:6619\"\n\
         \n\
         #[[target]]\n\
         #name = \"plain\"\n\
         #connect = \"localhost:3305\"\n\
         \n\
         # Where the station calls its partners: by SOCKS or HTTP CONNECT, or at a port that stands for one of them.\n\
         #[outgoing]\n\
         #listen = \"127.0.0.1:65433\"\n\
         #[[outgoing.forward]]\n\
         #listen = \"127.0.0.1:13305\"\n\
         #to = \"partner.example.com:3305\"\n"
    )
}

fn summary(options: &InitClientOptions, folder: &Folder, key: PublicKey) -> String {
    let [key_path, config_path, authorized_path] =
        [KEY, CONFIG, AUTHORIZED].map(|name| folder.path(name).display().to_string());
    let there = |name: &str| shell_word(&options.proxy_dir.join(name).display().to_string());
    let [there_config, there_authorized] = [proxy::CONFIG, proxy::AUTHORIZED].map(there);
    let (config_word, host) = (shell_word(&config_path), host_name());
    format!(
        "{key_path}\n    own identity; keep it secret\n{config_path}\n    configuration; the station is \
         localhost:6619 in it\n{authorized_path}\n    proxies to trust: {proxy}\n\n\
         Public key: {key}\n\n\
         Next, on the host of the proxy, to let this client in, and to start the proxy:\n\n  \
         echo '{key} {host}' >> {there_authorized}\n  os4x_proxy -c {there_config}\n\n\
         Then start the client, here:\n\n  os4x_proxyclient -c {config_word}",
        proxy = options.proxy
    )
}

const KEY: &str = "os4x_proxyclient.key";
const CONFIG: &str = "os4x_proxyclient.toml";
const AUTHORIZED: &str = "os4x_proxyclient.authorized";
