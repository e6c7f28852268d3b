//! Values of a type that only their sender and their receiver know, on a channel that is the same for all.
//!
//! A timely channel is compiled for each type that it carries, with three ways between workers and an encoding. State on its way is
//! rare, and a bin is one pointer: so it travels sealed, on one kind of channel.

use std::any::Any;
use std::fmt;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value as it is, inside a process, or its encoding.
pub(super) enum Sealed {
    Value(Box<dyn Any + Send>, fn(&dyn Any) -> Vec<u8>),
    Bytes(Vec<u8>),
}

impl Sealed {
    /// A value that is encoded only if it comes to that.
    pub(super) fn value<T: Serialize + Send + 'static>(value: T) -> Sealed {
        Sealed::Value(Box::new(value), |value| encoded(value.downcast_ref::<T>().expect("the value that was sealed")))
    }

    /// A value that is to be sent to another process.
    pub(super) fn bytes<T: Serialize>(value: &T) -> Sealed {
        Sealed::Bytes(encoded(value))
    }

    /// The value.
    ///
    /// # Panics
    /// If it is of another type.
    pub(super) fn open<T: DeserializeOwned + 'static>(self) -> T {
        match self {
            Sealed::Value(value, _) => *value.downcast().expect("a value of the operator's type"),
            // The bytes come from the same program on another worker, not from outside.
            Sealed::Bytes(bytes) => postcard::from_bytes(&bytes).expect("a value written by this program"),
        }
    }
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("state can be encoded")
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Sealed::Value(value, encode) => serializer.serialize_bytes(&encode(&**value)),
            Sealed::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Sealed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sealed value")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Sealed, E> {
        Ok(Sealed::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Sealed, E> {
        Ok(Sealed::Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_whether_it_was_encoded_or_not() {
        let value = || vec![(7u64, "tibur".to_owned())];
        let sent: Sealed = postcard::from_bytes(&postcard::to_stdvec(&Sealed::value(value())).unwrap()).unwrap();
        for sealed in [Sealed::value(value()), Sealed::bytes(&value()), sent] {
            assert_eq!(sealed.open::<Vec<(u64, String)>>(), value());
        }
    }
}
