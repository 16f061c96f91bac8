//! Lookups under churn, measured: sessions, the production ring and a Kademlia yardstick.
//! Its parts are in the folder of the same name.
