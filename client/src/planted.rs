//! What [`Fault::LostMutationAskedAgain`] needs of a call: nothing, without the feature
//! `planted-faults`.
//!
//! [`Fault::LostMutationAskedAgain`]: proto::planted::Fault::LostMutationAskedAgain

#[cfg(not(feature = "planted-faults"))]
mod kept {
    /// Nothing.
    #[derive(Debug)]
    pub(crate) struct Kept;

    impl Kept {
        /// Keeps nothing of a call's value.
        #[inline]
        pub(crate) const fn of(_value: &[u8]) -> Self {
            Self
        }

        /// The value of a mutation that is sent again: none is.
        #[inline]
        pub(crate) const fn take(&mut self) -> Option<Box<[u8]>> {
            None
        }
    }
}

#[cfg(feature = "planted-faults")]
mod kept {
    use proto::planted::{Fault, is_planted};

    /// The value of a call, if it may be sent again.
    #[derive(Debug)]
    pub(crate) struct Kept(Option<Box<[u8]>>);

    impl Kept {
        /// Keeps a call's value.
        pub(crate) fn of(value: &[u8]) -> Self {
            Self(is_planted(Fault::LostMutationAskedAgain).then(|| value.into()))
        }

        /// The value of a mutation that is sent again, once.
        pub(crate) const fn take(&mut self) -> Option<Box<[u8]>> {
            self.0.take()
        }
    }
}

pub(crate) use kept::Kept;
