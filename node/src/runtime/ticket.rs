//! What a ticket says: which front of this core asked, and its number there.
//!
//! | bits | 62–63 | 32–61 | 0–31 |
//! |---|---|---|---|
//! | API | 0 read, 1 write | connection's place | number on the connection |
//! | operator | 2 | 0 | number of the request |

use super::api_queue::Number;
use crate::engine::request::Ticket;

/// The front a ticket belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Front {
    /// A DHT API connection.
    Api(ApiTicket),
    /// The admin server.
    Operator(u32),
}

/// A request of a DHT API connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ApiTicket {
    /// The connection's place; it is kept until all its tickets have come back.
    pub(crate) place: u32,
    /// The request's number on the connection.
    pub(crate) number: Number,
}

impl Front {
    /// Reads a ticket.
    pub(crate) fn of(ticket: Ticket) -> Self {
        let place = (ticket.0 >> 32) as u32 & PLACE_MASK;
        let number = ticket.0 as u32;
        match ticket.0 >> 62 {
            KIND_READ => Self::Api(ApiTicket {
                place,
                number: Number::Read(number),
            }),
            KIND_WRITE => Self::Api(ApiTicket {
                place,
                number: Number::Write(number),
            }),
            _ => Self::Operator(number),
        }
    }

    /// Writes a ticket.
    pub(crate) fn ticket(self) -> Ticket {
        let (kind, place, number) = match self {
            Self::Api(ApiTicket {
                place,
                number: Number::Read(number),
            }) => (KIND_READ, place, number),
            Self::Api(ApiTicket {
                place,
                number: Number::Write(number),
            }) => (KIND_WRITE, place, number),
            Self::Operator(number) => (KIND_OPERATOR, 0, number),
        };
        Ticket(kind << 62 | u64::from(place & PLACE_MASK) << 32 | u64::from(number))
    }
}

const KIND_READ: u64 = 0;
const KIND_WRITE: u64 = 1;
const KIND_OPERATOR: u64 = 2;
const PLACE_MASK: u32 = (1 << 30) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_finds_its_way_back() {
        let fronts = [
            Front::Api(ApiTicket {
                place: 0,
                number: Number::Read(u32::MAX),
            }),
            Front::Api(ApiTicket {
                place: PLACE_MASK,
                number: Number::Write(0),
            }),
            Front::Operator(7),
        ];
        for front in fronts {
            assert_eq!(Front::of(front.ticket()), front);
        }
    }
}
