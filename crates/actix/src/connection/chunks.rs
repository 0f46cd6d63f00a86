//! Finds the end of a chunked body (RFC 9112, section 7.1). actix-http decodes the chunks; this parser follows in
//! parallel, by the same rules, to know where the next head starts.

/// State of the parser of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a chunk size; `digits` is true after the first one.
    Size { size: u64, digits: bool },
    /// After the digits, up to the end of the line.
    Rest { size: u64, cr: bool },
    /// In the data of a chunk.
    Data { left: u64 },
    /// In the line end after the data.
    DataEnd { cr: bool },
    /// At the start of a line after the last chunk.
    Trailer,
    /// Within such a line.
    TrailerLine,
    /// In the last line end.
    End,
}

/// Result of parsing a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of the piece belongs to the body, which continues.
    GoesOn,
    /// The body ended after this many bytes of the piece.
    Ended(usize),
    /// The body is not chunked correctly. actix-http detects this too, and stops reading.
    Broken,
}

impl Chunks {
    /// The state before the first byte.
    pub(super) const START: Self = Self::Size {
        size: 0,
        digits: false,
    };

    /// Parses the next bytes.
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

    /// Returns the state after this byte, outside of data.
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
