//! The protobuf codec of the service: prost's, with a bound on nesting in place of prost's own.
//!
//! prost refuses messages nested deeper than 100, which a program reaches with fifty chained `withColumn` calls. Its
//! limit is off here (feature `no-recursion-limit`), and each message is measured before it is decoded: deeper than
//! [`NESTING_MAX`] and it is refused, so that no message can exhaust the stack of a decoding thread
//! ([`crate::STACK_BYTES`] leaves it 64 KiB a level).

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Messages inside messages, counted in the bytes; the JVM server's default is 1024.
pub const NESTING_MAX: usize = 4096;

/// See the module.
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> Codec for BoundedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// The reading half of [`BoundedCodec`].
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        decode(bytes).map(Some)
    }
}

/// Decodes a message after measuring it.
///
/// # Errors
/// `InvalidArgument` if the bytes are no such message or nest too deep.
pub fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    if nesting(&bytes) > NESTING_MAX {
        return Err(Status::invalid_argument(format!("the message is nested deeper than {NESTING_MAX} levels")));
    }
    M::decode(bytes).map_err(|error| Status::invalid_argument(format!("not a valid message: {error}")))
}

/// An upper bound of how deep messages lie in messages, without their definitions: every length-delimited field whose
/// bytes look like a message counts as one. Visits each byte once.
fn nesting(bytes: &[u8]) -> usize {
    let mut ends = vec![bytes.len()];
    let mut at = 0;
    let mut deepest = 0;
    while let Some(&end) = ends.last() {
        if at >= end {
            ends.pop();
            continue;
        }
        deepest = deepest.max(ends.len());
        if deepest > NESTING_MAX {
            break;
        }
        match field(bytes, at, end) {
            Some(Field::Plain { next }) => at = next,
            Some(Field::Delimited { start, end }) => {
                at = start;
                ends.push(end);
            }
            // No message: text or data. What follows it is read on as part of the enclosing one.
            None => {
                at = end;
                ends.pop();
            }
        }
    }
    deepest
}

enum Field {
    Plain { next: usize },
    Delimited { start: usize, end: usize },
}

fn field(bytes: &[u8], at: usize, end: usize) -> Option<Field> {
    let (tag, at) = varint(bytes, at, end)?;
    if tag >> 3 == 0 {
        return None;
    }
    let next = match tag & 7 {
        0 => varint(bytes, at, end)?.1,
        1 => at.checked_add(8)?,
        5 => at.checked_add(4)?,
        2 => {
            let (length, start) = varint(bytes, at, end)?;
            let stop = start.checked_add(usize::try_from(length).ok()?)?;
            return (stop <= end).then_some(Field::Delimited { start, end: stop });
        }
        _ => return None,
    };
    (next <= end).then_some(Field::Plain { next })
}

fn varint(bytes: &[u8], mut at: usize, end: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(at).filter(|_| at < end)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use spark_connect_proto as pb;

    use super::*;

    fn nested(levels: usize) -> pb::Relation {
        let mut relation = pb::Relation::default();
        for _ in 0..levels {
            let limit = pb::Limit { input: Some(Box::new(relation)), limit: 1 };
            relation = pb::Relation { common: None, rel_type: Some(pb::relation::RelType::Limit(Box::new(limit))) };
        }
        relation
    }

    #[test]
    fn the_deepest_plan_that_is_let_through_is_read() {
        let read = || {
            let bytes = Bytes::from(nested(NESTING_MAX / 2).encode_to_vec());
            assert_eq!(nesting(&bytes), NESTING_MAX);
            let relation = decode::<pb::Relation>(bytes.clone()).expect("decodes");
            assert_eq!(Bytes::from(relation.encode_to_vec()), bytes);
        };
        // On a stack as the server's threads have it.
        let thread = std::thread::Builder::new().stack_size(crate::STACK_BYTES).spawn(read).expect("a thread");
        thread.join().expect("no overflow");
    }

    #[test]
    fn a_message_without_end_is_refused_before_it_is_decoded() {
        // Dropping or encoding such a relation would itself recurse: the bytes are built inside out.
        let mut bytes = Vec::new();
        for _ in 0..20_000 {
            let mut outer = vec![0x42];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend_from_slice(&bytes);
            bytes = outer;
            if bytes.len() > 60_000 {
                break;
            }
        }
        let error = decode::<pb::Relation>(Bytes::from(bytes)).expect_err("refused");
        assert!(error.message().contains("nested deeper"), "{error}");
    }

    #[test]
    fn text_does_not_count_as_nesting() {
        let sql = pb::Sql { query: "\n\u{7f}".repeat(5000), ..Default::default() };
        assert!(nesting(&sql.encode_to_vec()) < NESTING_MAX);
    }
}
