//! Why the gateway gave no answer, or why a transcript may not be the whole truth: codes of answers and events.

macro_rules! codes {
    ($(#[doc = $about:literal])+ $kind:ident $($(#[doc = $doc:literal])+ $name:ident $code:literal,)+) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $kind {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its stable code.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

codes! {
    /// Why a request of the build was refused, or failed.
    Reason
    /// Under no allowed repository.
    NotAllowed "not-allowed",
    /// An address that no repository has.
    IpLiteral "ip-literal",
    /// Not a URL that a repository can have.
    Url "url",
    /// Another method than GET, HEAD and POST.
    Method "method",
    /// A tunnel that leads nowhere.
    Connect "connect",
    /// Another protocol.
    Upgrade "upgrade",
    /// Not a whole request.
    Form "form",
    /// Larger than a bound.
    Size "size",
    /// A mirror list without an allowed mirror.
    Mirrors "mirrors",
    /// Other bytes than `ADD --checksum` names.
    Checksum "checksum",
    /// Not signed by the key that pins the repository.
    Signer "signer",
    /// Named by no index that the pinned key signed.
    Unlisted "unlisted",
    /// Other bytes than the signed index names.
    Changed "changed",
    /// The answer ended early.
    ShortBody "short-body",
    /// The answer is no HTTP.
    Malformed "malformed",
    /// The build has fetched more than it may.
    Inputs "inputs",
    /// The server's certificate.
    Certificate "certificate",
    /// No answer in time.
    Timeout "timeout",
    /// No connection.
    Unreachable "unreachable",
    /// This machine's disk.
    Store "store",
    /// The answer cannot be written down.
    Transcript "transcript",
}

codes! {
    /// Why a transcript may not be all that the build saw.
    Taint
    /// Everything was let through.
    Learn "learn",
    /// A request was refused, and the build went on.
    Refused "refused",
    /// The build saw a failure, and never a good answer.
    Failed "failed",
    /// There were more events than are kept.
    EventsFull "events-full",
}
