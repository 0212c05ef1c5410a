//! SASL PLAIN (RFC 4616): the one message, `authzid NUL user NUL password`.
//!
//! The refusals' words are Kafka's: its clients show them.

/// Why the message is refused before the password is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlainRefusal {
    #[error("Invalid SASL/PLAIN response: expected 3 tokens, got {0}")]
    Tokens(usize),
    #[error("Authentication failed: username not specified")]
    NoUser,
    #[error("Authentication failed: password not specified")]
    NoPassword,
    #[error(
        "Authentication failed: Client requested an authorization id that is different from username"
    )]
    AuthorizationId,
}

/// The message, read. The password is borrowed: nobody keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PlainMessage<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
    pub(super) authorization_id: &'a [u8],
}

impl<'a> PlainMessage<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, PlainRefusal> {
        let tokens: Vec<&[u8]> = message.split(|byte| *byte == 0).take(4).collect();
        let [authorization_id, user, password] = tokens[..] else {
            return Err(PlainRefusal::Tokens(tokens.len()));
        };
        if user.is_empty() {
            return Err(PlainRefusal::NoUser);
        }
        if password.is_empty() {
            return Err(PlainRefusal::NoPassword);
        }
        Ok(Self {
            // A name that is no text is nobody's; U+FFFD cannot be a user's name either.
            user: std::str::from_utf8(user).unwrap_or("\u{fffd}"),
            password,
            authorization_id,
        })
    }

    /// Asked only once the password is right, as in Kafka.
    pub(super) fn check_authorization_id(&self) -> Result<(), PlainRefusal> {
        let fits =
            self.authorization_id.is_empty() || self.authorization_id == self.user.as_bytes();
        if fits {
            Ok(())
        } else {
            Err(PlainRefusal::AuthorizationId)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        for (message, expected) in [
            ("\0alice\0pw", Ok(("alice", "pw"))),
            ("alice\0alice\0pw", Ok(("alice", "pw"))),
            ("bob\0alice\0pw", Err(PlainRefusal::AuthorizationId)),
            ("\0\0pw", Err(PlainRefusal::NoUser)),
            ("\0alice\0", Err(PlainRefusal::NoPassword)),
            ("alice\0pw", Err(PlainRefusal::Tokens(2))),
            ("\0alice\0pw\0", Err(PlainRefusal::Tokens(4))),
            ("", Err(PlainRefusal::Tokens(1))),
        ] {
            let read = PlainMessage::read(message.as_bytes()).and_then(|read| {
                read.check_authorization_id()?;
                Ok((read.user, std::str::from_utf8(read.password).unwrap()))
            });
            assert_eq!(read, expected, "{message:?}");
        }
    }
}
