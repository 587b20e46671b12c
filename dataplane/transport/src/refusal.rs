//! What a program is told when the stack cannot do what it asked for.

use session::wire::Refusal;
use stack::StackError;

pub(crate) fn refusal(error: StackError) -> Refusal {
    match error {
        StackError::Refused | StackError::Reset => Refusal::Refused,
        StackError::TimedOut => Refusal::TimedOut,
        StackError::InUse(_) | StackError::NotOwn(_) => Refusal::AddressNotAvailable,
        StackError::TooMany => Refusal::Limit,
        _ => Refusal::Unreachable,
    }
}
