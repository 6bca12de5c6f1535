//! Reason codes with their texts. A code the RFC does not know is kept as it came, as it is worth showing.

use std::fmt;

macro_rules! reason {
    ($(#[$doc:meta])* $name:ident { $($(#[$const_doc:meta])* $constant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(u8);

        impl $name {
            $(
                #[doc = concat!("Code ", $code, ": ", $text, ".")]
                pub const $constant: Self = Self($code);
            )*

            /// A two-digit code, known or not.
            #[must_use]
            pub fn new(code: u8) -> Self {
                Self(code.min(99))
            }

            /// The two-digit code.
            #[must_use]
            pub fn code(self) -> u8 {
                self.0
            }

            /// What the RFC says about the code.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$constant => $text,)*
                    _ => "a reason RFC 5024 does not know",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:02} ({})", self.0, self.text())
            }
        }
    };
}

reason! {
    /// ESIDREAS: why a session ends (5.3.11).
    EndReason {
        NORMAL = 0, "normal session termination";
        COMMAND_NOT_RECOGNISED = 1, "command not recognised";
        PROTOCOL_VIOLATION = 2, "protocol violation";
        USER_CODE_NOT_KNOWN = 3, "user code not known";
        INVALID_PASSWORD = 4, "invalid password";
        EMERGENCY_CLOSE_DOWN = 5, "local site emergency close down";
        INVALID_DATA = 6, "command contained invalid data";
        BUFFER_SIZE_ERROR = 7, "exchange buffer size error";
        RESOURCES_NOT_AVAILABLE = 8, "resources not available";
        TIME_OUT = 9, "time out";
        INCOMPATIBLE = 10, "mode or capabilities incompatible";
        INVALID_CHALLENGE_RESPONSE = 11, "invalid challenge response";
        AUTHENTICATION_INCOMPATIBLE = 12, "secure authentication requirements incompatible";
        UNSPECIFIED = 99, "unspecified abort code";
    }
}

reason! {
    /// SFNAREAS and EFNAREAS: why a file is refused (5.3.5 and 5.3.10).
    FileReason {
        INVALID_FILENAME = 1, "invalid filename";
        INVALID_DESTINATION = 2, "invalid destination";
        INVALID_ORIGIN = 3, "invalid origin";
        FORMAT_NOT_SUPPORTED = 4, "storage record format not supported";
        RECORD_LENGTH_NOT_SUPPORTED = 5, "maximum record length not supported";
        TOO_BIG = 6, "file size is too big";
        INVALID_RECORD_COUNT = 10, "invalid record count";
        INVALID_BYTE_COUNT = 11, "invalid byte count";
        ACCESS_METHOD_FAILURE = 12, "access method failure";
        DUPLICATE_FILE = 13, "duplicate file";
        DIRECTION_REFUSED = 14, "file direction refused";
        CIPHER_NOT_SUPPORTED = 15, "cipher suite not supported";
        ENCRYPTED_NOT_ALLOWED = 16, "encrypted file not allowed";
        UNENCRYPTED_NOT_ALLOWED = 17, "unencrypted file not allowed";
        COMPRESSION_NOT_ALLOWED = 18, "compression not allowed";
        SIGNED_NOT_ALLOWED = 19, "signed file not allowed";
        UNSIGNED_NOT_ALLOWED = 20, "unsigned file not allowed";
        INVALID_SIGNATURE = 21, "invalid file signature";
        DECRYPTION_FAILURE = 22, "file decryption failure";
        DECOMPRESSION_FAILURE = 23, "file decompression failure";
        UNSPECIFIED = 99, "unspecified reason";
    }
}

reason! {
    /// NERPREAS: why a file did not arrive at its final recipient (5.3.14).
    ResponseReason {
        USER_CODE_NOT_KNOWN = 3, "user code not known";
        INVALID_PASSWORD = 4, "invalid password";
        SESSION_UNSPECIFIED = 9, "session ended for an unspecified reason";
        INVALID_FILENAME = 11, "invalid file name";
        INVALID_DESTINATION = 12, "invalid destination";
        INVALID_ORIGIN = 13, "invalid origin";
        FORMAT_NOT_SUPPORTED = 14, "invalid storage record format";
        RECORD_LENGTH_NOT_SUPPORTED = 15, "maximum record length not supported";
        TOO_BIG = 16, "file size too big";
        INVALID_RECORD_COUNT = 20, "invalid record count";
        INVALID_BYTE_COUNT = 21, "invalid byte count";
        ACCESS_METHOD_FAILURE = 22, "access method failure";
        DUPLICATE_FILE = 23, "duplicate file";
        DIRECTION_REFUSED = 24, "file direction refused";
        CIPHER_NOT_SUPPORTED = 25, "cipher suite not supported";
        ENCRYPTED_NOT_ALLOWED = 26, "encrypted file not allowed";
        UNENCRYPTED_NOT_ALLOWED = 27, "unencrypted file not allowed";
        COMPRESSION_NOT_ALLOWED = 28, "compression not allowed";
        SIGNED_NOT_ALLOWED = 29, "signed file not allowed";
        UNSIGNED_NOT_ALLOWED = 30, "unsigned file not allowed";
        INVALID_SIGNATURE = 31, "file signature not valid";
        DECOMPRESSION_FAILURE = 32, "file decompression failed";
        DECRYPTION_FAILURE = 33, "file decryption failed";
        PROCESSING_FAILED = 34, "file processing failed";
        NOT_DELIVERED = 35, "not delivered to recipient";
        NOT_ACKNOWLEDGED = 36, "not acknowledged by recipient";
        STOPPED_BY_OPERATOR = 50, "transmission stopped by the operator";
        SIZE_INCOMPATIBLE = 90, "file size incompatible with recipient's protocol version";
        UNSPECIFIED = 99, "unspecified reason";
    }
}
