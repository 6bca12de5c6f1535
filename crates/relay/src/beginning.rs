//! What a caller says first, and whether it is TLS.

use wire::limits::CLIENT_HELLO_BYTES;

/// The first bytes of a caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beginning {
    bytes: [u8; CLIENT_HELLO_BYTES],
    count: usize,
}

impl Beginning {
    /// The caller has said more.
    pub fn note(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(CLIENT_HELLO_BYTES - self.count);
        self.bytes[self.count..self.count + count].copy_from_slice(&bytes[..count]);
        self.count += count;
    }

    /// Whether more would say nothing more.
    pub fn is_complete(&self) -> bool {
        self.count == CLIENT_HELLO_BYTES
    }

    /// Whether it is a record of type handshake (22) and version 3.x (RFC 8446, section 5.1) whose message is a
    /// ClientHello (1; section 4).
    pub fn is_client_hello(&self) -> bool {
        self.is_complete() && matches!(self.bytes, [22, 3, _, _, _, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_client_hello(pieces: &[&[u8]]) -> bool {
        let mut beginning = Beginning::default();
        pieces.iter().for_each(|piece| beginning.note(piece));
        beginning.is_client_hello()
    }

    #[test]
    fn only_a_client_hello_is_one() {
        assert!(is_client_hello(&[&[22, 3, 1, 2, 0, 1, 0]]));
        assert!(is_client_hello(&[&[22], &[], &[3, 1, 2], &[0, 1], &[9; 100]]));
        assert!(!is_client_hello(&[&[22, 3, 1, 2, 0, 2, 0]]), "a ServerHello");
        assert!(!is_client_hello(&[b"SSH-2.0"]));
        assert!(!is_client_hello(&[&[22, 3, 1, 2, 0]]), "too short to tell");
        assert!(!is_client_hello(&[&[0x10, 0, 0, 0x17, b'I', b'O']]), "plain OFTP");
    }
}
