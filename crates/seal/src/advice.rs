//! What to tell an operator when two daemons do not know each other yet.

use std::path::Path;

use crate::PublicKey;

/// For the log of the proxy: a client with an unknown key called. Names the line to add, and where.
pub fn unknown_client(key: &PublicKey, authorized: &Path) -> String {
    format!(
        "a client with the unknown key {key} was refused; to trust it, add the line \"{key}\" to {} and reload",
        authorized.display()
    )
}

/// For the log of the client: the proxy at `host` showed an unknown key. Names the line to add, and where.
pub fn unknown_proxy(key: &PublicKey, host: &str, authorized: &Path) -> String {
    format!(
        "the proxy {host} showed the unknown key {key} and was refused; if --public-key prints the same there, \
         add the line \"{host} {key}\" to {} and reload",
        authorized.display()
    )
}

/// For the log of the client: the proxy at `host` does not know our key `own`. Names the line to add there.
pub fn not_trusted_by_proxy(own: &PublicKey, host: &str) -> String {
    format!(
        "the proxy {host} does not know this client; add the line \"{own}\" to the --authorized file of the proxy \
         and reload it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_add_is_there_letter_by_letter() {
        let key = PublicKey::from_bytes([5; 32]).unwrap();
        let file = Path::new("/etc/os4x_proxy.authorized");
        assert!(unknown_client(&key, file).contains(&format!("\"{key}\" to /etc/os4x_proxy.authorized")));
        assert!(unknown_proxy(&key, "dmz1", file).contains(&format!("\"dmz1 {key}\" to /etc/")));
        assert!(not_trusted_by_proxy(&key, "dmz1").contains(&format!("\"{key}\" to the --authorized file")));
    }
}
