//! What every list of codes has: a name that stays, and a page that `explain` prints.

macro_rules! pages {
    ($type:ident: $($name:ident $code:literal $meaning:literal $remedy:literal $example:literal;)+) => {
        /// A finding's kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type {
            $(#[doc = $meaning] $name,)+
        }

        impl $type {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its stable name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What happened, two sentences or more.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }

            /// How it looks.
            #[must_use]
            pub fn example(self) -> &'static str {
                match self { $(Self::$name => $example,)+ }
            }
        }
    };
}
