//! An inventory as it is written: tables and keys, nothing meant yet.

use serde::Deserialize;
use toml::Spanned;

/// A value, and where it stands.
pub(super) type Text = Spanned<String>;

/// One value or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    pub(super) fn all(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) group: Vec<Spanned<GroupTable>>,
    #[serde(default)]
    pub(super) notify: Vec<toml::Table>,
}

/// Whom `[[notify]]` tables name, and where.
#[derive(Deserialize)]
pub(super) struct Addressed {
    #[serde(default)]
    pub(super) notify: Vec<Names>,
}

/// Of one `[[notify]]`; its other keys are read by `notify`.
#[derive(Deserialize)]
pub(super) struct Names {
    #[serde(default)]
    pub(super) groups: Vec<Text>,
    #[serde(default)]
    pub(super) owners: Vec<Text>,
}

// serde cannot both flatten and refuse unknown keys, so what [defaults] and [[group]] have in common is written by a macro.
macro_rules! tables {
    ($($key:ident: $type:ty,)+) => {
        /// Keys that hold for every group which does not say otherwise.
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct Defaults {
            $(pub(super) $key: Option<$type>,)+
        }

        /// One group.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct GroupTable {
            pub(super) name: Text,
            #[serde(default)]
            pub(super) images: Vec<Text>,
            pub(super) repository: Option<Spanned<Texts>>,
            pub(super) tags: Option<Spanned<Texts>>,
            pub(super) file: Option<Texts>,
            pub(super) pods: Option<Texts>,
            $(pub(super) $key: Option<$type>,)+
        }

        impl GroupTable {
            /// Takes from `defaults` what it does not say itself.
            pub(super) fn over(mut self, defaults: &Defaults) -> Self {
                $(if self.$key.is_none() { self.$key.clone_from(&defaults.$key); })+
                self
            }
        }
    };
}

tables! {
    owner: String,
    trust: Vec<String>,
    policy: String,
    verify: bool,
    rebuild: Text,
    vary: Vec<Text>,
    buildroot: Text,
    platform: Text,
    every: Text,
    priority: Spanned<i64>,
    timeout: Text,
    accept: Vec<Text>,
}
