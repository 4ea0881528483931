//! Enumerations from their stored bytes. Storing is `as u8`.

use crate::model::{EdgeStrength, LabelKind, Tail, TypeKind};
use crate::recording::FrameKind;

macro_rules! from_byte {
    ($type:ident: $($variant:ident)*) => {
        impl $type {
            /// The variant that is stored as `byte`; `None` where this version knows none.
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $(b if b == $type::$variant as u8 => Some($type::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

from_byte!(TypeKind:
    Other Instance Module Type Dict List Tuple Set Str Bytes Int Float Function Method Cell Code Frame Generator
    Coroutine AsyncGenerator Traceback Exception WeakReference Deque Array LruCache ThreadLocal Task Capsule
    Interpreter Thread StackFrame NativeStatic NativeStack NativeBlock UnknownHolder);
from_byte!(EdgeStrength: Owned Borrowed Weak Inferred);
from_byte!(LabelKind: Field Attribute Local Closure Index Key Value Item Stack Offset Type);
from_byte!(Tail: None Index Pairs Items);
from_byte!(FrameKind: Python Native Thread Tag Cut Start);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_its_own_variant_or_none() {
        for byte in 0..=u8::MAX {
            assert!(TypeKind::from_byte(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(EdgeStrength::from_byte(byte).is_none_or(|strength| strength as u8 == byte));
            assert!(LabelKind::from_byte(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(FrameKind::from_byte(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(Tail::from_byte(byte).is_none_or(|tail| tail as u8 == byte));
        }
        assert_eq!(TypeKind::from_byte(28), Some(TypeKind::Capsule));
        assert_eq!(TypeKind::from_byte(70), Some(TypeKind::UnknownHolder));
    }
}
