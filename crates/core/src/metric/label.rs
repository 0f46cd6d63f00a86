//! Labels with a closed set of values, and counters with one label.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{Attribute, Metric};

/// A label with a closed set of values. [`label!`](crate::label) implements it for an enum.
pub trait Label: Copy + Eq + 'static {
    /// The OpenTelemetry name of the attribute.
    const KEY: &'static str;
    /// All values, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The names of the values, in the same order.
    const VALUES: &'static [&'static str];
    /// The attribute, for the declaration of a metric.
    const ATTRIBUTE: Attribute = Attribute::closed(Self::KEY, Self::VALUES);

    /// Returns the position of this value in [`Label::ALL`].
    fn index(self) -> usize;

    /// Returns the text of this value.
    fn as_str(self) -> &'static str {
        Self::VALUES[self.index()]
    }

    /// Returns the attribute with this value.
    fn key_value(self) -> KeyValue {
        KeyValue::new(Self::KEY, self.as_str())
    }
}

/// Declares an enum whose variants are the values of a label: `enum Name: "key" { Variant = "value", … }`.
#[macro_export]
macro_rules! label {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident: $key:literal {
            $($(#[$variant_meta:meta])* $variant:ident = $value:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        #[allow(unreachable_pub, reason = "the enum may be private")]
        impl $name {
            /// All values, in the order of their positions.
            pub const ALL: [Self; [$($value),+].len()] = [$(Self::$variant),+];
            /// The values of the label, in the same order.
            pub const NAMES: [&'static str; [$($value),+].len()] = [$($value),+];

            /// Returns the position of this value in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// Returns the text of the value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }

        impl $crate::metric::Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const VALUES: &'static [&'static str] = &Self::NAMES;

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// A counter with one label. Every series exists from the start, at 0, and counting does not build a label set.
#[derive(Clone, Debug)]
pub struct LabelledCounter<L> {
    counter: Counter<u64>,
    attributes: Vec<[KeyValue; 1]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> LabelledCounter<L> {
    /// Builds the counter of `metric`, whose only attribute is this label.
    #[must_use]
    pub fn new(metric: &Metric, meter: &Meter) -> Self {
        debug_assert_eq!(metric.attributes, [L::ATTRIBUTE], "{}", metric.name);
        let counter = metric.counter(meter);
        let attributes: Vec<_> = L::ALL.iter().map(|value| [value.key_value()]).collect();
        for attributes in &attributes {
            counter.add(0, attributes);
        }
        Self {
            counter,
            attributes,
            label: std::marker::PhantomData,
        }
    }

    /// Adds `n` to the series of `value`.
    pub fn add(&self, value: L, n: u64) {
        self.counter.add(n, &self.attributes[value.index()]);
    }
}
