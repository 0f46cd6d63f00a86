//! Where a body in chunks ends (RFC 9112, section 7.1). The chunks themselves are read by actix-http; this follows them from
//! beside, by the same rules, to know when the next head begins.

/// How far a body in chunks has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a size, of which there are some or none yet.
    Size { size: u64, digits: bool },
    /// Behind them, up to the end of the line.
    Rest { size: u64, cr: bool },
    /// In the data of a chunk.
    Data { left: u64 },
    /// In the line end after it.
    DataEnd { cr: bool },
    /// At the beginning of a line after the last chunk.
    Trailer,
    /// Within such a line.
    TrailerLine,
    /// In the last line end.
    End,
}

/// How a piece of a body went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it belongs to the body, which goes on.
    GoesOn,
    /// The body ended with this many bytes of it.
    Ended(usize),
    /// It is no body in chunks. actix-http finds that too, and reads nothing more.
    Broken,
}

impl Chunks {
    /// Before the first byte.
    pub(super) const START: Self = Self::Size {
        size: 0,
        digits: false,
    };

    /// Follows the next bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Self::Data { left } = self {
                let there = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                let taken = there.min(*left);
                *left -= taken;
                at += usize::try_from(taken).unwrap_or(usize::MAX);
                if *left == 0 {
                    *self = Self::DataEnd { cr: false };
                }
                continue;
            }
            at += 1;
            let ended = *self == Self::End && *byte == b'\n';
            match self.after(*byte) {
                Some(_) if ended => return Progress::Ended(at),
                Some(next) => *self = next,
                None => return Progress::Broken,
            }
        }
        Progress::GoesOn
    }

    /// Where this byte leads, outside of data.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { size, digits }, _) => {
                if let Some(digit) = char::from(byte).to_digit(16) {
                    let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
                    return Some(Self::Size { size, digits: true });
                }
                let cr = byte == b'\r';
                (digits && (cr || b"\t ;".contains(&byte))).then_some(Self::Rest { size, cr })
            }
            (Self::Rest { size: 0, cr: true } | Self::TrailerLine, b'\n') => Some(Self::Trailer),
            (Self::Rest { size, cr: true }, b'\n') => Some(Self::Data { left: size }),
            (Self::Rest { size, cr: false }, _) => Some(Self::Rest {
                size,
                cr: byte == b'\r',
            }),
            (Self::DataEnd { cr: false }, b'\r') => Some(Self::DataEnd { cr: true }),
            (Self::DataEnd { cr: true }, b'\n') => Some(Self::START),
            (Self::Trailer, b'\r') | (Self::End, b'\n') => Some(Self::End),
            (Self::Trailer | Self::TrailerLine, _) => Some(Self::TrailerLine),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn follow(bytes: &[u8]) -> Progress {
        let mut chunks = Chunks::START;
        chunks.follow(bytes)
    }

    #[test]
    fn a_body_ends_with_the_line_after_its_last_chunk() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n00 \r\n\r\n",
            "A\r\n0123456789\r\n1\r\n\n\r\n0\r\nTrailer: a\r\nb: c\r\n\r\n",
        ] {
            let more = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(
                follow(more.as_bytes()),
                Progress::Ended(body.len()),
                "{body:?}"
            );
            assert_eq!(follow(&body.as_bytes()[..body.len() - 1]), Progress::GoesOn);
        }
    }

    #[test]
    fn what_is_no_chunk_breaks_it() {
        for bad in [
            "x",
            "\r\n",
            "-1\r\n",
            "5\nhello",
            "5\r\nhello0",
            "5\r\nhello\r0",
            "fffffffffffffffff\r\n",
            "0\r\n\rx",
            " 5\r\n",
        ] {
            assert_eq!(follow(bad.as_bytes()), Progress::Broken, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(sizes in prop::collection::vec(1_usize..40, 0..6), cut in 1_usize..9) {
            let mut body = Vec::new();
            for size in sizes {
                body.extend(format!("{size:x}\r\n").bytes());
                body.extend(vec![b'\r'; size]);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut chunks = Chunks::START;
            let mut progress = Progress::GoesOn;
            for piece in body.chunks(cut) {
                prop_assert_eq!(progress, Progress::GoesOn);
                progress = chunks.follow(piece);
            }
            let last = (body.len() - 1) % cut + 1;
            prop_assert_eq!(progress, Progress::Ended(last));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            follow(&bytes);
        }
    }
}
