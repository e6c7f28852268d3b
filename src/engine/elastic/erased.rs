//! Type-erased payloads, so that all channels share one compiled type.
//!
//! Timely compiles a channel, with its four transports and its encoding, for each type that it
//! carries. Records and state travel between workers by the batch and by the bin, where one more
//! pointer costs nothing, so they are erased and use a single channel type.

use std::any::Any;
use std::cell::OnceCell;
use std::fmt;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Encodes a value whose type has been erased.
type Encode = fn(&dyn Any) -> Vec<u8>;

/// A value, its encoding, or both.
#[derive(Default)]
pub(super) struct Erased {
    /// Inside a process: the value, and how to encode it if it leaves the process.
    value: Option<(Box<dyn Any + Send>, Encode)>,
    bytes: OnceCell<Vec<u8>>,
}

impl Erased {
    /// A value that is encoded only if it leaves the process.
    pub(super) fn value<T: Serialize + Send + 'static>(value: T) -> Erased {
        let encode = |value: &dyn Any| encoded(value.downcast_ref::<T>().expect("the value that was erased"));
        Erased { value: Some((Box::new(value), encode)), bytes: OnceCell::new() }
    }

    /// A value that leaves the process.
    pub(super) fn bytes<T: Serialize>(value: &T) -> Erased {
        Erased { value: None, bytes: encoded(value).into() }
    }

    /// Bytes of its encoding; 0 while it has none.
    pub(super) fn encoded_len(&self) -> usize {
        self.bytes.get().map_or(0, Vec::len)
    }

    /// The value.
    ///
    /// # Panics
    /// If it is of another type.
    pub(super) fn open<T: DeserializeOwned + 'static>(self) -> T {
        match self.value {
            Some((value, _)) => *value.downcast().expect("a value of the operator's type"),
            // The bytes come from the same program on another worker, not from outside.
            None => postcard::from_bytes(self.bytes.get().map_or(&[], Vec::as_slice)).expect("a value written by this program"),
        }
    }
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("what is sent can be encoded")
}

impl Serialize for Erased {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Asked for twice: for its length and for itself.
        let bytes = self.bytes.get_or_init(|| self.value.as_ref().map(|(value, encode)| encode(&**value)).unwrap_or_default());
        serializer.serialize_bytes(bytes)
    }
}

impl<'de> Deserialize<'de> for Erased {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Erased, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Erased;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a erased value")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Erased, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Erased, E> {
        Ok(Erased { value: None, bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_whether_it_was_encoded_or_not() {
        let value = || vec![(7u64, "tibur".to_owned())];
        let sent: Erased = postcard::from_bytes(&postcard::to_stdvec(&Erased::value(value())).unwrap()).unwrap();
        for erased in [Erased::value(value()), Erased::bytes(&value()), sent] {
            assert_eq!(erased.open::<Vec<(u64, String)>>(), value());
        }
    }
}
