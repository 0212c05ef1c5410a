//! The head of a request, as far as it must be known: kind, version, correlation id, and of Produce
//! whether an answer comes at all. The body is not looked at.

use super::keys::{Rewriting, carried, rewriting};
use super::refused::Refused;
use isthmus_wire::ApiKey;

/// Most bytes of a frame that are looked at: a client id and a transactional id of the greatest length,
/// and the fields around them.
pub(super) const HEAD_MAX: usize = 72 << 10;

/// The first version of Produce with a transactional id.
const TRANSACTIONAL_ID_FROM: i16 = 3;

/// A request that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    /// A Produce request with acks=0 is not.
    pub(super) is_answered: bool,
}

impl Asked {
    pub(super) fn rewriting(&self) -> Option<Rewriting> {
        rewriting(self.key, self.version)
    }
}

/// Reads the head of a frame of `size` bytes of which the first have come; `None`: more of it is needed.
pub(super) fn read_head(size: usize, begun: &[u8]) -> Result<Option<Asked>, Refused> {
    let begun = &begun[..begun.len().min(size)];
    let mut reader = Reader {
        rest: begun,
        missing: size - begun.len(),
    };
    match reader.asked() {
        Ok(asked) => Ok(Some(asked)),
        Err(Stop::More) if begun.len() < HEAD_MAX => Ok(None),
        Err(Stop::More) => Err(Refused::Head),
        Err(Stop::Refused(refused)) => Err(refused),
    }
}

enum Stop {
    More,
    Refused(Refused),
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of the frame that have not come.
    missing: usize,
}

impl Reader<'_> {
    fn asked(&mut self) -> Result<Asked, Stop> {
        let (number, version) = (self.i16()?, self.i16()?);
        let correlation_id = self.i32()?;
        let key = ApiKey::try_from(number).ok();
        let Some((key, range)) = key.and_then(|key| Some((key, carried(key)?))) else {
            return Err(Stop::Refused(Refused::Kind { key: number }));
        };
        // Whoever asks which versions there are does not know them yet; brokers answer in version 0.
        if !range.contains(version) && key != ApiKey::ApiVersions {
            return Err(Stop::Refused(Refused::Version {
                name: key.name(),
                version,
                offered: range,
            }));
        }
        let is_answered = key != ApiKey::Produce || self.acks(key, version)? != 0;
        Ok(Asked {
            key,
            version,
            correlation_id,
            is_answered,
        })
    }

    fn acks(&mut self, key: ApiKey, version: i16) -> Result<i16, Stop> {
        let is_flexible = key.request_header_version(version) >= 2;
        self.skip_string(false)?;
        if is_flexible {
            self.skip_tags()?;
        }
        if version >= TRANSACTIONAL_ID_FROM {
            self.skip_string(is_flexible)?;
        }
        self.i16()
    }

    fn skip_string(&mut self, is_compact: bool) -> Result<(), Stop> {
        let length = match is_compact {
            true => i64::from(self.uvarint()?) - 1,
            false => i64::from(self.i16()?),
        };
        match length {
            -1 => Ok(()),
            0..=0x7fff => self.take(length.unsigned_abs()).map(drop),
            _ => Err(Stop::Refused(Refused::Head)),
        }
    }

    fn skip_tags(&mut self) -> Result<(), Stop> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.take(size.into())?;
        }
        Ok(())
    }

    fn uvarint(&mut self) -> Result<u32, Stop> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.array::<1>()?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Stop::Refused(Refused::Head));
            }
        }
        Err(Stop::Refused(Refused::Head))
    }

    fn i16(&mut self) -> Result<i16, Stop> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Stop> {
        self.array().map(i32::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.take(N as u64)?);
        Ok(taken)
    }

    /// What lies beyond the frame's end never comes.
    fn take(&mut self, count: u64) -> Result<&[u8], Stop> {
        let here = usize::try_from(count).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(here) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None if here - self.rest.len() <= self.missing => Err(Stop::More),
            None => Err(Stop::Refused(Refused::Head)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::codec::{Encoder, Message};
    use isthmus_wire::messages::{FetchRequest, ProduceRequest, RequestHeader};

    fn frame<M: Message>(
        key: ApiKey,
        version: i16,
        client_id: Option<&str>,
        message: &M,
    ) -> Vec<u8> {
        let mut e = Encoder::new();
        let header = RequestHeader {
            request_api_key: key.into(),
            request_api_version: version,
            correlation_id: 77,
            client_id: client_id.map(str::to_owned),
        };
        header
            .encode(&mut e, key.request_header_version(version))
            .unwrap();
        message.encode(&mut e, version).unwrap();
        e.into_bytes().to_vec()
    }

    fn produce(version: i16, acks: i16, transactional_id: Option<&str>) -> Vec<u8> {
        let request = ProduceRequest {
            acks,
            transactional_id: transactional_id.map(str::to_owned),
            ..ProduceRequest::default()
        };
        let client_id = "a client with a name, ".repeat(20);
        frame(ApiKey::Produce, version, Some(&client_id), &request)
    }

    #[test]
    fn whether_a_produce_request_is_answered_is_read_in_every_version() {
        for version in ApiKey::Produce.versions().iter() {
            for (acks, id) in [(0, None), (1, None), (-1, Some("t-1")), (0, Some(""))] {
                let frame = produce(version, acks, id);
                let asked = read_head(frame.len(), &frame).unwrap().unwrap();
                assert_eq!(asked.is_answered, acks != 0, "{version} {acks} {id:?}");
                assert_eq!((asked.correlation_id, asked.version), (77, version));
            }
        }
        // Below what Isthmus serves there is no transactional id.
        let old = [&[0, 0, 0, 2, 0, 0, 0, 9, 0xff, 0xff][..], &[0, 0]].concat();
        assert!(!read_head(old.len(), &old).unwrap().unwrap().is_answered);
    }

    #[test]
    fn a_head_may_come_byte_by_byte() {
        let frame = produce(9, -1, Some("t-1"));
        let body = frame.len() + 1_000;
        let found = (0..=frame.len()).find(|&come| {
            let head = read_head(body, &frame[..come]);
            head.unwrap().is_some()
        });
        let come = found.unwrap();
        assert!(come > 400 && come < frame.len(), "{come}");
        // Of others only the first eight bytes count.
        let fetch = frame_of_fetch(12);
        assert_eq!(read_head(fetch.len(), &fetch[..7]), Ok(None));
        assert!(read_head(fetch.len(), &fetch[..8]).unwrap().is_some());
    }

    fn frame_of_fetch(version: i16) -> Vec<u8> {
        frame(ApiKey::Fetch, version, None, &FetchRequest::default())
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let refused = |frame: &[u8]| read_head(frame.len(), frame).unwrap_err();
        let fetch = frame_of_fetch(16);
        assert!(matches!(
            refused(&fetch),
            Refused::Version { version: 16, .. }
        ));
        for key in [1_000i16, 78, 10_020, -1] {
            let frame = [&key.to_be_bytes()[..], &[0; 8]].concat();
            assert_eq!(refused(&frame), Refused::Kind { key });
        }
        // A version that nobody knows of is for the broker to answer.
        let versions = [&18i16.to_be_bytes()[..], &99i16.to_be_bytes(), &[0; 8]].concat();
        assert!(read_head(versions.len(), &versions).unwrap().is_some());
    }

    #[test]
    fn heads_that_contradict_their_frame_are_refused() {
        let good = produce(9, -1, Some("t-1"));
        let acks_end = (0..=good.len())
            .find(|&come| read_head(good.len(), &good[..come]).unwrap().is_some())
            .unwrap();
        for size in 8..acks_end {
            assert_eq!(read_head(size, &good[..size]), Err(Refused::Head), "{size}");
        }
        let long = [&[0, 0, 0, 9, 0, 0, 0, 1, 0x80, 0][..], &[0; 40]].concat();
        assert_eq!(read_head(long.len(), &long), Err(Refused::Head));
        // Tags without end: it is given up, not gathered.
        let mut tags = vec![0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        tags.resize(HEAD_MAX, 0);
        assert_eq!(read_head(100 << 20, &tags), Err(Refused::Head));
    }
}
