//! How a key of the configuration file is declared, once: what it is for, how its value is written and checked,
//! and its default. Parsing, defaults, `check-config`, the documentation and the Nix options follow from it.

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::place::Place;

/// A kind of value.
pub trait Kind {
    /// As TOML has it.
    type Written: for<'a> Deserialize<'a>;
    /// As the program has it.
    type Value;

    /// What may be written, in words.
    fn says() -> String;
    /// Checks what is written.
    fn read(place: &Place<'_>, given: &Spanned<Self::Written>) -> Result<Self::Value, ConfigError>;
    /// As it may be written.
    fn shown(value: &Self::Value) -> String;
    /// A default from a declaration; kinds without one need none.
    fn default(_text: &str) -> Option<Self::Value> {
        None
    }
}

/// How a kind stands in a table. A kind as such has a default, and is shown.
pub trait Field {
    /// As serde reads it.
    type Written: for<'a> Deserialize<'a>;
    /// As the table has it.
    type Value;

    /// What may be written, in words.
    fn says() -> String;
    /// Checks what is written, or takes the default.
    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        default: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError>;
    /// What `check-config` shows.
    fn shown(value: &Self::Value) -> Option<String>;
}

/// A key that must be there.
pub struct Must<K>(K);
/// A key without a default.
pub struct Opt<K>(K);
/// A key whose effect other keys decide: whoever knows them shows it. Its default is for readers.
pub struct Own<K>(K);
/// The same, with a default that counts.
pub struct If<K>(K);

impl<K: Kind> Field for K {
    type Written = Option<Spanned<K::Written>>;
    type Value = K::Value;

    fn says() -> String {
        K::says()
    }

    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        default: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError> {
        match given {
            Some(given) => K::read(place, given),
            None => default.and_then(K::default).ok_or_else(|| {
                place.wrong(0, format!("{default:?} is not a default: a fault of Nixus"))
            }),
        }
    }

    fn shown(value: &Self::Value) -> Option<String> {
        Some(K::shown(value))
    }
}

impl<K: Kind> Field for Must<K> {
    type Written = Spanned<K::Written>;
    type Value = K::Value;

    fn says() -> String {
        K::says()
    }

    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        _: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError> {
        K::read(place, given)
    }

    fn shown(value: &Self::Value) -> Option<String> {
        Some(K::shown(value))
    }
}

impl<K: Kind> Field for Opt<K> {
    type Written = Option<Spanned<K::Written>>;
    type Value = Option<K::Value>;

    fn says() -> String {
        K::says()
    }

    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        _: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError> {
        let given = given.as_ref();
        given.map(|given| K::read(place, given)).transpose()
    }

    fn shown(value: &Self::Value) -> Option<String> {
        value.as_ref().map(K::shown)
    }
}

impl<K: Kind> Field for Own<K> {
    type Written = Option<Spanned<K::Written>>;
    type Value = Option<K::Value>;

    fn says() -> String {
        K::says()
    }

    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        default: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError> {
        Opt::<K>::read(place, given, default)
    }

    fn shown(_: &Self::Value) -> Option<String> {
        None
    }
}

impl<K: Kind> Field for If<K> {
    type Written = Option<Spanned<K::Written>>;
    type Value = K::Value;

    fn says() -> String {
        K::says()
    }

    fn read(
        place: &Place<'_>,
        given: &Self::Written,
        default: Option<&'static str>,
    ) -> Result<Self::Value, ConfigError> {
        <K as Field>::read(place, given, default)
    }

    fn shown(_: &Self::Value) -> Option<String> {
        None
    }
}

/// One key, for those who read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// With its table; `*` stands for each entry of a list.
    pub path: String,
    /// What it is for.
    pub description: String,
    /// What may be written, in words.
    pub values: String,
    /// What counts where it is not written, where that is the same everywhere.
    pub default: Option<&'static str>,
}

/// The keys of one table that are shown, with their values.
pub type Shown = Vec<(&'static str, String)>;

/// Declares a table: the struct as it is written, the one with the checked values, and its keys. After a `+` there
/// are tables in it.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $name:ident, $written:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $field:ty $(= $default:literal)? ),* $(,)?
        }
        $(+ { $( $(#[$attribute:meta])* $table:ident: $type:ty ),* $(,)? })?
    ) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "each is documented in the struct of checked values")]
        pub struct $written {
            $( pub $key: <$field as $crate::config::declare::Field>::Written, )*
            $($( $(#[$attribute])* pub $table: $type, )*)?
        }

        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: <$field as $crate::config::declare::Field>::Value, )*
        }

        impl $written {
            /// Checks each value by itself; also gives what is shown of them.
            ///
            /// # Errors
            /// A value is not one of its kind.
            pub fn read(
                &self,
                place: &$crate::config::place::Place<'_>,
            ) -> Result<($name, $crate::config::declare::Shown), $crate::config::ConfigError> {
                use $crate::config::declare::Field;
                let read = $name {
                    $( $key: <$field as Field>::read(
                        place,
                        &self.$key,
                        [$($default)?].first().copied(),
                    )?, )*
                };
                let shown = [
                    $( (stringify!($key), <$field as Field>::shown(&read.$key)), )*
                ];
                let shown = shown.into_iter().filter_map(|(key, value)| Some((key, value?)));
                let shown = shown.collect();
                Ok((read, shown))
            }

            /// The keys of this table.
            pub fn keys(table: &str) -> Vec<$crate::config::declare::Key> {
                vec![
                    $( $crate::config::declare::Key {
                        path: format!("{table}{}", stringify!($key)),
                        description: [$($doc),+].map(str::trim).join(" "),
                        values: <$field as $crate::config::declare::Field>::says(),
                        default: [$($default)?].first().copied(),
                    }, )*
                ]
            }
        }
    };
}

pub(crate) use table;
