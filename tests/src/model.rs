//! Small rings explored exhaustively.
//! Its parts are in the folder of the same name.
