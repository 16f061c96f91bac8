//! Many members of one ring on virtual time: the net that churn is measured in.
//! Its parts are in the folder of the same name.
