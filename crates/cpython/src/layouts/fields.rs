//! How a part of a row is declared, so that `cargo xtask layouts` can check every number of it by name.

/// A number of a row: always there, or absent in some versions.
pub trait Offset: Copy {
    /// The number, where this version has it.
    fn get(self) -> Option<u32>;
}

impl Offset for u32 {
    fn get(self) -> Option<u32> {
        Some(self)
    }
}

impl Offset for Option<u32> {
    fn get(self) -> Option<u32> {
        self
    }
}

/// Declares a struct of offsets (`u32`, or `Option<u32>` where a version may lack the field), then behaviours
/// after `=>`, and its method `offsets()`: each offset with its name, in order. The probe prints the same names.
macro_rules! layout {
    (
        $(#[$head:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* pub $field:ident: $kind:ty,)*
            =>
            $($(#[$other_doc:meta])* pub $other:ident: $other_kind:ty,)*
        }
    ) => {
        $(#[$head])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
            $($(#[$other_doc])* pub $other: $other_kind,)*
        }

        impl $name {
            /// Every offset by name, in order of declaration; `None` where this version lacks the field.
            pub fn offsets(&self) -> alloc::vec::Vec<(&'static str, Option<u32>)> {
                alloc::vec![$((stringify!($field), $crate::layouts::Offset::get(self.$field)),)*]
            }
        }
    };
}

pub(crate) use layout;
