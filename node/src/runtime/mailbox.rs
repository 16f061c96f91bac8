//! Stand-in until the mailbox is merged.
use crate::engine::mail::Mail;
pub(crate) struct MailPort;
impl MailPort {
    pub(crate) fn send(&self, _to: u8, _mail: Mail) {}
    pub(crate) fn flush(&self) {}
    pub(crate) async fn recv(&self) -> Mail { std::future::pending().await }
}
pub(crate) struct Mailboxes;
impl Mailboxes {
    pub(crate) fn new(cores: u8) -> Vec<MailPort> { (0..cores).map(|_| MailPort).collect() }
}
